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
	attnNorm     []float32 // E
	q            []float32 // H*D x E
	k, v         []float32 // K*D x E
	o            []float32 // E x H*D
	qNorm, kNorm []float32 // D; Gemma only
	postAttnNorm []float32 // E; Gemma only
	mlpNorm      []float32 // E
	gate, up     []float32 // F x E
	down         []float32 // E x F
	postMLPNorm  []float32 // E; Gemma only
}

// load reads all weights of a checkpoint.
func load(c *checkpoint.Checkpoint) (*weights, error) {
	n, err := c.Network()
	if err != nil {
		return nil, err
	}
	cfg := c.Config
	l := loader{c: c, prefix: n.Body, gemma: cfg.ModelType == "gemma3_text"}
	e, f, d := cfg.HiddenSize, cfg.Intermediate, cfg.HeadDim
	hd, kd := cfg.Heads*d, cfg.KVHeads*d
	w := &weights{embed: l.matrix("embed_tokens", cfg.VocabSize, e), norm: l.norm("norm", e)}
	for i := range cfg.Layers {
		at := fmt.Sprintf("layers.%d.", i)
		w.layers = append(w.layers, layer{
			attnNorm: l.norm(at+"input_layernorm", e),
			q:        l.matrix(at+"self_attn.q_proj", hd, e),
			k:        l.matrix(at+"self_attn.k_proj", kd, e),
			v:        l.matrix(at+"self_attn.v_proj", kd, e),
			o:        l.matrix(at+"self_attn.o_proj", e, hd),
			gate:     l.matrix(at+"mlp.gate_proj", f, e),
			up:       l.matrix(at+"mlp.up_proj", f, e),
			down:     l.matrix(at+"mlp.down_proj", e, f),
		})
		y := &w.layers[i]
		if l.gemma {
			y.qNorm, y.kNorm = l.norm(at+"self_attn.q_norm", d), l.norm(at+"self_attn.k_norm", d)
			y.postAttnNorm = l.norm(at+"post_attention_layernorm", e)
			y.mlpNorm = l.norm(at+"pre_feedforward_layernorm", e)
			y.postMLPNorm = l.norm(at+"post_feedforward_layernorm", e)
		} else {
			// This is Llama's name for the norm before the MLP.
			y.mlpNorm = l.norm(at+"post_attention_layernorm", e)
		}
	}
	if w.head = w.embed; n.Head != "" {
		l.prefix = ""
		w.head = l.matrix(n.Head, cfg.VocabSize, e)
	}
	return w, l.err
}

// loader reads tensors until the first error, which it keeps in err.
type loader struct {
	c      *checkpoint.Checkpoint
	prefix string
	gemma  bool
	err    error
}

// matrix reads the weights of a linear layer.
func (l *loader) matrix(name string, rows, columns int) []float32 {
	return l.tensor(name+".weight", rows, columns)
}

// norm reads the factors of an RMSNorm. Gemma's checkpoints store each factor minus 1.
func (l *loader) norm(name string, n int) []float32 {
	w := l.tensor(name+".weight", n)
	if l.gemma {
		for i := range w {
			w[i]++
		}
	}
	return w
}

// tensor reads a tensor and checks its shape.
func (l *loader) tensor(name string, shape ...int) []float32 {
	if l.err != nil {
		return nil
	}
	data, got, err := l.c.Float32(l.prefix + name)
	switch {
	case err != nil:
		l.err = err
	case !slices.Equal(got, shape):
		l.err = fmt.Errorf("tensor %s has shape %v; config.json says it must have %v",
			l.prefix+name, got, shape)
	}
	return data
}
