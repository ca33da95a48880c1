// Package oracle has small networks of every family for the tests of backends, with the logits that
// Transformers computes for them; oracle.py beside this file made those. The weights are a formula,
// the same in both languages, so that nothing but configurations and logits is stored.
package oracle

import (
	"embed"
	"encoding/json"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/checkpoint"
)

//go:embed testdata
var files embed.FS

// tokens is the length of the prompt: its positions are past the original context wherever RoPE is
// scaled, and past windows.
const tokens = 40

// Kinds lists the networks, at least one of each family.
func Kinds(t testing.TB) []string {
	t.Helper()
	folders, err := fs.Glob(files, "testdata/*/config.json")
	if err != nil || len(folders) < 16 {
		t.Fatalf("%d networks: %v", len(folders), err)
	}
	for i, f := range folders {
		folders[i] = path.Base(path.Dir(f))
	}
	return folders
}

// Form is how a network's folder is made.
type Form struct {
	Prefix    string // of the names of all tensors
	Quantised bool   // in MLX's form, stacked; bits and groups differ from matrix to matrix
}

// Config returns config.json of a network.
func Config(t testing.TB, kind string) map[string]any {
	t.Helper()
	data, err := files.ReadFile("testdata/" + kind + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// Folder writes the model folder of a network and returns where it is.
func Folder(t testing.TB, kind string, form Form) string {
	t.Helper()
	config := Config(t, kind)
	dir := filepath.Join(t.TempDir(), kind)
	list := Tensors(t, config, form)
	if err := checkpoint.Write(dir, config, list); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Tensors lists the tensors of a network of any config.json and adds to config how they are
// quantised.
func Tensors(t testing.TB, config map[string]any, form Form) []checkpoint.Tensor {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	var list []checkpoint.Tensor
	modules := map[string]any{"group_size": 32, "bits": 4}
	for _, p := range c.Parameters() {
		if !form.Quantised || len(p.Shape) == 1 {
			for _, m := range p.Matrices() {
				list = append(list, plain(form.Prefix+stored(m), m, c.NormsMinusOne))
			}
			continue
		}
		q := quantise(p)
		module := form.Prefix + strings.TrimSuffix(stored(p), ".weight")
		modules[module] = map[string]any{"group_size": q.group, "bits": q.bits}
		list = append(list, q.tensors(module)...)
	}
	if form.Quantised {
		config["quantization"] = modules
	}
	return list
}

// stored is the name of a parameter in Hugging Face's folders.
func stored(p checkpoint.Parameter) string {
	if p.Stored == "lm_head.weight" {
		return p.Stored
	}
	return "model." + p.Stored
}

// Prompt returns the tokens that the logits are of.
func Prompt(vocab int) []int32 {
	ids := make([]int32, tokens)
	for i, u := range Uniform("tokens", len(ids)) {
		ids[i] = int32((u + 1) / 2 * float32(vocab))
	}
	return ids
}

// Logits returns the logits of the last tokens of the prompt, rows of them.
func Logits(t testing.TB, kind string, quantised bool) (logits []float32, rows int) {
	t.Helper()
	folder, err := fs.Sub(files, "testdata/"+kind)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	name := "logits"
	if quantised {
		name = "quantised"
	}
	data, shape, err := c.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return data, shape[0]
}

// Distance is the largest difference of two slices of the same length.
func Distance(t testing.TB, got, want []float32) (worst float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d logits, the oracle has %d", len(got), len(want))
	}
	for i := range want {
		d := math.Abs(float64(got[i] - want[i]))
		if math.IsNaN(d) {
			t.Fatalf("logit %d is %v, the oracle's %v", i, got[i], want[i])
		}
		worst = max(worst, d)
	}
	return worst
}

func plain(name string, p checkpoint.Parameter, minusOne bool) checkpoint.Tensor {
	return checkpoint.Tensor{Name: name, DType: "F32", Shape: p.Shape,
		Data: func() ([]float32, error) {
			n := p.Shape[0]
			for _, d := range p.Shape[1:] {
				n *= d
			}
			x := Uniform(stored(p), n)
			for i := range x {
				switch {
				case len(p.Shape) == 2:
					x[i] *= 0.25
				case !p.Norm || minusOne:
					x[i] *= 0.5
				default:
					x[i] = x[i]*0.5 + 1
				}
			}
			return x, nil
		}}
}

// A quantised matrix or stack of matrices: an element is scale*code + bias with a scale and a bias
// for each group.
type quantised struct {
	rows           []int // the shape without the columns
	columns        int
	bits, group    int
	codes          []uint32
	scales, biases []float32
}

// quantise makes the numbers of each matrix of its name, and the form of the name of the stack.
func quantise(p checkpoint.Parameter) *quantised {
	last := len(p.Shape) - 1
	q := &quantised{rows: p.Shape[:last], columns: p.Shape[last]}
	n := int(states(stored(p)+".form", 1)[0])
	var groups []int
	for _, g := range []int{32, 64, 128} {
		if q.columns%g == 0 {
			groups = append(groups, g)
		}
	}
	q.bits, q.group = []int{3, 4, 5, 6, 8}[n%5], groups[n/5%len(groups)]
	levels := float32(int(1)<<q.bits - 1)
	for _, m := range p.Matrices() {
		name, n := stored(m), p.Shape[last-1]*q.columns
		for _, state := range states(name, n) {
			q.codes = append(q.codes, state>>(24-q.bits))
		}
		for _, u := range Uniform(name+".scales", n/q.group) {
			scale := 0.5 / levels * (float32(u*0.5) + 1)
			q.scales = append(q.scales, scale)
			q.biases = append(q.biases, float32(scale*levels)*-0.5)
		}
	}
	return q
}

// tensors are the three tensors of MLX's form.
func (q *quantised) tensors(module string) []checkpoint.Tensor {
	shape := func(columns int) []int { return append(slices.Clone(q.rows), columns) }
	floats := func(ending string, x []float32) checkpoint.Tensor {
		return checkpoint.Tensor{Name: module + ending, DType: "F32",
			Shape: shape(q.columns / q.group),
			Data:  func() ([]float32, error) { return x, nil }}
	}
	return []checkpoint.Tensor{
		{Name: module + ".weight", DType: "U32", Shape: shape(q.columns * q.bits / 32),
			Words: func() ([]uint32, error) { return q.words(), nil }},
		floats(".scales", q.scales), floats(".biases", q.biases),
	}
}

// words packs the codes, lowest bits first.
func (q *quantised) words() []uint32 {
	words := make([]uint32, 0, len(q.codes)*q.bits/32)
	var word uint64
	have := 0
	for _, code := range q.codes {
		word |= uint64(code) << have
		if have += q.bits; have >= 32 {
			words = append(words, uint32(word))
			word, have = word>>32, have-32
		}
	}
	return words
}

// states are the top 24 bits of n states of a linear congruential generator, whose seed is the
// FNV-1a hash of name.
func states(name string, n int) []uint32 {
	state := uint64(0xCBF29CE484222325)
	for _, b := range []byte(name) {
		state = (state ^ uint64(b)) * 0x100000001B3
	}
	out := make([]uint32, n)
	for i := range out {
		state = state*6364136223846793005 + 1442695040888963407
		out[i] = uint32(state >> 40)
	}
	return out
}

// Uniform returns n numbers in [-1, 1).
func Uniform(name string, n int) []float32 {
	out := make([]float32, n)
	for i, s := range states(name, n) {
		out[i] = float32(s)/(1<<23) - 1
	}
	return out
}
