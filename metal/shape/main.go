// Command shape makes a model folder in the shape of Gemma 3 12B with random weights of 4 bits, to
// measure how a network of that size loads and runs. It answers nonsense.
//
//	go run ./metal/shape FOLDER    6.6 GB, in half a minute
//
// The folder is laid out as mlx-community's of 4 bits: a multimodal config.json, weights in groups
// of 64 with a scale and a bias each in bfloat16, and names that begin with language_model. It has
// one file where those have three, and of the part for images, which nothing here reads, one
// tensor. The tokenizer is that of gemma3-270m, which must have been pulled.
package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
)

// The sizes of Gemma 3 12B.
const (
	vocab, hidden, inner, layers = 262208, 3840, 15360, 48
	heads, kvHeads, dim          = 16, 8, 256

	bits, group = 4, 64
	deviation   = 0.02 // of the weights
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: shape FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	from, err := catalog.Open("gemma3-270m")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		text, err := os.ReadFile(filepath.Join(from.Dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return checkpoint.Write(dir, config(), tensors())
}

func config() map[string]any {
	return map[string]any{
		"architectures": []string{"Gemma3ForConditionalGeneration"},
		"model_type":    "gemma3",
		"eos_token_id":  []int{1, 106},
		"quantization":  map[string]any{"bits": bits, "group_size": group},
		"text_config": map[string]any{
			"model_type":              "gemma3_text",
			"vocab_size":              vocab,
			"hidden_size":             hidden,
			"intermediate_size":       inner,
			"num_hidden_layers":       layers,
			"num_attention_heads":     heads,
			"num_key_value_heads":     kvHeads,
			"head_dim":                dim,
			"sliding_window":          1024,
			"sliding_window_pattern":  6,
			"query_pre_attn_scalar":   256,
			"max_position_embeddings": 131072,
			"rope_theta":              1e6,
			"rope_local_base_freq":    1e4,
			"rope_scaling":            map[string]any{"factor": 8.0, "rope_type": "linear"},
		},
		"vision_config": map[string]any{"model_type": "siglip_vision_model", "hidden_size": 1152},
	}
}

// A shape collects tensors.
type shape struct {
	tensors []checkpoint.Tensor
	random  *rand.ChaCha8
	n       int // of tensors that were written, for progress
}

func tensors() []checkpoint.Tensor {
	s := &shape{random: rand.NewChaCha8([32]byte{12})}
	const body = "language_model.model."
	s.matrix(body+"embed_tokens", vocab, hidden)
	for i := range layers {
		at := fmt.Sprintf("%slayers.%d.", body, i)
		s.norm(at+"input_layernorm", hidden)
		s.matrix(at+"self_attn.q_proj", heads*dim, hidden)
		s.matrix(at+"self_attn.k_proj", kvHeads*dim, hidden)
		s.matrix(at+"self_attn.v_proj", kvHeads*dim, hidden)
		s.matrix(at+"self_attn.o_proj", hidden, heads*dim)
		s.norm(at+"self_attn.q_norm", dim)
		s.norm(at+"self_attn.k_norm", dim)
		s.norm(at+"post_attention_layernorm", hidden)
		s.norm(at+"pre_feedforward_layernorm", hidden)
		s.matrix(at+"mlp.gate_proj", inner, hidden)
		s.matrix(at+"mlp.up_proj", inner, hidden)
		s.matrix(at+"mlp.down_proj", hidden, inner)
		s.norm(at+"post_feedforward_layernorm", hidden)
	}
	s.norm(body+"norm", hidden)
	s.floats("vision_tower.vision_model.post_layernorm.bias", 0, 1152)
	return s.tensors
}

// matrix adds a weight of so many outputs and inputs with its scales and biases. Codes minus 7.5
// deviate by 4.6 from 0.
func (s *shape) matrix(name string, outputs, inputs int) {
	const scale = deviation / 4.6
	words := outputs * inputs * bits / 32
	s.tensors = append(s.tensors, checkpoint.Tensor{
		Name: name + ".weight", DType: "U32", Shape: []int{outputs, inputs * bits / 32},
		Words: func() ([]uint32, error) {
			s.n++
			fmt.Fprintf(os.Stderr, "\rmatrix %d of %d", s.n, 1+7*layers)
			if s.n == 1+7*layers {
				fmt.Fprintln(os.Stderr)
			}
			all, raw := make([]uint32, words), make([]byte, 4*words)
			s.random.Read(raw)
			for i := range all {
				all[i] = binary.LittleEndian.Uint32(raw[4*i:])
			}
			return all, nil
		},
	})
	s.floats(name+".scales", scale, outputs, inputs/group)
	s.floats(name+".biases", -7.5*scale, outputs, inputs/group)
}

// norm adds the weight of a norm that does nothing: Gemma's are what is added to 1.
func (s *shape) norm(name string, n int) { s.floats(name+".weight", 0, n) }

// floats adds a tensor whose elements are all alike, in bfloat16.
func (s *shape) floats(name string, x float32, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	s.tensors = append(s.tensors, checkpoint.Tensor{
		Name: name, DType: "BF16", Shape: shape,
		Data: func() ([]float32, error) {
			all := make([]float32, n)
			for i := range all {
				all[i] = x
			}
			return all, nil
		},
	})
}
