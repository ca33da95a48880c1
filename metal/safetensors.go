package metal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// weightFiles lists the safetensors files of a model folder: those the index names, else model*.safetensors.
func weightFiles(dir string) ([]string, error) {
	var names []string
	index, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
	switch {
	case err == nil:
		var x struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(index, &x); err != nil {
			return nil, fmt.Errorf("%s: model.safetensors.index.json: %w", dir, err)
		}
		for tensor, file := range x.WeightMap {
			if file != filepath.Base(file) {
				return nil, fmt.Errorf("%s: the index puts %s in %q, which is not a file of that folder", dir, tensor, file)
			}
			names = append(names, file)
		}
		slices.Sort(names)
		names = slices.Compact(names)
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ok, _ := filepath.Match("model*.safetensors", e.Name()); ok {
				names = append(names, e.Name())
			}
		}
	default:
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no model*.safetensors: convert the model to safetensors first", dir)
	}
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	return names, nil
}

// stored is a tensor of a safetensors file: bytes begin to end of it.
type stored struct {
	name, dtype string
	shape       []int64
	begin, end  int64
}

// maxHeader is the format's own limit.
const maxHeader = 100 << 20

var dtypeSize = map[string]int64{"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8}

// readHeader returns what a safetensors file of size bytes holds, and checks that it holds it: what reads the data later
// finds it mapped into memory, where a missing byte is no error but a signal. The format: an 8-byte little-endian length,
// that much JSON, the data; https://github.com/huggingface/safetensors.
func readHeader(f io.Reader, size int64) ([]stored, error) {
	var n uint64
	if err := binary.Read(f, binary.LittleEndian, &n); err != nil {
		return nil, fmt.Errorf("%d bytes are too few for a safetensors file", size)
	}
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: it is truncated or not safetensors; get it again", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f, header); err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	delete(raw, "__metadata__")
	tensors := make([]stored, 0, len(raw))
	for name, raw := range raw {
		t, err := parseTensor(raw, size-8-int64(n))
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		t.name = name
		t.begin, t.end = t.begin+8+int64(n), t.end+8+int64(n)
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// parseTensor returns a tensor's type, shape and place in the data, of which there are so many bytes.
func parseTensor(raw json.RawMessage, data int64) (stored, error) {
	var t struct {
		DType   string   `json:"dtype"`
		Shape   []int64  `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return stored{}, err
	}
	size, ok := dtypeSize[t.DType]
	if !ok {
		return stored{}, fmt.Errorf("dtype %q is not supported", t.DType)
	}
	for _, d := range t.Shape {
		if d < 0 || d > 0 && size > data/d {
			// A negative size, or more than the file could hold; either way the product below must not overflow.
			return stored{}, fmt.Errorf("shape %v of %s does not fit the %d bytes of data in the file: it is truncated or damaged; get it again", t.Shape, t.DType, data)
		}
		size *= d
	}
	begin, end := t.Offsets[0], t.Offsets[1]
	if begin < 0 || end < begin || end > data {
		return stored{}, fmt.Errorf("data from %d to %d of the %d bytes in the file: it is truncated or damaged; get it again", begin, end, data)
	}
	if end-begin != size {
		return stored{}, fmt.Errorf("%d bytes of data for shape %v of %s, which takes %d", end-begin, t.Shape, t.DType, size)
	}
	return stored{dtype: t.DType, shape: t.Shape, begin: begin, end: end}, nil
}
