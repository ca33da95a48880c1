//go:build mlx

package metal

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/checkpoint"
)

// tensor is one entry of a safetensors file to be written.
type tensor struct {
	dtype string
	shape []int
	data  []byte
}

// folder is a model folder in memory, for tests to damage and write.
type folder struct {
	config  map[string]any
	tensors map[string]tensor
}

// tinyLlama and tinyGemma return random networks with every part of their architecture: grouped
// heads and, for Gemma, sliding layers between global ones with a window shorter than the tests'
// sequences. The head size of one is a multiple of 16, the length of a vector; that of the other is
// not.
func tinyLlama() *folder {
	return tiny(map[string]any{
		"model_type": "llama", "vocab_size": 131, "hidden_size": 64, "num_hidden_layers": 3,
		"num_attention_heads": 6,
		"num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
		"max_position_embeddings": 128,
		"rms_norm_eps":            1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
	})
}

func tinyGemma() *folder {
	return tiny(map[string]any{
		"model_type": "gemma3_text", "vocab_size": 131, "hidden_size": 64, "num_hidden_layers": 4,
		"num_attention_heads": 4,
		"num_key_value_heads": 1, "head_dim": 72, "intermediate_size": 96,
		"max_position_embeddings": 128,
		"rms_norm_eps":            1e-6, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
		"query_pre_attn_scalar": 72,
		"sliding_window":        7, "sliding_window_pattern": 2,
	})
}

// tinyOdd has norms of queries and keys, biases, windows in some layers, and YaRN, whose scale is
// not 1.
func tinyOdd() *folder {
	return tiny(map[string]any{
		"model_type": "qwen3", "vocab_size": 131, "hidden_size": 64, "num_hidden_layers": 3,
		"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32,
		"intermediate_size": 96, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
		"rope_theta": 1e4, "attention_bias": true, "tie_word_embeddings": true,
		"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 1,
		"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 4.0,
			"original_max_position_embeddings": 16},
	})
}

// tiny returns a network with random weights for this config.json.
func tiny(config map[string]any) *folder {
	c := &folder{config: config, tensors: map[string]tensor{}}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	network, err := checkpoint.ParseConfig(text)
	if err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range network.Parameters() {
		name, size := "model."+p.Stored, p.Shape[0]
		if p.Stored == "lm_head.weight" {
			name = p.Stored
		}
		center, spread := 0.0, 0.2
		switch {
		case p.Norm && !network.NormsMinusOne:
			center = 1
		case strings.HasSuffix(name, "embed_tokens.weight"), strings.HasSuffix(name, "head.weight"):
			spread = 0.5
		case strings.HasSuffix(name, "o_proj.weight"), strings.HasSuffix(name, "down_proj.weight"):
			spread = 0.1
		}
		for _, d := range p.Shape[1:] {
			size *= d
		}
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(center + spread*rng.NormFloat64())
		}
		c.tensors[name] = float32Tensor(x, p.Shape...)
	}
	return c
}

func float32Tensor(x []float32, shape ...int) tensor {
	data := make([]byte, 0, 4*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return tensor{"F32", shape, data}
}

// write writes the folder to disk, with one file of weights, and returns where it is.
func (c *folder) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	c.writeConfig(t, dir)
	writeSafetensors(t, filepath.Join(dir, "model.safetensors"), c.tensors)
	return dir
}

func (c *folder) writeConfig(t testing.TB, dir string) {
	t.Helper()
	data, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), data)
}

func writeSafetensors(t testing.TB, path string, tensors map[string]tensor) {
	t.Helper()
	header, data := map[string]any{"__metadata__": map[string]string{"format": "pt"}}, []byte(nil)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		x := tensors[name]
		header[name] = map[string]any{"dtype": x.dtype, "shape": x.shape,
			"data_offsets": []int{len(data), len(data) + len(x.data)}}
		data = append(data, x.data...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	writeFile(t, path, append(append(file, text...), data...))
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
