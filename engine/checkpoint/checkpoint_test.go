package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const llamaConfig = `{"model_type":"llama","vocab_size":8,"hidden_size":4,"num_hidden_layers":1,
	"intermediate_size":8,"num_attention_heads":2}`

// file returns a safetensors file that has the header as it is given and n bytes of data.
func file(header string, n int) *fstest.MapFile {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return &fstest.MapFile{Data: append(append(b, header...), make([]byte, n)...)}
}

// folder returns a Llama's folder with these weights.
func folder(weights *fstest.MapFile) fstest.MapFS {
	return fstest.MapFS{"config.json": {Data: []byte(llamaConfig)}, "model.safetensors": weights}
}

// TestMLX reads weights that MLX has quantised, in every width and group size. They are equal to
// the last bit to those that MLX reads from the same file.
func TestMLX(t *testing.T) {
	c, err := Open(os.DirFS("testdata/affine"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, stored := range c.Names() {
		want, ok := strings.CutPrefix(stored, "want.")
		if !ok {
			continue
		}
		compared++
		name := want
		if c.Has(want + ".weight") {
			name += ".weight"
		}
		got, shape, err := c.Float32(name)
		if err != nil {
			t.Error(err)
			continue
		}
		data, wantShape, err := c.Float32(stored)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(shape, wantShape) {
			t.Errorf("%s: shape %v, want %v", name, shape, wantShape)
		}
		for i := range data {
			if math.Float32bits(got[i]) != math.Float32bits(data[i]) {
				t.Errorf("%s: element %d is %v, MLX has %v", name, i, got[i], data[i])
				break
			}
		}
	}
	if compared != 20 {
		t.Errorf("%d tensors compared, want 18 quantised and 2 halves", compared)
	}
}

// TestHalf converts every binary16 to float32 and back, and the number in the middle of two of them
// to the even one.
func TestHalf(t *testing.T) {
	for h := range uint32(1 << 16) {
		h := uint16(h)
		f := HalfToFloat(h)
		if f != f {
			if g := FloatToHalf(f); g&0x7c00 != 0x7c00 || g&0x3ff == 0 {
				t.Fatalf("%#04x, a NaN, becomes %#04x", h, g)
			}
			continue
		}
		if g := FloatToHalf(f); g != h {
			t.Fatalf("%#04x is %v, which becomes %#04x", h, f, g)
		}
		if next := HalfToFloat(h + 1); h&0x7fff < 0x7bff {
			half := f + (next-f)/2
			if g, want := FloatToHalf(half), h+h&1; g != want {
				t.Fatalf("%v between %#04x and the next becomes %#04x, want %#04x",
					half, h, g, want)
			}
		}
	}
}

func TestWriteRead(t *testing.T) {
	dir := t.TempDir()
	data := []float32{1, -2.5, 0.333251953125, 3.1415927, 65519, 1e-7}
	list := []Tensor{}
	for _, dtype := range []string{"F32", "F16", "BF16"} {
		list = append(list, Tensor{Name: "x." + dtype, DType: dtype, Shape: []int{2, 3},
			Data: func() ([]float32, error) { return data, nil }})
	}
	list = append(list,
		Tensor{Name: "empty", DType: "F32", Shape: []int{0, 3},
			Data: func() ([]float32, error) { return nil, nil }},
		Tensor{Name: "scalar", DType: "F32",
			Data: func() ([]float32, error) { return []float32{7}, nil }},
		Tensor{Name: "q.weight", DType: "U32", Shape: []int{1, 4},
			Words: func() ([]uint32, error) { return []uint32{0x21, 3, 0, 0xf0000000}, nil }},
		Tensor{Name: "q.scales", DType: "F16", Shape: []int{1, 1},
			Data: func() ([]float32, error) { return []float32{0.5}, nil }},
		Tensor{Name: "q.biases", DType: "F16", Shape: []int{1, 1},
			Data: func() ([]float32, error) { return []float32{-1}, nil }})
	config := map[string]any{"model_type": "llama", "vocab_size": 8, "hidden_size": 4,
		"num_hidden_layers": 1, "intermediate_size": 8, "num_attention_heads": 2,
		"quantization": map[string]any{"group_size": 32, "bits": 4}}
	packed := slices.Repeat([]float32{-1}, 32)
	packed[0], packed[1], packed[8], packed[31] = -0.5, 0, 0.5, 6.5
	if err := Write(dir, config, list); err != nil {
		t.Fatal(err)
	}
	want := map[string][]float32{
		"x.F32": data, "x.F16": {1, -2.5, 0.333251953125, 3.140625, 65504, 1.1920929e-07},
		"x.BF16": {1, -2.5, 0.33398438, 3.140625, 65536, 1.0011718e-07}, "empty": {}, "scalar": {7},
		"q.weight": packed,
	}
	// Once with files that can be read at any place, once with files that can only be read in
	// order.
	for _, fsys := range []fs.FS{os.DirFS(dir), forwardFS{os.DirFS(dir)}} {
		c, err := Open(fsys)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			got, _, err := c.Float32(name)
			if err != nil || !slices.Equal(got, w) {
				t.Errorf("%s is %v (%v), want %v", name, got, err, w)
			}
		}
	}

	// A write that fails leaves the old files as they were, and no others.
	broken := errors.New("broken")
	list[1].Data = func() ([]float32, error) { return nil, broken }
	before, _ := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err := Write(dir, config, list); !errors.Is(err, broken) ||
		!strings.Contains(err.Error(), "x.F16") {
		t.Errorf("error %v, want one of tensor x.F16", err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	entries, _ := os.ReadDir(dir)
	if !bytes.Equal(before, after) || len(entries) != 2 {
		t.Errorf("after a failed write the folder has %v", entries)
	}
}

// forwardFS hides that files can be read at any place.
type forwardFS struct{ fs.FS }

func (f forwardFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	return struct{ fs.File }{file}, err
}

func TestShards(t *testing.T) {
	entry := func(name string) *fstest.MapFile {
		return file(fmt.Sprintf(`{%q:{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, name), 4)
	}
	for name, c := range map[string]struct {
		index string
		say   string // "" for none
	}{
		"good": {`{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, ""},
		"outside": {`{"weight_map":{"a":"../1.safetensors"}}`,
			`"../1.safetensors", which is not a file of this folder`},
		"missing": {`{"weight_map":{"a":"1.safetensors","c":"1.safetensors"}}`,
			"tensor c is not in 1.safetensors"},
		"swapped": {`{"weight_map":{"a":"2.safetensors","b":"1.safetensors"}}`, "is not in"},
		"twice": {`{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`,
			"3.safetensors: tensor a is in 1.safetensors as well"},
		"no file": {`{"weight_map":{"a":"4.safetensors"}}`, "4.safetensors is not there"},
		"empty":   {`{"weight_map":{}}`, "weight_map is empty"},
	} {
		fsys := fstest.MapFS{"config.json": {Data: []byte(llamaConfig)},
			"model.safetensors.index.json": {Data: []byte(c.index)}, "1.safetensors": entry("a"),
			"2.safetensors": entry("b"), "3.safetensors": entry("a")}
		ck, err := Open(fsys)
		if c.say == "" {
			if err != nil || !slices.Equal(ck.Names(), []string{"a", "b"}) {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.say)
		}
	}
}

// hostile are headers that must be refused, each with the number of bytes of data after it and with
// words of the error.
var hostile = []struct {
	header string
	data   int
	say    string
}{
	{`[]`, 0, "not a JSON object"},
	{`{"a":`, 0, "tensor a: "},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 4, "header: "},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x`, 4, "goes on after"},
	{`{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}`, 4, `tensor a: dtype "Q9" is unknown`},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, 4, "bytes 0 to 8 of 4 bytes"},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4, "bytes 4 to 0"},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4, "bytes -4 to 0"},
	{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4, "takes 8 bytes, not 4"},
	{`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4, "shape [-1]"},
	{`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0,
		"is more than the 0 bytes"},
	{`{"a":{"dtype":"F32","shape":[65536,65536,65536,65536],"data_offsets":[0,0]}}`, 0,
		"is more than the 0 bytes"},
	{`{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}}`, 0, "tensor a: "},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6, "tensor b begins at byte 2"},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12, "tensor b begins at byte 8"},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8, "end at byte 4 of 8"},
	{`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, "tensor a is there twice"},
	{`{"` + strings.Repeat("a", 2000) + `":1}`, 0, "name of 2000 bytes"},
	{`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, 4,
		"17 dimensions"},
}

func TestHostileHeaders(t *testing.T) {
	for _, h := range hostile {
		_, err := Open(folder(file(h.header, h.data)))
		if err == nil || !strings.Contains(err.Error(), h.say) ||
			!strings.HasPrefix(err.Error(), "model.safetensors: ") {
			t.Errorf("%.80s: error %v, want one of model.safetensors with %q", h.header, err, h.say)
		}
	}
	for name, raw := range map[string][]byte{
		"7 bytes are too few":                     make([]byte, 7),
		"header of 18446744073709551615 bytes in": bytes.Repeat([]byte{0xff}, 16),
		"header of 9 bytes in a file of 16": append([]byte{9, 0, 0, 0, 0, 0, 0, 0},
			`{}      `...),
	} {
		if _, err := Open(folder(&fstest.MapFile{Data: raw})); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

// TestRefusesDamagedFiles damages a good folder in the ways in which downloads go wrong.
func TestRefusesDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	config := map[string]any{"model_type": "llama", "vocab_size": 8, "hidden_size": 4,
		"num_hidden_layers": 1, "intermediate_size": 8, "num_attention_heads": 2}
	err := Write(dir, config, []Tensor{{Name: "model.norm.weight", DType: "F32", Shape: []int{4},
		Data: func() ([]float32, error) { return make([]float32, 4), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(os.DirFS(dir)); err != nil {
		t.Fatalf("an undamaged folder: %v", err)
	}
	path := filepath.Join(dir, "model.safetensors")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one := func(shape, offsets string, n int) []byte {
		return file(`{"x":{"dtype":"F32","shape":`+shape+`,"data_offsets":`+offsets+`}}`, n).Data
	}
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"empty", nil, "too few"},
		{"cut in the length", good[:5], "too few"},
		{"cut in the header", good[:50], "truncated"},
		{"cut in the data", good[:len(good)-1], "truncated"},
		{"a huge header", append(binary.LittleEndian.AppendUint64(nil, 1<<63), good[8:]...),
			"truncated"},
		{"not JSON", file("hello", 0).Data, "header"},
		{"negative shape", one("[-1]", "[0,4]", 4), "shape [-1]"},
		{"overflowing shape", one("[4611686018427387904,4]", "[0,0]", 0), "shape"},
		{"offsets backwards", one("[1]", "[8,4]", 8), "bytes 8 to 4"},
		{"size and shape differ", one("[1]", "[0,8]", 8), "takes 4"},
		{"unknown dtype", bytes.Replace(one("[1]", "[0,8]", 8), []byte("F32"), []byte("F3 "), 1),
			`dtype "F3 "`},
	} {
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.HasPrefix(err.Error(), "model.safetensors: ") {
			t.Errorf("%s: error %v, want %q and the file", c.what, err, c.want)
		}
	}
}

// TestFilesThatAreMissing: the error says what the folder lacks.
func TestFilesThatAreMissing(t *testing.T) {
	fsys := fstest.MapFS{}
	refused := func(want string) {
		t.Helper()
		if _, err := Open(fsys); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	refused("config.json is not there; give a Hugging Face or mlx-community model folder")
	fsys["config.json"] = &fstest.MapFile{Data: []byte(`{"model_type":`)}
	refused("config.json: unexpected end")
	fsys["config.json"] = &fstest.MapFile{Data: []byte(llamaConfig)}
	refused("model.safetensors is not there; the folder must hold the weights as safetensors")
	fsys["model.safetensors.index.json"] =
		&fstest.MapFile{Data: []byte(`{"weight_map":{"x":"../../etc/passwd"}}`)}
	refused(`model.safetensors.index.json: tensor x is in "../../etc/passwd", which is not a file`)
}

// TestShardsWithoutIndex: the weights are all files that are called model*.safetensors.
func TestShardsWithoutIndex(t *testing.T) {
	entry := func(name string) *fstest.MapFile {
		return file(fmt.Sprintf(`{%q:{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, name), 4)
	}
	fsys := fstest.MapFS{"config.json": {Data: []byte(llamaConfig)},
		"other.safetensors":   entry("c"),
		"model-1.safetensors": entry("b"), "model-2.safetensors": entry("a")}
	c, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.Entries() {
		got = append(got, fmt.Sprintf("%s %s %s %v %d-%d",
			e.File, e.Name, e.DType, e.Shape, e.Begin, e.End))
	}
	want := []string{"model-1.safetensors b F32 [1] 62-66", "model-2.safetensors a F32 [1] 62-66"}
	if !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	fsys["model.safetensors"] = entry("a")
	const twice = "model.safetensors: tensor a is in model-2.safetensors as well"
	if _, err := Open(fsys); err == nil || err.Error() != twice {
		t.Errorf("error %v, want %s", err, twice)
	}
}

func TestBadQuantization(t *testing.T) {
	const q4 = `,"quantization":{"group_size":32,"bits":4}}`
	weight := func(rows, words int, rest string, n int) *fstest.MapFile {
		return file(fmt.Sprintf(`{"m.weight":{"dtype":"U32","shape":[%d,%d],"data_offsets":[0,%d]}%s}`, rows, words, 4*rows*words, rest), 4*rows*words+n)
	}
	const scales = `,"m.scales":{"dtype":"F32","shape":[1,1],"data_offsets":[16,20]}`
	for say, c := range map[string]struct {
		tail    string // of config.json
		weights *fstest.MapFile
	}{
		"config.json has no quantization": {`}`, weight(1, 4, "", 0)},
		"there is no m.scales":            {q4, weight(1, 4, "", 0)},
		"there is no m.biases":            {q4, weight(1, 4, scales, 4)},
		"m.scales has shape [1 1]": {q4,
			weight(1, 8, `,"m.scales":{"dtype":"F32","shape":[1,1],"data_offsets":[32,36]}`, 4)},
		"3 words a row are not a whole number": {q4, weight(1, 3, "", 0)},
		"quantization of 7 bits": {`,"quantization":{"group_size":32,"bits":7}}`,
			weight(1, 4, "", 0)},
		`quantization "mxfp4" is not`:          {`,"quantization":{"group_size":32,"bits":4,"mode":"mxfp4"}}`, weight(1, 4, "", 0)},
		"m: quantization of 4 bits in groups ": {`,"quantization":{"group_size":32,"bits":4,"m":{"bits":4,"group_size":1}}}`, weight(1, 4, "", 0)},
	} {
		fsys := folder(c.weights)
		config := strings.TrimSuffix(llamaConfig, "}") + c.tail
		fsys["config.json"] = &fstest.MapFile{Data: []byte(config)}
		ck, err := Open(fsys)
		if err == nil {
			_, _, err = ck.Float32("m.weight")
		}
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("error %v, want one with %q", err, say)
		}
	}
}

// FuzzOpen: whatever is in the files, opening them and reading every tensor ends in data of the
// right length or in an error.
func FuzzOpen(f *testing.F) {
	for _, h := range hostile {
		f.Add([]byte(llamaConfig), []byte(h.header), make([]byte, h.data))
	}
	f.Add([]byte(strings.TrimSuffix(llamaConfig,
		"}")+`,"quantization":{"group_size":32,"bits":8}}`),
		[]byte(`{"m.weight":{"dtype":"U32","shape":[1,8],"data_offsets":[0,32]},"m.scales":{"dtype":"F16","shape":[1,1],"data_offsets":[32,34]},"m.biases":{"dtype":"BF16","shape":[1,1],"data_offsets":[34,36]}}`), make([]byte, 36))
	f.Fuzz(func(t *testing.T, config, header, data []byte) {
		weights := file(string(header), 0)
		weights.Data = append(weights.Data, data...)
		c, err := Open(fstest.MapFS{"config.json": {Data: config}, "model.safetensors": weights})
		if err != nil {
			return
		}
		for _, name := range c.Names() {
			x, shape, err := c.Float32(name)
			if err != nil {
				continue
			}
			n := 1
			for _, d := range shape {
				n *= d
			}
			if n != len(x) {
				t.Errorf("%s: %d elements of shape %v", name, len(x), shape)
			}
		}
	})
}
