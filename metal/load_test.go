//go:build mlx

package metal

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// logitsOf opens a folder and returns the logits of a fixed prompt.
func logitsOf(t *testing.T, dir string, opt options) [][]float32 {
	t.Helper()
	m, err := open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.AllocKV(2, 2, 16); err != nil {
		t.Fatal(err)
	}
	return step(t, m, []*sequence{{ids: randomTokens(8, 20, m.Vocab()), table: []int32{1, 0}}}, []int{20})
}

// The same network in the forms in which folders come: several files with an index, bfloat16, inside a multimodal one.
func TestFolderForms(t *testing.T) {
	half := tinyGemma()
	for name, x := range half.tensors {
		half.tensors[name] = toBfloat16(x)
	}
	want := logitsOf(t, fromBfloat16(half).write(t), options{})

	t.Run("bfloat16", func(t *testing.T) {
		compare(t, "bfloat16", logitsOf(t, half.write(t), options{}), want)
	})
	t.Run("index", func(t *testing.T) {
		c, dir := fromBfloat16(half), t.TempDir()
		c.writeConfig(t, dir)
		files, weightMap := []map[string]tensor{{}, {}}, map[string]string{}
		for i, name := range slices.Sorted(maps.Keys(c.tensors)) {
			files[i%2][name] = c.tensors[name]
			weightMap[name] = []string{"a.safetensors", "b.safetensors"}[i%2]
		}
		writeSafetensors(t, filepath.Join(dir, "a.safetensors"), files[0])
		writeSafetensors(t, filepath.Join(dir, "b.safetensors"), files[1])
		index, _ := json.Marshal(map[string]any{"weight_map": weightMap})
		writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), index)
		compare(t, "index", logitsOf(t, dir, options{}), want)
	})
	t.Run("multimodal", func(t *testing.T) {
		c := fromBfloat16(half)
		outer := &checkpoint{config: map[string]any{"model_type": "gemma3", "text_config": c.config}, tensors: map[string]tensor{}}
		for name, x := range c.tensors {
			outer.tensors["language_model."+name] = x
		}
		compare(t, "multimodal", logitsOf(t, outer.write(t), options{}), want)
	})
}

// Affine-quantised weights: widened at load as on a CPU, and kept as on a GPU, against the same numbers in float32.
func TestQuantised(t *testing.T) {
	for _, make := range []func() *checkpoint{tinyLlama, tinyGemma} {
		for _, bits := range []int{4, 8} {
			plain, packed := make(), make()
			packed.config["quantization"] = map[string]any{"group_size": 32, "bits": bits}
			for name, x := range plain.tensors {
				// 72-wide heads make an output projection of 288 inputs, still a multiple of the group.
				if len(x.shape) == 2 {
					q := quantise(x, 32, bits)
					base := strings.TrimSuffix(name, ".weight")
					packed.tensors[name], packed.tensors[base+".scales"], packed.tensors[base+".biases"] = q.weight, q.scales, q.biases
					plain.tensors[name] = q.plain
				}
			}
			want := logitsOf(t, plain.write(t), options{})
			dir := packed.write(t)
			compare(t, "widened", logitsOf(t, dir, options{}), want)
			compare(t, "native", logitsOf(t, dir, options{native: true, graph: true}), want)
		}
	}
}

func TestOpenRefusesDamagedModels(t *testing.T) {
	for _, c := range []struct {
		what   string
		damage func(c *checkpoint)
		want   string
	}{
		{"a tensor missing", func(c *checkpoint) { delete(c.tensors, "model.layers.2.mlp.up_proj.weight") }, "tensor model.layers.2.mlp.up_proj.weight is missing"},
		{"another shape", func(c *checkpoint) {
			c.tensors["model.layers.0.self_attn.q_proj.weight"] = float32Tensor(make([]float32, 64*64), 64, 64)
		}, "q_proj.weight has shape [64 64], config.json asks for [192 64]"},
		{"a norm too long", func(c *checkpoint) { c.tensors["model.norm.weight"] = float32Tensor(make([]float32, 65), 65) }, "model.norm.weight has shape [65]"},
		{"a bias", func(c *checkpoint) {
			c.tensors["model.layers.1.mlp.down_proj.bias"] = float32Tensor(make([]float32, 64), 64)
		}, "down_proj.bias"},
		{"integers without scales", func(c *checkpoint) {
			x := c.tensors["lm_head.weight"]
			x.dtype = "U32"
			c.tensors["lm_head.weight"] = x
		}, "has no scales"},
		{"scales without biases", func(c *checkpoint) {
			c.tensors["lm_head.scales"] = float32Tensor(make([]float32, 131*2), 131, 2)
		}, "lm_head.biases is missing"},
		{"another vocabulary", func(c *checkpoint) { c.config["vocab_size"] = 130 }, "model.embed_tokens.weight has shape [131 64]"},
	} {
		ck := tinyLlama()
		c.damage(ck)
		dir := ck.write(t)
		m, err := Open(dir, "auto")
		if err == nil {
			m.Close()
			t.Errorf("%s: the model opens", c.what)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %q, want %q and the folder", c.what, err, c.want)
		}
	}
}

// BenchmarkWeights is one decode step and one prefill of 64 tokens on a model quantised to 4 bits, its weights widened to
// float32 at load (what Open does on a CPU) and kept as stored. It needs a quantised mlx-community folder in
// $LOADSTONE_QUANTISED.
func BenchmarkWeights(b *testing.B) {
	dir := os.Getenv("LOADSTONE_QUANTISED")
	if dir == "" {
		b.Skip("set LOADSTONE_QUANTISED to the folder of a quantised model, such as mlx_lm.convert -q makes")
	}
	for name, opt := range map[string]options{"float32": {}, "as-stored": {native: true, graph: true}} {
		m, err := open(dir, opt)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.AllocKV(4, 4, benchBlock); err != nil {
			b.Fatal(err)
		}
		ids := randomTokens(1, 65, m.Vocab())
		b.Run("weights="+name+"/prompt=64", func(b *testing.B) {
			for b.Loop() {
				stepLast(b, m, &sequence{ids: ids, table: consecutive(0, 65)}, 64)
			}
			b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
		b.Run("weights="+name+"/decode", func(b *testing.B) {
			for b.Loop() {
				stepLast(b, m, &sequence{ids: ids, table: consecutive(0, 65), done: 64}, 1)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tok/s")
		})
		m.Close()
	}
}

func (t tensor) float32s() []float32 {
	x := make([]float32, len(t.data)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.data[4*i:]))
	}
	return x
}

func toBfloat16(x tensor) tensor {
	data := make([]byte, 0, len(x.data)/2)
	for _, v := range x.float32s() {
		data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(float32(bfloat16(float64(v))))>>16))
	}
	return tensor{"BF16", x.shape, data}
}

// fromBfloat16 is the same checkpoint in float32.
func fromBfloat16(c *checkpoint) *checkpoint {
	out := &checkpoint{config: c.config, tensors: map[string]tensor{}}
	for name, x := range c.tensors {
		wide := make([]float32, len(x.data)/2)
		for i := range wide {
			wide[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(x.data[2*i:])) << 16)
		}
		out.tensors[name] = float32Tensor(wide, x.shape...)
	}
	return out
}

type quantised struct{ weight, scales, biases, plain tensor }

// quantise is MLX's affine form: groups of a row share scale and bias, x = scale q + bias, and q's of bits bits fill
// little-endian words of 32, the first in the lowest bits.
func quantise(x tensor, group, bits int) quantised {
	in, levels := x.shape[1], float32(int(1)<<bits-1)
	var words []byte
	var scales, biases, plain []float32
	w := x.float32s()
	for g := 0; g < len(w); g += group {
		part := w[g : g+group]
		lo, hi := slices.Min(part), slices.Max(part)
		scale := (hi - lo) / levels
		scales, biases = append(scales, scale), append(biases, lo)
		word, filled := uint32(0), 0
		for _, v := range part {
			q := uint32(math.Round(float64((v - lo) / scale)))
			plain = append(plain, scale*float32(q)+lo)
			word |= q << filled
			if filled += bits; filled == 32 {
				words = binary.LittleEndian.AppendUint32(words, word)
				word, filled = 0, 0
			}
		}
	}
	rows := x.shape[0]
	return quantised{
		tensor{"U32", []int{rows, in * bits / 32}, words}, float32Tensor(scales, rows, in/group),
		float32Tensor(biases, rows, in/group), float32Tensor(plain, rows, in),
	}
}
