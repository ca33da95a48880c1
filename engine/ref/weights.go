package ref

import (
	"fmt"
	"slices"

	"loadstone/engine/checkpoint"
)

// weights are a network's parameters. The letters of shapes: V is the size of the vocabulary, E the
// hidden size, F the intermediate size; there are H heads and K key heads, each of D elements.
// Every matrix has a row for each output.
type weights struct {
	embed  []float32 // V x E
	layers []layer
	norm   []float32 // E
	head   []float32 // V x E; the same slice as embed if the two are tied
}

type layer struct {
	attnNorm         []float32 // E
	q                linear    // H*D x E
	k, v             linear    // K*D x E
	o                linear    // E x H*D
	qNorm, kNorm     []float32 // D; nil without them
	postAttnNorm     []float32 // E; nil without it
	mlpNorm          []float32 // E
	gate, up         linear    // F x E
	down             linear    // E x F
	router           linear    // N x E, where there are N experts; empty without them
	experts          []expert
	postMLPNorm      []float32 // E; nil without it
	sliding, rotates bool
}

// expert is the MLP of a mixture of experts that some tokens go through; its size is X.
type expert struct {
	gate, up linear // X x E
	down     linear // E x X
}

// linear is the weight of a linear layer, a row for each output, and its bias, nil without one.
type linear struct{ w, bias []float32 }

// load reads all weights of a checkpoint.
func load(c *checkpoint.Checkpoint) (*weights, error) {
	n, err := c.Network()
	if err != nil {
		return nil, err
	}
	cfg := c.Config
	l := loader{n: n, minusOne: cfg.NormsMinusOne}
	e, f, d := cfg.HiddenSize, cfg.Intermediate, cfg.HeadDim
	hd, kd := cfg.Heads*d, cfg.KVHeads*d
	w := &weights{embed: l.tensor("embed.weight", cfg.VocabSize, e), norm: l.norm("norm", e)}
	for i := range cfg.Layers {
		at := fmt.Sprintf("layers.%d.", i)
		w.layers = append(w.layers, layer{
			attnNorm: l.norm(at+"attn_norm", e),
			q:        l.linear(at+"q", hd, e), k: l.linear(at+"k", kd, e),
			v: l.linear(at+"v", kd, e), o: l.linear(at+"o", e, hd),
			qNorm: l.norm(at+"q_norm", d), kNorm: l.norm(at+"k_norm", d),
			postAttnNorm: l.norm(at+"post_attn_norm", e),
			mlpNorm:      l.norm(at+"mlp_norm", e),
			postMLPNorm:  l.norm(at+"post_mlp_norm", e),
			sliding:      cfg.LayerSliding[i], rotates: cfg.LayerRope[i],
		})
		y := &w.layers[i]
		if cfg.Experts == 0 {
			y.gate, y.up = l.linear(at+"gate", f, e), l.linear(at+"up", f, e)
			y.down = l.linear(at+"down", e, f)
			continue
		}
		y.router = l.linear(at+"router", cfg.Experts, e)
		for x := range cfg.Experts {
			at, f := fmt.Sprintf("%sexperts.%d.", at, x), cfg.ExpertIntermediate
			y.experts = append(y.experts, expert{l.linear(at+"gate", f, e),
				l.linear(at+"up", f, e), l.linear(at+"down", e, f)})
		}
	}
	if w.head = w.embed; n.Has("head.weight") {
		w.head = l.tensor("head.weight", cfg.VocabSize, e)
	}
	return w, l.err
}

// loader reads tensors until the first error, which it keeps in err.
type loader struct {
	n        *checkpoint.Network
	minusOne bool
	err      error
}

// linear reads the weight of a linear layer, and its bias if it has one.
func (l *loader) linear(name string, rows, columns int) linear {
	return linear{w: l.tensor(name+".weight", rows, columns), bias: l.optional(name+".bias", rows)}
}

// norm reads the factors of an RMSNorm, nil for a norm that the network does without. Some
// families' checkpoints store each factor minus 1.
func (l *loader) norm(name string, n int) []float32 {
	w := l.optional(name+".weight", n)
	if l.minusOne {
		for i := range w {
			w[i]++
		}
	}
	return w
}

// optional is nil for a tensor that the network does without.
func (l *loader) optional(name string, n int) []float32 {
	if !l.n.Has(name) {
		return nil
	}
	return l.tensor(name, n)
}

// tensor reads a tensor and checks its shape.
func (l *loader) tensor(name string, shape ...int) []float32 {
	if l.err != nil {
		return nil
	}
	data, got, err := l.n.Float32(name)
	switch {
	case err != nil:
		l.err = err
	case !slices.Equal(got, shape):
		l.err = fmt.Errorf("tensor %s has shape %v; config.json says it must have %v",
			name, got, shape)
	}
	return data
}
