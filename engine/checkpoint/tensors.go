package checkpoint

import (
	"fmt"
	"strings"
)

// A Parameter is a tensor that the files of a network hold: a vector, a matrix or a stack of
// matrices, with one, two or three dimensions. All but vectors may be quantised.
type Parameter struct {
	// Stored is its name in Hugging Face's folders, behind the body's beginning:
	// "layers.0.mlp.up_proj.weight".
	Stored string
	GGUF   string // in GGUF files: "blk.0.ffn_up.weight"
	Shape  []int
	Parts  []Part // what it is in the network; more than one for a tensor that holds several matrices
	Norm   bool   // the factors of a norm
	// Heads is not 0 for queries and keys: the rows are those of so many heads, which RoPE rotates.
	Heads int
	// Apart, unless it is nil, are the names under which folders may hold the matrices of a stack
	// one by one, as Hugging Face does where mlx-lm has the stack.
	Apart []string
}

// A Part is a range of rows of a matrix, or a matrix of a stack, under the name that Network gives
// it.
type Part struct {
	Name string
	Rows int
}

// Matrices returns the matrices of a stack as parameters of their own, and another parameter alone.
func (p Parameter) Matrices() []Parameter {
	if p.Apart == nil {
		return []Parameter{p}
	}
	var list []Parameter
	for i, stored := range p.Apart {
		list = append(list, Parameter{Stored: stored, Shape: p.Shape[1:], Parts: p.Parts[i : i+1]})
	}
	return list
}

// sizes are the numbers of rows and columns that tensors have.
type sizes struct{ vocab, e, f, q, kv, d, experts, inner int }

// A tensor is a row of the table of tensors. A matrix has columns, a vector has none.
type tensor struct {
	name    string // in Network
	stored  string // in Hugging Face's folders
	gguf    string // in GGUF files
	rows    func(n sizes) int
	columns func(n sizes) int // nil for a vector
	when    func(c *Config) bool
	split   []tensor // of a matrix that holds several, one after the other
}

var (
	rowsE  = func(n sizes) int { return n.e }
	rowsF  = func(n sizes) int { return n.f }
	rowsQ  = func(n sizes) int { return n.q }
	rowsKV = func(n sizes) int { return n.kv }
	rowsD  = func(n sizes) int { return n.d }
	rowsX  = func(n sizes) int { return n.experts }
	rowsXF = func(n sizes) int { return n.inner }
	vocab  = func(n sizes) int { return n.vocab }

	always    = func(*Config) bool { return true }
	fused     = func(c *Config) bool { return c.Fused }
	apart     = func(c *Config) bool { return !c.Fused }
	experts   = func(c *Config) bool { return c.Experts > 0 }
	mlp       = func(c *Config) bool { return c.Experts == 0 }
	gated     = func(c *Config) bool { return c.Experts == 0 && !c.Fused }
	postNorms = func(c *Config) bool { return c.PostNorms }
	preNorms  = func(c *Config) bool { return !c.PostNorms }
	qkNorm    = func(c *Config) bool { return c.QKNorm }
	qkvBias   = func(c *Config) bool { return c.QKVBias }
	oBias     = func(c *Config) bool { return c.OBias }
	mlpBias   = func(c *Config) bool { return c.MLPBias }
)

// modelTensors is the table of the tensors outside the layers.
var modelTensors = []tensor{
	{"embed.weight", "embed_tokens.weight", "token_embd.weight", vocab, rowsE, always, nil},
	{"norm.weight", "norm.weight", "output_norm.weight", rowsE, nil, always, nil},
	{"head.weight", "lm_head.weight", "output.weight", vocab, rowsE,
		func(c *Config) bool { return !c.TieEmbeddings }, nil},
}

// layerTensors is the table of a layer's tensors: what they are called here, in Hugging Face's
// folders behind "layers.N." and in GGUF files behind "blk.N.", and which networks have them.
var layerTensors = []tensor{
	{"attn_norm.weight", "input_layernorm.weight", "attn_norm.weight", rowsE, nil, always, nil},
	{"q.weight", "self_attn.q_proj.weight", "attn_q.weight", rowsQ, rowsE, apart, nil},
	{"k.weight", "self_attn.k_proj.weight", "attn_k.weight", rowsKV, rowsE, apart, nil},
	{"v.weight", "self_attn.v_proj.weight", "attn_v.weight", rowsKV, rowsE, apart, nil},
	{"qkv.weight", "self_attn.qkv_proj.weight", "attn_qkv.weight", nil, rowsE, fused, []tensor{
		{name: "q.weight", rows: rowsQ}, {name: "k.weight", rows: rowsKV},
		{name: "v.weight", rows: rowsKV}}},
	{"q.bias", "self_attn.q_proj.bias", "attn_q.bias", rowsQ, nil, qkvBias, nil},
	{"k.bias", "self_attn.k_proj.bias", "attn_k.bias", rowsKV, nil, qkvBias, nil},
	{"v.bias", "self_attn.v_proj.bias", "attn_v.bias", rowsKV, nil, qkvBias, nil},
	{"q_norm.weight", "self_attn.q_norm.weight", "attn_q_norm.weight", rowsD, nil, qkNorm, nil},
	{"k_norm.weight", "self_attn.k_norm.weight", "attn_k_norm.weight", rowsD, nil, qkNorm, nil},
	{"o.weight", "self_attn.o_proj.weight", "attn_output.weight", rowsE, rowsQ, always, nil},
	{"o.bias", "self_attn.o_proj.bias", "attn_output.bias", rowsE, nil, oBias, nil},
	{"post_attn_norm.weight", "post_attention_layernorm.weight", "post_attention_norm.weight",
		rowsE, nil, postNorms, nil},
	{"mlp_norm.weight", "post_attention_layernorm.weight", "ffn_norm.weight",
		rowsE, nil, preNorms, nil},
	{"mlp_norm.weight", "pre_feedforward_layernorm.weight", "ffn_norm.weight",
		rowsE, nil, postNorms, nil},
	{"gate.weight", "mlp.gate_proj.weight", "ffn_gate.weight", rowsF, rowsE, gated, nil},
	{"up.weight", "mlp.up_proj.weight", "ffn_up.weight", rowsF, rowsE, gated, nil},
	{"gate_up.weight", "mlp.gate_up_proj.weight", "ffn_up.weight", nil, rowsE, fused, []tensor{
		{name: "gate.weight", rows: rowsF}, {name: "up.weight", rows: rowsF}}},
	{"gate.bias", "mlp.gate_proj.bias", "ffn_gate.bias", rowsF, nil, mlpBias, nil},
	{"up.bias", "mlp.up_proj.bias", "ffn_up.bias", rowsF, nil, mlpBias, nil},
	{"down.weight", "mlp.down_proj.weight", "ffn_down.weight", rowsE, rowsF, mlp, nil},
	{"down.bias", "mlp.down_proj.bias", "ffn_down.bias", rowsE, nil, mlpBias, nil},
	{"router.weight", "mlp.gate.weight", "ffn_gate_inp.weight", rowsX, rowsE, experts, nil},
	{"post_mlp_norm.weight", "post_feedforward_layernorm.weight", "post_ffw_norm.weight",
		rowsE, nil, postNorms, nil},
}

// expertTensors is the table of the matrices that each expert of a layer has: behind
// "mlp.experts.N." in Hugging Face's folders, and the stack of all experts behind "mlp.switch_mlp."
// in mlx-lm's.
var expertTensors = []tensor{
	{"gate.weight", "gate_proj.weight", "ffn_gate_exps.weight", rowsXF, rowsE, experts, nil},
	{"up.weight", "up_proj.weight", "ffn_up_exps.weight", rowsXF, rowsE, experts, nil},
	{"down.weight", "down_proj.weight", "ffn_down_exps.weight", rowsE, rowsXF, experts, nil},
}

// Parameters lists the tensors that the files of the network hold.
func (c *Config) Parameters() []Parameter {
	n := sizes{vocab: c.VocabSize, e: c.HiddenSize, f: c.Intermediate, d: c.HeadDim,
		q: c.Heads * c.HeadDim, kv: c.KVHeads * c.HeadDim,
		experts: c.Experts, inner: c.ExpertIntermediate}
	var list []Parameter
	add := func(table []tensor, at, blk string) {
		for _, t := range table {
			if !t.when(c) {
				continue
			}
			p := t.parameter(n, at)
			p.Stored, p.GGUF = at+t.stored, blk+t.gguf
			switch t.name {
			case "q.weight", "q.bias":
				p.Heads = c.Heads
			case "k.weight", "k.bias":
				p.Heads = c.KVHeads
			}
			list = append(list, p)
		}
	}
	add(modelTensors, "", "")
	for i := range c.Layers {
		at, blk := fmt.Sprintf("layers.%d.", i), fmt.Sprintf("blk.%d.", i)
		add(layerTensors, at, blk)
		for _, t := range expertTensors {
			if t.when(c) {
				list = append(list, t.stack(n, at, blk))
			}
		}
	}
	return list
}

// stack returns the parameter that holds a matrix of every expert of a layer.
func (t *tensor) stack(n sizes, at, blk string) Parameter {
	p := Parameter{Stored: at + "mlp.switch_mlp." + t.stored, GGUF: blk + t.gguf,
		Shape: []int{n.experts, t.rows(n), t.columns(n)}}
	for x := range n.experts {
		p.Apart = append(p.Apart, fmt.Sprintf("%smlp.experts.%d.%s", at, x, t.stored))
		p.Parts = append(p.Parts, Part{fmt.Sprintf("%sexperts.%d.%s", at, x, t.name), t.rows(n)})
	}
	return p
}

// parameter returns the parameter of a row of the table, with its shape and its parts.
func (t *tensor) parameter(n sizes, here string) Parameter {
	p := Parameter{Norm: strings.HasSuffix(t.name, "norm.weight")}
	parts := t.split
	if parts == nil {
		parts = []tensor{*t}
	}
	rows := 0
	for _, part := range parts {
		p.Parts = append(p.Parts, Part{here + part.name, part.rows(n)})
		rows += part.rows(n)
	}
	p.Shape = []int{rows}
	if t.columns != nil {
		p.Shape = append(p.Shape, t.columns(n))
	}
	return p
}
