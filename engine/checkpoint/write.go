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

// Tensor is one tensor to write. Data is called once, when its turn comes, so no more than one tensor need be in memory.
type Tensor struct {
	Name  string
	DType string // "F32", "F16" or "BF16": what is stored, rounded to nearest even
	Shape []int
	Data  func() ([]float32, error) // row-major, as many elements as Shape says
}

// Write makes dir a model folder: model.safetensors with the tensors in their order, then config.json. Each file is
// written under another name, synced and renamed, config.json last: a folder that has one is whole.
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

func encodeHeader(tensors []Tensor) ([]byte, error) {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var at int64
	for _, t := range tensors {
		if !slices.Contains([]string{"F32", "F16", "BF16"}, t.DType) {
			return nil, fmt.Errorf("tensor %s: dtype %q cannot be written; F32, F16 and BF16 can", t.Name, t.DType)
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
	for len(text)%8 != 0 { // the data are to be aligned
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
	data, err := t.Data()
	if err != nil {
		return err
	}
	if len(data) != t.elements() {
		return fmt.Errorf("%d elements for shape %v", len(data), t.Shape)
	}
	var raw []byte
	for part := range slices.Chunk(data, 16<<10) {
		raw = raw[:0]
		for _, x := range part {
			switch t.DType {
			case "F32":
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			case "F16":
				raw = binary.LittleEndian.AppendUint16(raw, FloatToHalf(x))
			case "BF16":
				raw = binary.LittleEndian.AppendUint16(raw, floatToBrain(x))
			}
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes path appear with all that fill writes, or not at all.
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
