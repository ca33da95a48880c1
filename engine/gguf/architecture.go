package gguf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// model is the result of mapping a file's metadata and tensor table: config.json, and the tensors
// under their Hugging Face names.
type model struct {
	config  map[string]any
	tensors []tensor
}

// tensor is one tensor of the checkpoint, with the changes that undo those of llama.cpp's
// converter.
type tensor struct {
	name    string // Hugging Face name
	src     *Tensor
	addend  float32 // added to each element: -1 for Gemma's norms
	headDim int     // rows of one attention head if llama.cpp permuted the rows; else 0
}

// dims are the sizes of a network; the shapes of the tensors must agree with them.
type dims struct {
	layers, hidden, heads, kvHeads, headDim, intermediate, vocab int
}

// These tables map the names of a layer's tensors: the part after "blk.N." in GGUF files to the
// part after "model.layers.N." in Hugging Face folders.
var (
	llamaLayer = map[string]string{
		"attn_norm.weight":   "input_layernorm.weight",
		"attn_q.weight":      "self_attn.q_proj.weight",
		"attn_k.weight":      "self_attn.k_proj.weight",
		"attn_v.weight":      "self_attn.v_proj.weight",
		"attn_output.weight": "self_attn.o_proj.weight",
		"ffn_norm.weight":    "post_attention_layernorm.weight",
		"ffn_gate.weight":    "mlp.gate_proj.weight",
		"ffn_up.weight":      "mlp.up_proj.weight",
		"ffn_down.weight":    "mlp.down_proj.weight",
	}
	gemma3Layer = merged(llamaLayer, map[string]string{
		"attn_q_norm.weight":         "self_attn.q_norm.weight",
		"attn_k_norm.weight":         "self_attn.k_norm.weight",
		"post_attention_norm.weight": "post_attention_layernorm.weight",
		"ffn_norm.weight":            "pre_feedforward_layernorm.weight",
		"post_ffw_norm.weight":       "post_feedforward_layernorm.weight",
	})
)

// merged is a with the entries of b added or replaced.
func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

// newModel maps a file to a checkpoint. A tensor that the architecture has no place for is an
// error, because a model without it would answer, but wrongly.
func newModel(f *File) (*model, error) {
	arch, err := f.Meta.Architecture()
	if err != nil {
		return nil, err
	}
	var layer map[string]string
	switch arch {
	case "llama":
		layer = llamaLayer
	case "gemma3":
		layer = gemma3Layer
	default:
		return nil, fmt.Errorf("architecture %q cannot be imported; llama and gemma3 can", arch)
	}
	d, err := readDims(f, arch)
	if err != nil {
		return nil, err
	}
	m := &model{}
	if m.config, err = config(f, arch, d); err != nil {
		return nil, err
	}
	if m.tensors, err = mapTensors(f, arch, layer, d); err != nil {
		return nil, err
	}
	if q := m.quantization(); q != nil {
		// mlx-lm has the first name, Hugging Face the second.
		m.config["quantization"], m.config["quantization_config"] = q, q
	}
	return m, nil
}

// mapTensors finds the Hugging Face name of every tensor and checks its shape.
func mapTensors(f *File, arch string, layer map[string]string, d dims) ([]tensor, error) {
	names := map[string]string{
		"token_embd.weight":  "model.embed_tokens.weight",
		"output_norm.weight": "model.norm.weight",
	}
	if _, untied := f.Tensor("output.weight"); untied {
		names["output.weight"] = "lm_head.weight"
	}
	for i := range d.layers {
		for from, to := range layer {
			names[fmt.Sprintf("blk.%d.%s", i, from)] = fmt.Sprintf("model.layers.%d.%s", i, to)
		}
	}
	var list []tensor
	for i := range f.Tensors {
		src := &f.Tensors[i]
		to, ok := names[src.Name]
		if !ok {
			return nil, fmt.Errorf("tensor %q has no place in a %s model of %d layers",
				src.Name, arch, d.layers)
		}
		delete(names, src.Name)
		base := src.Name[strings.LastIndexByte(strings.TrimSuffix(src.Name, ".weight"), '.')+1:]
		if want := d.shape(base); !slices.Equal(src.Shape, want) {
			return nil, fmt.Errorf("tensor %q is %v; by the metadata it must be %v",
				src.Name, src.Shape, want)
		}
		t := tensor{name: to, src: src}
		switch {
		case arch == "gemma3" && strings.HasSuffix(base, "norm.weight"):
			// The network multiplies with 1+w. llama.cpp's converter stores 1+w, Hugging Face
			// stores w.
			t.addend = -1
		case arch == "llama" && (base == "attn_q.weight" || base == "attn_k.weight"):
			t.headDim = d.headDim
		}
		list = append(list, t)
	}
	if missing := slices.Sorted(maps.Keys(names)); len(missing) > 0 {
		return nil, fmt.Errorf("tensor %q is missing, and %d more", missing[0], len(missing)-1)
	}
	return list, nil
}

// shape is the shape that a tensor must have; base is the last component of its name.
func (d dims) shape(base string) []int {
	switch base {
	case "token_embd.weight", "output.weight":
		return []int{d.vocab, d.hidden}
	case "attn_q.weight":
		return []int{d.heads * d.headDim, d.hidden}
	case "attn_k.weight", "attn_v.weight":
		return []int{d.kvHeads * d.headDim, d.hidden}
	case "attn_output.weight":
		return []int{d.hidden, d.heads * d.headDim}
	case "ffn_gate.weight", "ffn_up.weight":
		return []int{d.intermediate, d.hidden}
	case "ffn_down.weight":
		return []int{d.hidden, d.intermediate}
	case "attn_q_norm.weight", "attn_k_norm.weight":
		return []int{d.headDim}
	}
	return []int{d.hidden} // the other norms
}
