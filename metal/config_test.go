package metal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	c := tinyGemma()
	parse := func(change map[string]any) (config, error) {
		t.Helper()
		m := maps.Clone(c.config)
		maps.Copy(m, change)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return parseConfig(data)
	}
	cfg, err := parse(map[string]any{"hidden_size": 640})
	if err != nil {
		t.Fatal(err)
	}
	if want := []bool{true, false, true, false}; !slices.Equal(cfg.sliding, want) {
		t.Errorf("sliding layers %v, want %v", cfg.sliding, want)
	}
	if cfg.embeddingScale != 25.25 {
		t.Errorf("embedding scale %v, want sqrt(640) in bfloat16, 25.25", cfg.embeddingScale)
	}
	cfg, err = parse(map[string]any{"layer_types": []string{"full_attention", "sliding_attention", "sliding_attention", "full_attention"}})
	if want := []bool{false, true, true, false}; err != nil || !slices.Equal(cfg.sliding, want) {
		t.Errorf("sliding layers %v (%v), want layer_types' %v", cfg.sliding, err, want)
	}
	cfg, err = parse(map[string]any{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 8}})
	if err != nil || cfg.ropeScale != 1.0/8 {
		t.Errorf("rope scale %v (%v), want 1/8", cfg.ropeScale, err)
	}

	for _, c := range []struct {
		key  string
		bad  any
		want string
	}{
		{"model_type", "mamba", `model_type "mamba" is not supported; llama`},
		{"hidden_size", -1, "hidden_size is -1"},
		{"vocab_size", 1 << 40, "vocab_size is"},
		{"num_hidden_layers", 0, "num_hidden_layers is 0"},
		{"num_key_value_heads", 3, "no multiple"},
		{"head_dim", 7, "odd"},
		{"hidden_size", "many", "hidden_size"},
		{"hidden_activation", "relu", `activation "relu"`},
		{"layer_types", []string{"full_attention"}, "layer_types names 1 layers"},
		{"rms_norm_eps", -1, "rms_norm_eps"},
		{"attention_bias", true, "attention_bias"},
		{"rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8}, `rope scaling "llama3"`},
		{"quantization", map[string]any{"mode": "mxfp4"}, `quantization.mode "mxfp4"`},
		{"text_config", map[string]any{"model_type": "gemma2"}, "is not supported"},
	} {
		_, err := parse(map[string]any{c.key: c.bad})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: error %v, want %q", c.key, c.bad, err, c.want)
		}
	}
}

func TestReadConfigNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := readConfig(dir); err == nil || !strings.Contains(err.Error(), dir+" has no config.json") {
		t.Errorf("an empty folder: %v", err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), []byte(`{"model_type":`))
	if _, err := readConfig(dir); err == nil || !strings.Contains(err.Error(), "config.json: unexpected end") {
		t.Errorf("half a file: %v", err)
	}
}

// readHeaders is what is done to a folder before its files are mapped.
func readHeaders(dir string) error {
	paths, err := weightFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil {
			_, err = readHeader(bytes.NewReader(data), int64(len(data)))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func TestWeightFilesRefusesDamage(t *testing.T) {
	dir := tinyLlama().write(t)
	path := filepath.Join(dir, "model.safetensors")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := readHeaders(dir); err != nil {
		t.Fatalf("an undamaged file: %v", err)
	}
	header := func(text string, data int) []byte {
		return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), make([]byte, data)...)
	}
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"empty", nil, "too few"},
		{"cut in the length", good[:5], "too few"},
		{"cut in the header", good[:100], "truncated"},
		{"cut in the data", good[:len(good)-1], "truncated"},
		{"a huge header", append(binary.LittleEndian.AppendUint64(nil, 1<<63), good[8:]...), "truncated"},
		{"no JSON", header("hello", 0), "header"},
		{"negative shape", header(`{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "shape [-1]"},
		{"overflowing shape", header(`{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0), "shape"},
		{"offsets backwards", header(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, 8), "data from 8 to 4"},
		{"size and shape differ", header(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, 8), "takes 4"},
		{"unknown dtype", header(`{"x":{"dtype":"F3","shape":[1],"data_offsets":[0,8]}}`, 8), `dtype "F3"`},
	} {
		writeFile(t, path, c.file)
		if err := readHeaders(dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want %q and the path", c.what, err, c.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := readHeaders(dir); err == nil || !strings.Contains(err.Error(), "no model*.safetensors") {
		t.Errorf("no file: %v", err)
	}
	writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), []byte(`{"weight_map":{"x":"../../etc/passwd"}}`))
	if err := readHeaders(dir); err == nil || !strings.Contains(err.Error(), "not a file of that folder") {
		t.Errorf("an index that leaves the folder: %v", err)
	}
}
