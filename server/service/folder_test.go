package service

import (
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
	"loadstone/metal"
)

const tinyTokenizer = `{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`

// llamaFolder writes the folder of a random Llama with tied embeddings, a tokenizer of three tokens
// and no chat template, after change.
func llamaFolder(t *testing.T, change func(config map[string]any, shapes map[string][]int)) string {
	t.Helper()
	config := map[string]any{"model_type": "llama", "vocab_size": 40, "hidden_size": 32,
		"num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 2,
		"max_position_embeddings": 64, "tie_word_embeddings": true}
	const layer = "model.layers.0."
	shapes := map[string][]int{
		"model.embed_tokens.weight": {40, 32}, "model.norm.weight": {32},
		layer + "input_layernorm.weight": {32}, layer + "post_attention_layernorm.weight": {32},
		layer + "self_attn.q_proj.weight": {32, 32}, layer + "self_attn.k_proj.weight": {32, 32},
		layer + "self_attn.v_proj.weight": {32, 32}, layer + "self_attn.o_proj.weight": {32, 32},
		layer + "mlp.gate_proj.weight": {64, 32}, layer + "mlp.up_proj.weight": {64, 32},
		layer + "mlp.down_proj.weight": {32, 64},
	}
	change(config, shapes)
	rng := rand.New(rand.NewPCG(1, 2))
	var list []checkpoint.Tensor
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n := 1
		for _, d := range shapes[name] {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = rng.Float32()/4 + 0.1
		}
		list = append(list, checkpoint.Tensor{Name: name, DType: "F32", Shape: shapes[name],
			Data: func() ([]float32, error) { return data, nil }})
	}
	dir := filepath.Join(t.TempDir(), "wild")
	if err := checkpoint.Write(dir, config, list); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tokenizer.json", tinyTokenizer)
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func nothing(map[string]any, map[string][]int) {}

// loadError loads a folder as a server does and returns the error, "" for none.
func loadError(t *testing.T, dir, backend string) string {
	t.Helper()
	src, err := catalog.Open(dir)
	if err != nil {
		return err.Error()
	}
	o, err := parse([]string{"-model", dir, "-backend", backend}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	m := load(src, o.network, o.engine, func(done, total int64) {})
	if m.err != nil {
		return m.err.Error()
	}
	m.engine.Close()
	return ""
}

// TestBackendsRefuseTheSame: a folder is refused by every backend, with the same words.
func TestBackendsRefuseTheSame(t *testing.T) {
	backends := []string{BackendRef}
	if metal.Available {
		backends = append(backends, BackendMLX)
	}
	for name, c := range map[string]struct {
		change func(config map[string]any, shapes map[string][]int)
		files  map[string]string
		say    string // "" for a folder that is served; %s is the folder
	}{
		"sound": {nothing, nil, ""},
		"mistral": {func(config map[string]any, shapes map[string][]int) {
			config["model_type"], config["sliding_window"] = "mistral", nil
			config["num_key_value_heads"] = 2
		}, nil, ""},
		"byte order marks": {nothing, map[string]string{
			"tokenizer.json": "\ufeff" + tinyTokenizer, "generation_config.json": "\ufeff{}",
			"tokenizer_config.json": "\ufeff{}", "special_tokens_map.json": "\ufeff{}",
		}, ""},
		"untied without a head": {func(config map[string]any, shapes map[string][]int) {
			config["tie_word_embeddings"] = false
		}, nil, "%s: tensor lm_head.weight is missing, and config.json does not say"},
		"a layer too many": {func(config map[string]any, shapes map[string][]int) {
			shapes["model.layers.1.input_layernorm.weight"] = []int{32}
		}, nil, "%s: tensor model.layers.1.input_layernorm.weight is of a layer that"},
		"GPTQ": {func(config map[string]any, shapes map[string][]int) {
			config["quantization_config"] = map[string]any{"quant_method": "gptq"}
		}, nil, `%s: config.json: quantization "gptq" is not supported: take`},
		"Unigram": {nothing, map[string]string{
			"tokenizer.json": `{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0]]}}`,
		}, `%s: tokenizer.json: model type "Unigram" is not supported; BPE is`},
		"no tokenizer": {nothing, map[string]string{"tokenizer.json": ""},
			"%s: tokenizer.json is not there"},
		"Git LFS": {nothing, map[string]string{
			"tokenizer.json": "version https://git-lfs.github.com/spec/v1\n",
		}, "%s: tokenizer.json is a Git LFS pointer, not the file: run git lfs pull"},
		"Git LFS for weights": {nothing, map[string]string{
			"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
		}, "%s: model.safetensors: it is a Git LFS pointer, not the file"},
	} {
		dir := llamaFolder(t, c.change)
		for file, text := range c.files {
			if text == "" {
				os.Remove(filepath.Join(dir, file))
				continue
			}
			write(t, dir, file, text)
		}
		var first string
		for i, backend := range backends {
			got := loadError(t, dir, backend)
			want := strings.ReplaceAll(c.say, "%s", dir)
			if (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("%s on %s: error %q, want %q", name, backend, got, want)
			}
			got = strings.Replace(got, " on "+backend, "", 1)
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("%s: %s says %q, %s says %q", name, backend, got, backends[0], first)
			}
		}
	}
	// The files that a link leads to are not there.
	dir := llamaFolder(t, nothing)
	weights := filepath.Join(dir, "model.safetensors")
	if err := os.Remove(weights); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../blobs/0", weights); err != nil {
		t.Skip(err)
	}
	for _, backend := range backends {
		want := dir + ": model.safetensors is a link to ../../blobs/0, which is not there"
		if got := loadError(t, dir, backend); !strings.Contains(got, want) {
			t.Errorf("a link to nothing on %s: error %q, want %q", backend, got, want)
		}
	}
}

// TestNoChatTemplate: the server says at its start what the folder lacks, and not before every
// request; chats are refused and completions work.
func TestNoChatTemplate(t *testing.T) {
	dir := llamaFolder(t, nothing)
	p := startOn(t, dir, "ref")
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"ab"}],"max_tokens":2}`,
			http.StatusBadRequest},
		{"/v1/completions", `{"prompt":"ab","max_tokens":2}`, http.StatusOK},
	} {
		resp, err := http.Post(p.url+c.path, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d %s, want %d", c.path, resp.StatusCode, text, c.want)
		}
	}
	p.Process.Signal(os.Interrupt)
	p.end(t)
	const want = "model wild has no chat template: chats are refused, completions work; " +
		"add chat_template.jinja to its folder"
	if n := strings.Count(p.stderr.String(), want); n != 1 {
		t.Errorf("said %d times, want once; the log is\n%s", n, p.stderr.String())
	}
}
