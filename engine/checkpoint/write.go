package checkpoint

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Tensor is one tensor to write. Data is called once, when the tensor is due, so that no more than
// one tensor need be in memory.
type Tensor struct {
	Name  string
	DType string // "F32", "F16" or "BF16", to which Data is rounded, to nearest even; or "U32"
	Shape []int
	Data  func() ([]float32, error) // row-major, as many elements as Shape says
	Words func() ([]uint32, error)  // the same for "U32", instead of Data
}

// Write makes dir a model folder: model.safetensors with the tensors in their order, then
// config.json. Each file is written under another name, synced and renamed. As config.json is the
// last, a folder that has one is whole.
func Write(dir string, config map[string]any, tensors []Tensor) error {
	header, err := encodeHeader(tensors)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, weightsName), func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range tensors {
			if err := t.write(w); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, configName), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// encodeHeader returns the header of a safetensors file with its length before it.
func encodeHeader(tensors []Tensor) ([]byte, error) {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var at int64
	for _, t := range tensors {
		if !slices.Contains([]string{"F32", "F16", "BF16", "U32"}, t.DType) {
			return nil, fmt.Errorf("tensor %s: dtype %q cannot be written; "+
				"F32, F16, BF16 and U32 can", t.Name, t.DType)
		}
		if header[t.Name] != nil {
			return nil, fmt.Errorf("tensor %s is there twice", t.Name)
		}
		end := at + int64(t.elements())*dtypeSize[t.DType]
		header[t.Name] = entry{t.DType, append([]int{}, t.Shape...), [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 { // the format asks for aligned data
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

func (t *Tensor) elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

func (t *Tensor) write(w io.Writer) error {
	if t.DType == "U32" {
		words, err := t.Words()
		if err != nil {
			return err
		}
		return writeElements(w, t, words, binary.LittleEndian.AppendUint32)
	}
	data, err := t.Data()
	if err != nil {
		return err
	}
	return writeElements(w, t, data, map[string]func([]byte, float32) []byte{
		"F32": func(raw []byte, x float32) []byte {
			return binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		},
		"F16": func(raw []byte, x float32) []byte {
			return binary.LittleEndian.AppendUint16(raw, FloatToHalf(x))
		},
		"BF16": func(raw []byte, x float32) []byte {
			return binary.LittleEndian.AppendUint16(raw, floatToBrain(x))
		},
	}[t.DType])
}

// writeElements writes data in little-endian order, each element as appendTo encodes it.
func writeElements[T any](w io.Writer, t *Tensor, data []T, appendTo func([]byte, T) []byte) error {
	if len(data) != t.elements() {
		return fmt.Errorf("%d elements for shape %v", len(data), t.Shape)
	}
	var raw []byte
	for piece := range slices.Chunk(data, 16<<10) {
		raw = raw[:0]
		for _, x := range piece {
			raw = appendTo(raw, x)
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes path appear with everything that fill writes, or not at all.
func writeFile(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(fill(w), w.Flush(), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
