package gguf

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"loadstone/engine/checkpoint"
)

// model is the result of mapping a file's metadata and tensor table: config.json, and the tensors
// under their Hugging Face names.
type model struct {
	config  map[string]any
	parsed  checkpoint.Config // the same, as the backends will read it
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

// newModel maps a file to a checkpoint. What the network is made of, and which tensors it has, says
// package checkpoint. A tensor that the network has no place for is an error, because a model
// without it would answer, but wrongly.
func newModel(f *File) (*model, error) {
	arch, err := f.Meta.Architecture()
	if err != nil {
		return nil, err
	}
	all := checkpoint.GGUFs()
	at := slices.IndexFunc(all, func(g checkpoint.GGUF) bool { return g.Architecture == arch })
	if at < 0 {
		var names []string
		for _, g := range all {
			names = append(names, g.Architecture)
		}
		return nil, fmt.Errorf("architecture %q cannot be imported; %s and %s can", arch,
			strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
	}
	m := &model{}
	if m.config, err = config(f, all[at]); err != nil {
		return nil, err
	}
	text, err := json.Marshal(m.config)
	if err != nil {
		return nil, err
	}
	if m.parsed, err = checkpoint.ParseConfig(text); err != nil {
		return nil, fmt.Errorf("by the metadata, config.json would be refused: %w", err)
	}
	if m.tensors, err = mapTensors(f, &m.parsed, all[at]); err != nil {
		return nil, err
	}
	if q := m.quantization(); q != nil {
		// mlx-lm has the first name, Hugging Face the second.
		m.config["quantization"], m.config["quantization_config"] = q, q
	}
	return m, nil
}

// mapTensors finds the Hugging Face name of every tensor and checks its shape.
func mapTensors(f *File, c *checkpoint.Config, g checkpoint.GGUF) ([]tensor, error) {
	wanted := map[string]checkpoint.Parameter{}
	for _, p := range c.Parameters() {
		wanted[p.GGUF] = p
	}
	var list []tensor
	for i := range f.Tensors {
		src := &f.Tensors[i]
		if slices.Contains(ropeTensors, src.Name) {
			continue // config.json has them
		}
		p, ok := wanted[src.Name]
		if !ok {
			return nil, fmt.Errorf("tensor %q has no place in a %s model of %d layers",
				src.Name, g.Architecture, c.Layers)
		}
		delete(wanted, src.Name)
		if !slices.Equal(src.Shape, p.Shape) {
			return nil, fmt.Errorf("tensor %q is %v; by the metadata it must be %v",
				src.Name, src.Shape, p.Shape)
		}
		t := tensor{name: "model." + p.Stored, src: src}
		if p.Stored == "lm_head.weight" {
			t.name = p.Stored
		}
		if p.Norm && c.NormsMinusOne {
			// The network multiplies with 1+w. llama.cpp's converter stores 1+w, Hugging Face
			// stores w.
			t.addend = -1
		}
		if p.Heads > 0 && g.Permuted {
			t.headDim = p.Shape[0] / p.Heads
		}
		list = append(list, t)
	}
	if missing := slices.Sorted(maps.Keys(wanted)); len(missing) > 0 {
		return nil, fmt.Errorf("tensor %q is missing, and %d more", missing[0], len(missing)-1)
	}
	return list, nil
}
