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

// weightFiles lists the safetensors files of a model folder: those the index names, else model*.safetensors. Every
// header is checked here, because MLX reads the data lazily, on a thread of its own, where a short file is no longer an
// error that names the file.
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
		if err := checkSafetensors(names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// maxHeader is the format's own limit.
const maxHeader = 100 << 20

var dtypeSize = map[string]int64{"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8}

// checkSafetensors checks that a file's header describes data the file has. The format: an 8-byte little-endian
// length, that much JSON, the data; https://github.com/huggingface/safetensors.
func checkSafetensors(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var n uint64
	if err := binary.Read(f, binary.LittleEndian, &n); err != nil {
		return fmt.Errorf("%s: %d bytes are too few for a safetensors file", path, info.Size())
	}
	if n > maxHeader || int64(n) > info.Size()-8 {
		return fmt.Errorf("%s: header of %d bytes in a file of %d: it is truncated or not safetensors; get it again", path, n, info.Size())
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f, header); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var tensors map[string]json.RawMessage
	if err := json.Unmarshal(header, &tensors); err != nil {
		return fmt.Errorf("%s: header: %w", path, err)
	}
	data := info.Size() - 8 - int64(n)
	for name, raw := range tensors {
		if name == "__metadata__" {
			continue
		}
		if err := checkTensor(raw, data); err != nil {
			return fmt.Errorf("%s: tensor %s: %w", path, name, err)
		}
	}
	return nil
}

func checkTensor(raw json.RawMessage, data int64) error {
	var t struct {
		DType   string   `json:"dtype"`
		Shape   []int64  `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	size, ok := dtypeSize[t.DType]
	if !ok {
		return fmt.Errorf("dtype %q is not supported", t.DType)
	}
	for _, d := range t.Shape {
		if d < 0 || d > 0 && size > data/d {
			// A negative size, or more than the file could hold; either way the product below must not overflow.
			return fmt.Errorf("shape %v of %s does not fit the %d bytes of data in the file: it is truncated or damaged; get it again", t.Shape, t.DType, data)
		}
		size *= d
	}
	begin, end := t.Offsets[0], t.Offsets[1]
	if begin < 0 || end < begin || end > data {
		return fmt.Errorf("data from %d to %d of the %d bytes in the file: it is truncated or damaged; get it again", begin, end, data)
	}
	if end-begin != size {
		return fmt.Errorf("%d bytes of data for shape %v of %s, which takes %d", end-begin, t.Shape, t.DType, size)
	}
	return nil
}
