package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func open(t *testing.T, name string) *File {
	t.Helper()
	f, err := Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestMetadata(t *testing.T) {
	f := open(t, "quants.gguf")
	want := Metadata{
		"test.uint8": uint8(200), "test.int8": int8(-100), "test.uint16": uint16(60000), "test.int16": int16(-30000),
		"test.uint32": uint32(4000000000), "test.int32": int32(-2000000000), "test.uint64": uint64(1<<63 + 1),
		"test.int64": int64(-1 << 63), "test.float32": float32(0.1), "test.float64": 0.1, "test.bool": true, "test.string": "grüße",
		"test.array.uint8": []uint8{200, 1}, "test.array.int8": []int8{-100, 1}, "test.array.uint16": []uint16{60000, 1},
		"test.array.int16": []int16{-30000, 1}, "test.array.uint32": []uint32{4000000000, 1},
		"test.array.int32": []int32{-2000000000, 1}, "test.array.uint64": []uint64{1<<63 + 1, 1},
		"test.array.int64": []int64{-1 << 63, 1}, "test.array.float32": []float32{0.1, 1}, "test.array.float64": []float64{0.1, 1},
		"test.array.bool": []bool{true, false}, "test.array.string": []string{"a", "", "ü"},
		"test.array.array": []any{[]int32{1, 2}, []int32{3}}, "general.architecture": "none",
	}
	for key, v := range want {
		if !reflect.DeepEqual(f.Meta[key], v) {
			t.Errorf("%s = %T %v, want %T %v", key, f.Meta[key], f.Meta[key], v, v)
		}
	}
	if len(f.Meta) != len(want) {
		t.Errorf("%d keys, want %d", len(f.Meta), len(want))
	}
}

// TestDequantize compares each tensor NAME of quants.gguf with NAME.want, which the Python package
// gguf dequantised: they must be equal bit for bit.
func TestDequantize(t *testing.T) {
	f := open(t, "quants.gguf")
	tested := 0
	for i := range f.Tensors {
		got := &f.Tensors[i]
		want, ok := f.Tensor(got.Name + ".want")
		if !ok {
			continue
		}
		tested++
		g, w := all(t, f, got), all(t, f, want)
		for i := range w {
			if math.Float32bits(g[i]) != math.Float32bits(w[i]) {
				t.Errorf("%s[%d] = %v, want %v", got.Name, i, g[i], w[i])
				break
			}
		}
	}
	if tested != len(layouts)-1 {
		t.Errorf("%d types tested, want all but F32, %d", tested, len(layouts)-1)
	}
	for half, want := range map[uint16]float32{
		0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)), 0x0001: 0x1p-24,
	} {
		if got := float16(binary.LittleEndian.AppendUint16(nil, half)); got != want {
			t.Errorf("float16(%#x) = %v, want %v", half, got, want)
		}
	}
	if got := float16([]byte{1, 0x7c}); got == got {
		t.Errorf("float16(NaN) = %v", got)
	}
}

// all reads all elements of a tensor.
func all(t *testing.T, f *File, tensor *Tensor) []float32 {
	t.Helper()
	dst := make([]float32, tensor.Rows()*tensor.Columns())
	if err := f.ReadRows(tensor, 0, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestReadRows(t *testing.T) {
	f := open(t, "quants.gguf")
	tensor, _ := f.Tensor("Q6_K")
	whole := all(t, f, tensor)
	part := make([]float32, 512)
	if err := f.ReadRows(tensor, 1, part); err != nil || !reflect.DeepEqual(part, whole[256:]) {
		t.Errorf("rows 1 and 2 are not the last two of all three: %v", err)
	}
	for _, bad := range []struct{ first, n int }{{2, 512}, {0, 255}, {-1, 256}, {4, 256}} {
		if err := f.ReadRows(tensor, bad.first, make([]float32, bad.n)); err == nil {
			t.Errorf("%d elements from row %d: no error", bad.n, bad.first)
		}
	}
}

// fileWriter writes GGUF files, right and wrong ones, by hand.
type fileWriter struct{ bytes.Buffer }

func (b *fileWriter) put(values ...any) *fileWriter {
	for _, v := range values {
		if s, ok := v.(string); ok {
			b.put(uint64(len(s)))
			b.WriteString(s)
			continue
		}
		binary.Write(b, binary.LittleEndian, v)
	}
	return b
}

// header begins a file with the given numbers of tensors and keys.
func header(tensors, keys uint64) *fileWriter {
	b := &fileWriter{}
	b.WriteString("GGUF")
	return b.put(uint32(3), tensors, keys)
}

// tensorInfo begins a file with one tensor and no keys.
func tensorInfo(name string, typ Type, offset uint64, dims ...uint64) *fileWriter {
	return header(1, 0).put(name, uint32(len(dims)), dims, uint32(typ), offset)
}

// TestHostile checks that wrong counts, lengths, offsets and types are errors that say where they
// are.
func TestHostile(t *testing.T) {
	const huge = uint64(1 << 62)
	nested := header(0, 1).put("deep", typeArray)
	for range 100 {
		nested.put(typeArray, uint64(1))
	}
	nested.Write(make([]byte, 1000))
	pad := make([]byte, 4096)
	for name, c := range map[string]struct {
		file *fileWriter
		want string // part of the error
	}{
		"empty": {&fileWriter{}, "byte 0, header"},
		"magic": {(&fileWriter{}).put([]byte("PK\x03\x04PK")), `begins with "PK\x03\x04"`},
		"Git LFS": {(&fileWriter{}).put([]byte("version https://git-lfs.github.com/spec/v1\n")),
			"is a Git LFS pointer, not the file: run git lfs pull"},
		"version":            {(&fileWriter{}).put([]byte("GGUF"), uint32(1)), "GGUF version 1"},
		"big endian":         {(&fileWriter{}).put([]byte("GGUF\x00\x00\x00\x03")), "big-endian"},
		"tensor count":       {header(huge, 0), "byte 8, header: 4611686018427387904 tensors do not fit"},
		"key count":          {header(0, huge), "byte 16, header: 4611686018427387904 metadata keys do not fit"},
		"key length":         {header(0, 1).put(huge, pad), "metadata key 0: 4611686018427387904 bytes of text do not fit"},
		"key empty":          {header(0, 1).put("", typeUint8, uint8(1), pad), "a name of 0 bytes"},
		"key twice":          {header(0, 2).put("a", typeUint8, uint8(1), "a", typeUint8, uint8(1), pad), `key "a": occurs twice`},
		"value type":         {header(0, 1).put("a", uint32(13), pad), `key "a": value type 13 is unknown`},
		"bool":               {header(0, 1).put("a", typeBool, uint8(2), pad), `neither 0 nor 1`},
		"string length":      {header(0, 1).put("a", typeString, huge, pad), `key "a": 4611686018427387904 bytes of text`},
		"array length":       {header(0, 1).put("a", typeArray, typeUint64, huge, pad), `key "a": 4611686018427387904 array elements`},
		"array of strings":   {header(0, 1).put("a", typeArray, typeString, uint64(4096), pad), `key "a": 4096 array elements`},
		"array type":         {header(0, 1).put("a", typeArray, uint32(99), uint64(1), pad), `array element type 99 is unknown`},
		"nesting":            {nested, "nested more than 4 deep"},
		"alignment 0":        {header(0, 1).put("general.alignment", typeUint32, uint32(0), pad), "power of two"},
		"alignment 48":       {header(0, 1).put("general.alignment", typeUint32, uint32(48), pad), "power of two"},
		"alignment type":     {header(0, 1).put("general.alignment", typeInt8, int8(-1), pad), "power of two"},
		"no dimensions":      {tensorInfo("w", F32, 0).put(pad), `tensor "w": 0 dimensions`},
		"many dimensions":    {tensorInfo("w", F32, 0, 1, 1, 1, 1, 1).put(pad), `5 dimensions`},
		"dimension 0":        {tensorInfo("w", F32, 0, 0).put(pad), `a dimension of 0`},
		"dimension huge":     {tensorInfo("w", F32, 0, huge).put(pad), `a dimension of 4611686018427387904`},
		"dimension overflow": {tensorInfo("w", F32, 0, 1<<32, 1<<32).put(pad), `a dimension of 4294967296`},
		"tensor type":        {tensorInfo("w", 19, 0, 256).put(pad), `ggml type 19 is not supported; types that are: F32`},
		"half a block":       {tensorInfo("w", Q4_0, 0, 48).put(pad), `rows of 48 elements are not whole Q4_0 blocks of 32`},
		"offset":             {tensorInfo("w", F32, huge, 32).put(pad), `its offset 4611686018427387904 is beyond`},
		"offset unaligned":   {tensorInfo("w", F32, 4, 32).put(pad), `its offset 4 is not a multiple of 32`},
		"truncated":          {tensorInfo("w", F32, 4096, 32).put(pad), `it is truncated`},
		"tensor twice": {header(2, 0).put("w", uint32(1), uint64(1), uint32(F32), uint64(0),
			"w", uint32(1), uint64(1), uint32(F32), uint64(32), pad), `tensor "w": occurs twice`},
		"overlap": {header(2, 0).put("w", uint32(1), uint64(64), uint32(F32), uint64(0),
			"v", uint32(1), uint64(1), uint32(F32), uint64(32), pad), `"w" and "v" overlap`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(bytes.NewReader(c.file.Bytes()), int64(c.file.Len()))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestTruncated checks that a file cut short anywhere is an error that names a byte.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile("testdata/llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	f, err := read(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	var end int64
	for _, tensor := range f.Tensors {
		end = max(end, f.data+tensor.Offset+tensor.Size)
	}
	for n := range end {
		_, err := read(bytes.NewReader(whole[:n]), n)
		if err == nil || !strings.Contains(err.Error(), "byte") {
			t.Fatalf("cut to %d of %d bytes: error %v", n, end, err)
		}
	}
}

// FuzzImport runs an import up to writing its result. Errors are fine; panics, and memory out of
// proportion to the file, are not.
func FuzzImport(f *testing.F) {
	for _, name := range []string{"quants.gguf", "llama.gguf", "gemma3.gguf"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(tensorInfo("w", Q4_0, 0, 32, 2).put(make([]byte, 256)).Bytes())
	f.Add(header(0, 1).put("a", typeArray, typeArray, uint64(1), typeArray, uint64(0)).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		elements := 0
		for i := range g.Tensors {
			elements += len(all(t, g, &g.Tensors[i]))
		}
		if elements > 2*len(data) {
			t.Errorf("%d elements out of %d bytes", elements, len(data))
		}
		if tok, err := tokenizer(g.Meta); err == nil {
			if _, err := tok.MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
		m, err := newModel(g)
		if err != nil {
			return
		}
		for _, tensor := range m.weights(t.Context(), g, nil) {
			if tensor.Data != nil {
				_, err = tensor.Data()
			} else {
				_, err = tensor.Words()
			}
			if err != nil {
				t.Error(fmt.Errorf("%s: %w", tensor.Name, err))
			}
		}
	})
}
