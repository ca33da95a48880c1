package oracle

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/checkpoint"
	"loadstone/engine/gguf"
)

// LlamaCPP is what llama.cpp makes of a network; llamacpp.py beside this file asked it.
type LlamaCPP struct {
	CRC32    uint32
	Bytes    int64
	Tables   map[string][]float32 // tensors that are not of the formula
	Answer   []int32              // the greedy one to Prompt; none where llama.cpp has another network
	Logprobs []float64            // of the tokens of Answer
}

// GGUFKinds lists the networks that llama.cpp's converter knows.
func GGUFKinds(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(Kinds(t), func(kind string) bool {
		_, err := files.Open(path.Join("testdata", kind, "llama.cpp.json"))
		return err != nil
	})
}

// GGUF writes the file that llama.cpp's converter makes of a network, in float32, byte for byte.
func GGUF(t testing.TB, kind string) (file string, made LlamaCPP) {
	t.Helper()
	read := func(name string) []byte {
		data, err := files.ReadFile(path.Join("testdata", kind, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := json.Unmarshal(read("llama.cpp.json"), &made); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, made.Bytes)
	head := copy(data, read("llama.cpp.gguf.head"))
	file = filepath.Join(t.TempDir(), kind+".gguf")
	write(t, file, data)
	f, err := gguf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fill(t, kind, f, data[head:], made.Tables)
	if sum := crc32.ChecksumIEEE(data); sum != made.CRC32 {
		t.Fatalf("%s: the file has the CRC-32 %#x, the converter's %#x", kind, sum, made.CRC32)
	}
	write(t, file, data)
	return file, made
}

func write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill puts the tensors' data into a file's data section, changed as the converter changes them.
func fill(t testing.TB, kind string, f *gguf.File, data []byte, tables map[string][]float32) {
	t.Helper()
	text, err := json.Marshal(Config(t, kind))
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	arch, err := f.Meta.Architecture()
	if err != nil {
		t.Fatal(err)
	}
	permuted := slices.Contains([]string{"llama", "smollm3", "mistral3"}, arch)
	values := tables
	for _, p := range c.Parameters() {
		var x []float32
		for _, m := range p.Matrices() {
			one, err := plain("", m, c.NormsMinusOne).Data()
			if err != nil {
				t.Fatal(err)
			}
			x = append(x, one...)
		}
		if c.NormsMinusOne && strings.HasSuffix(p.GGUF, "norm.weight") {
			for i := range x {
				x[i]++
			}
		}
		if permuted && p.Heads > 0 {
			x = permute(x, p.Heads, c.HeadDim)
		}
		values[p.GGUF] = x
	}
	for _, tensor := range f.Tensors {
		for i, v := range values[tensor.Name] {
			binary.LittleEndian.PutUint32(data[tensor.Offset+int64(4*i):], math.Float32bits(v))
		}
	}
}

// permute interleaves the first and the second half of the rows of each head.
func permute(x []float32, heads, headDim int) []float32 {
	columns := len(x) / (heads * headDim)
	out := make([]float32, 0, len(x))
	for h := range heads {
		for i := range headDim {
			row := h*headDim + i/2 + i%2*headDim/2
			out = append(out, x[row*columns:][:columns]...)
		}
	}
	return out
}
