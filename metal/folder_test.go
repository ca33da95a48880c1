//go:build mlx

package metal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
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

// tiny returns a network with random weights for this config.json.
func tiny(config map[string]any) *folder {
	c := &folder{config: config, tensors: map[string]tensor{}}
	n := func(key string) int { return config[key].(int) }
	rng := rand.New(rand.NewPCG(1, 2))
	add := func(name string, center, spread float64, shape ...int) {
		size := 1
		for _, d := range shape {
			size *= d
		}
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(center + spread*rng.NormFloat64())
		}
		c.tensors[name] = float32Tensor(x, shape...)
	}
	gemma := config["model_type"] == "gemma3_text"
	center := 1.0
	if gemma {
		center = 0 // Gemma stores the weights of norms minus one
	}
	hidden, inter, dim := n("hidden_size"), n("intermediate_size"), n("head_dim")
	q, kv := n("num_attention_heads")*dim, n("num_key_value_heads")*dim
	add("model.embed_tokens.weight", 0, 0.5, n("vocab_size"), hidden)
	for i := range n("num_hidden_layers") {
		p := fmt.Sprintf("model.layers.%d.", i)
		add(p+"input_layernorm.weight", center, 0.2, hidden)
		add(p+"post_attention_layernorm.weight", center, 0.2, hidden)
		if gemma {
			add(p+"pre_feedforward_layernorm.weight", center, 0.2, hidden)
			add(p+"post_feedforward_layernorm.weight", center, 0.2, hidden)
			add(p+"self_attn.q_norm.weight", center, 0.2, dim)
			add(p+"self_attn.k_norm.weight", center, 0.2, dim)
		}
		add(p+"self_attn.q_proj.weight", 0, 0.2, q, hidden)
		add(p+"self_attn.k_proj.weight", 0, 0.2, kv, hidden)
		add(p+"self_attn.v_proj.weight", 0, 0.2, kv, hidden)
		add(p+"self_attn.o_proj.weight", 0, 0.1, hidden, q)
		add(p+"mlp.gate_proj.weight", 0, 0.2, inter, hidden)
		add(p+"mlp.up_proj.weight", 0, 0.2, inter, hidden)
		add(p+"mlp.down_proj.weight", 0, 0.1, hidden, inter)
	}
	add("model.norm.weight", center, 0.2, hidden)
	if config["tie_word_embeddings"] == false {
		add("lm_head.weight", 0, 0.5, n("vocab_size"), hidden)
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
