//go:build mlx

package metal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
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
	s := &sequence{ids: randomTokens(8, 20, m.Vocab()), table: []int32{1, 0}}
	return step(t, m, []*sequence{s}, []int{20})
}

// The same network in several forms of folders: several files with an index, bfloat16, and inside a
// multimodal folder.
func TestFolderForms(t *testing.T) {
	half := tinyGemma()
	for name, x := range half.tensors {
		half.tensors[name] = toBfloat16(x)
	}
	want := logitsOf(t, fromBfloat16(half).write(t), options{})

	t.Run("bfloat16", func(t *testing.T) {
		compare(t, "bfloat16", logitsOf(t, half.write(t), options{}), want)
		compare(t, "bfloat16 widened", logitsOf(t, half.write(t), options{graph: true}), want)
	})
	t.Run("index", func(t *testing.T) {
		c, dir := fromBfloat16(half), t.TempDir()
		c.writeConfig(t, dir)
		files, weightMap := []map[string]tensor{{}, {}}, map[string]string{}
		for i, name := range slices.Sorted(maps.Keys(c.tensors)) {
			files[i%2][name] = c.tensors[name]
			weightMap[name] = []string{"a.safetensors", "b.weights"}[i%2]
		}
		writeSafetensors(t, filepath.Join(dir, "a.safetensors"), files[0])
		// The index may give a file any name.
		writeSafetensors(t, filepath.Join(dir, "b.weights"), files[1])
		index, _ := json.Marshal(map[string]any{"weight_map": weightMap})
		writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), index)
		compare(t, "index", logitsOf(t, dir, options{}), want)
	})
	t.Run("multimodal", func(t *testing.T) {
		c := fromBfloat16(half)
		outer := &folder{config: map[string]any{"model_type": "gemma3", "text_config": c.config},
			tensors: map[string]tensor{}}
		for name, x := range c.tensors {
			outer.tensors["language_model."+name] = x
		}
		compare(t, "multimodal", logitsOf(t, outer.write(t), options{}), want)
	})
	t.Run("multimodal of Transformers 5", func(t *testing.T) {
		c := fromBfloat16(half)
		outer := &folder{config: map[string]any{"model_type": "gemma3", "text_config": c.config},
			tensors: map[string]tensor{
				"model.vision_tower.fc.bias": {"F64", []int{1}, make([]byte, 8)},
			}}
		for name, x := range c.tensors {
			outer.tensors["model.language_model."+strings.TrimPrefix(name, "model.")] = x
		}
		compare(t, "multimodal", logitsOf(t, outer.write(t), options{}), want)
	})
	t.Run("body", func(t *testing.T) {
		c := fromBfloat16(half)
		body := &folder{config: c.config, tensors: map[string]tensor{}}
		for name, x := range c.tensors {
			body.tensors[strings.TrimPrefix(name, "model.")] = x
		}
		compare(t, "body", logitsOf(t, body.write(t), options{}), want)
	})
}

// Mistral without a sliding window is a Llama.
func TestMistral(t *testing.T) {
	want := logitsOf(t, tinyLlama().write(t), options{})
	mistral := tinyLlama()
	mistral.config["model_type"], mistral.config["sliding_window"] = "mistral", nil
	compare(t, "mistral", logitsOf(t, mistral.write(t), options{}), want)
}

// quantisedPair returns a network whose matrices are quantised, and one with the same numbers in
// float32.
func quantisedPair(make func() *folder, group, bits int) (packed, plain *folder) {
	packed, plain = make(), make()
	packed.config["quantization"] = map[string]any{"group_size": group, "bits": bits}
	for name, x := range plain.tensors {
		// Heads of 72 elements make an output projection of 288 inputs, which is a multiple of 32.
		if len(x.shape) == 2 {
			q := quantise(x, group, bits)
			base := strings.TrimSuffix(name, ".weight")
			packed.tensors[name], packed.tensors[base+".scales"],
				packed.tensors[base+".biases"] = q.weight, q.scales, q.biases
			plain.tensors[name] = q.plain
		}
	}
	return packed, plain
}

// Affine-quantised weights, widened and kept as on a GPU, give the logits of the same numbers in
// float32.
func TestQuantised(t *testing.T) {
	for _, make := range []func() *folder{tinyLlama, tinyGemma, tinyOdd} {
		for _, bits := range []int{4, 5, 8} {
			packed, plain := quantisedPair(make, 32, bits)
			want := logitsOf(t, plain.write(t), options{})
			dir := packed.write(t)
			compare(t, "widened", logitsOf(t, dir, options{graph: true}), want)
			compare(t, "native", logitsOf(t, dir, options{native: true, graph: true}), want)
		}
	}
}

// The CPU kernels for quantised weights give the same logits with every instruction set as the
// scalar kernels, to the last bit. These are near the logits of float32 and not equal, because
// activations are rounded to whole numbers of 8 or 16 bits: after three layers of random numbers
// the difference is a few per cent, or a thousandth. TestMLXLM shows it in real networks.
func TestQuantisedKernels(t *testing.T) {
	needsCPU(t)
	for name, make := range map[string]func() *folder{"llama": tinyLlama, "gemma": tinyGemma} {
		for _, bits := range []int{4, 5, 8} {
			for activations, most := range map[int]float64{8: 0.06, 16: 0.002} {
				name := fmt.Sprintf("%s/bits=%d/activations=%d", name, bits, activations)
				t.Run(name, func(t *testing.T) {
					packed, _ := quantisedPair(make, 32, bits)
					dir, opt := packed.write(t), options{Options: Options{Activations: activations}}
					best := instructionSet()
					useInstructionSet("scalar")
					want := logitsOf(t, dir, opt)
					useInstructionSet(best)
					if off := share(want, logitsOf(t, dir, options{graph: true})); !(off < most) {
						t.Errorf("logits are off by %.5f of their size", off)
					}
					eachInstructionSet(t, func(t *testing.T, isa string) {
						for i, row := range logitsOf(t, dir, opt) {
							for j, x := range row {
								if x != want[i][j] {
									t.Fatalf("row %d logit %d is %v, the scalar kernels give %v",
										i, j, x, want[i][j])
								}
							}
						}
					})
				})
			}
		}
	}
}

// share returns the size of the difference of rows of logits, as a share of the size of the exact
// ones.
func share(rows, exact [][]float32) float64 {
	off, size := 0.0, 0.0
	for i, row := range rows {
		for j := range row {
			off += math.Pow(float64(row[j]-exact[i][j]), 2)
			size += math.Pow(float64(exact[i][j]), 2)
		}
	}
	return math.Sqrt(off / size)
}

func TestOpenRefusesDamagedModels(t *testing.T) {
	zeros := func(shape ...int) tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return float32Tensor(make([]float32, n), shape...)
	}
	for _, c := range []struct {
		what   string
		damage func(c *folder)
		want   string
	}{
		{"a tensor missing", func(c *folder) {
			delete(c.tensors, "model.layers.2.mlp.up_proj.weight")
		}, "tensor model.layers.2.mlp.up_proj.weight is missing"},
		{"untied, without a head", func(c *folder) { delete(c.tensors, "lm_head.weight") },
			"tensor lm_head.weight is missing, and config.json does not say"},
		{"a layer that config.json does not have",
			func(c *folder) { c.config["num_hidden_layers"] = 2 },
			"is of a layer that config.json does not have: num_hidden_layers is 2"},
		{"another shape", func(c *folder) {
			c.tensors["model.layers.0.self_attn.q_proj.weight"] = zeros(64, 64)
		}, "q_proj.weight has shape [64 64], config.json asks for [192 64]"},
		{"a norm too long", func(c *folder) {
			c.tensors["model.norm.weight"] = zeros(65)
		}, "model.norm.weight has shape [65]"},
		{"a bias", func(c *folder) {
			c.tensors["model.layers.1.mlp.down_proj.bias"] = zeros(64)
		}, "down_proj.bias"},
		{"integers without scales", func(c *folder) {
			x := c.tensors["lm_head.weight"]
			x.dtype = "U32"
			c.tensors["lm_head.weight"] = x
		}, "has no scales"},
		{"scales without biases", func(c *folder) {
			c.tensors["lm_head.scales"] = zeros(131, 2)
		}, "lm_head.biases is missing"},
		{"another vocabulary", func(c *folder) { c.config["vocab_size"] = 130 },
			"model.embed_tokens.weight has shape [131 64]"},
		{"another architecture", func(c *folder) { c.config["model_type"] = "mamba" },
			`config.json: model_type "mamba" is not supported`},
		{"a type that nothing reads", func(c *folder) {
			c.tensors["lm_head.weight"] = tensor{"Q4", []int{131, 64}, make([]byte, 131*64/2)}
		}, `model.safetensors: tensor lm_head.weight: dtype "Q4" is unknown`},
	} {
		ck := tinyLlama()
		c.damage(ck)
		dir := ck.write(t)
		m, err := Open(dir, Options{})
		if err == nil {
			m.Close()
			t.Errorf("%s: the model opens", c.what)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %q, want %q and the folder", c.what, err, c.want)
		}
	}
}

// The files are checked by package checkpoint before they are mapped, and its errors get the
// folder.
func TestOpenRefusesDamagedFiles(t *testing.T) {
	dir := tinyLlama().write(t)
	refused := func(want string) {
		t.Helper()
		m, err := Open(dir, Options{})
		if err == nil {
			m.Close()
			t.Errorf("the model opens, want %q", want)
		} else if !strings.HasPrefix(err.Error(), dir+": "+want) {
			t.Errorf("error %q, want %q and the folder", err, want)
		}
	}
	weights := filepath.Join(dir, "model.safetensors")
	for _, size := range []int64{5000, 100, 5, 0} {
		if err := os.Truncate(weights, size); err != nil {
			t.Fatal(err)
		}
		refused("model.safetensors: ")
	}
	if err := os.Remove(weights); err != nil {
		t.Fatal(err)
	}
	refused("model.safetensors is not there")
	index := []byte(`{"weight_map":{"x":"../../etc/passwd"}}`)
	writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), index)
	refused("model.safetensors.index.json: tensor x is in")
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	refused("config.json is not there")
}

// A folder that is removed while its weights are read does no harm, because its files are open. A
// file that is truncated meanwhile gives an error before the missing bytes are read, not SIGBUS.
func TestLoadOfFilesThatChange(t *testing.T) {
	load := func(change func(dir string) error) (read []int64, total int64, err error) {
		dir := tinyGemma().write(t)
		w, err := openWeights(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		m := &Model{cfg: w.config}
		note := func(done, of int64) { read, total = append(read, done), of }
		opt := options{Options: Options{Progress: note}}
		err = onThread(func() error { return m.load(w, opt) })
		if err == nil {
			m.Close()
		}
		return read, total, err
	}
	read, total, err := load(os.RemoveAll)
	if err != nil || !slices.IsSorted(read) || len(read) != 5 || read[4] != total ||
		total != tensorBytes(tinyGemma()) {
		t.Errorf("a folder that goes away: %v, progress %v of %d", err, read, total)
	}
	_, _, err = load(func(dir string) error {
		return os.Truncate(filepath.Join(dir, "model.safetensors"), 5000)
	})
	if err == nil || !strings.Contains(err.Error(), "has become shorter, 5000 bytes of") {
		t.Errorf("a file that is cut: %v", err)
	}
}

// tensorBytes returns the bytes of all tensors of a folder.
func tensorBytes(c *folder) (n int64) {
	for _, x := range c.tensors {
		n += int64(len(x.data))
	}
	return n
}

// BenchmarkWeights is one decode step and one prefill of 64 tokens on a quantised model, with its
// weights packed for the CPU kernels (as Open does it), widened to float32, and as stored, the
// latter two with MLX's operations. It needs a quantised mlx-community folder in
// $LOADSTONE_QUANTISED.
func BenchmarkWeights(b *testing.B) {
	dir := os.Getenv("LOADSTONE_QUANTISED")
	if dir == "" {
		b.Skip("set LOADSTONE_QUANTISED to the folder of a quantised model, " +
			"for instance one that mlx_lm.convert -q has made")
	}
	for name, opt := range map[string]options{
		"packed": {}, "float32": {graph: true}, "as-stored": {native: true, graph: true},
	} {
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
		bits := math.Float32bits(v)
		data = binary.LittleEndian.AppendUint16(data, uint16((bits+0x7fff+bits>>16&1)>>16))
	}
	return tensor{"BF16", x.shape, data}
}

// fromBfloat16 returns the same network in float32.
func fromBfloat16(c *folder) *folder {
	out := &folder{config: c.config, tensors: map[string]tensor{}}
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

// quantise returns a matrix in MLX's affine form: the elements of a group of a row share a scale
// and a bias, x = scale q + bias, and the q, of bits bits each, fill little-endian words of 32
// bits, the first in the lowest bits.
func quantise(x tensor, group, bits int) quantised {
	in, levels := x.shape[1], float32(int(1)<<bits-1)
	var words []byte
	var scales, biases, plain []float32
	w := x.float32s()
	for g := 0; g < len(w); g += group {
		elements := w[g : g+group]
		lo, hi := slices.Min(elements), slices.Max(elements)
		scale := (hi - lo) / levels
		scales, biases = append(scales, scale), append(biases, lo)
		word, filled := uint64(0), 0
		for _, v := range elements {
			q := uint64(math.Round(float64((v - lo) / scale)))
			plain = append(plain, scale*float32(q)+lo)
			word |= q << filled
			if filled += bits; filled >= 32 {
				words = binary.LittleEndian.AppendUint32(words, uint32(word))
				word, filled = word>>32, filled-32
			}
		}
	}
	rows := x.shape[0]
	return quantised{
		tensor{"U32", []int{rows, in * bits / 32}, words},
		float32Tensor(scales, rows, in/group),
		float32Tensor(biases, rows, in/group),
		float32Tensor(plain, rows, in),
	}
}
