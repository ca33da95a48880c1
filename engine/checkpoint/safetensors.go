package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// Dtype is a safetensors element type.
type Dtype string

const (
	F32  Dtype = "F32"
	F16  Dtype = "F16"
	BF16 Dtype = "BF16"
	U32  Dtype = "U32" // packed affine-quantised weights
)

func (d Dtype) size() int64 {
	switch d {
	case F32, U32:
		return 4
	case F16, BF16:
		return 2
	}
	return 0
}

// A Tensor is one entry of a safetensors header.
type Tensor struct {
	Name  string
	Dtype Dtype
	Shape []int // row-major
}

// Bytes is the size of the tensor's data.
func (t Tensor) Bytes() int64 {
	n := t.Dtype.size()
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// entry is a tensor and where its bytes are in its file.
type entry struct {
	Tensor
	file  *file
	begin int64 // from the start of the file
}

// file is an open safetensors file. Folders of the operating system and embedded ones both give files that read at an
// offset, so no file is ever read whole.
type file struct {
	name string
	io.ReaderAt
	closer io.Closer
}

// maxHeader is the reference implementation's own limit.
const maxHeader = 100 << 20

// openSafetensors reads and checks a file's header: every tensor's range must fit its shape, lie in the file and overlap
// no other.
func openSafetensors(fsys fs.FS, name string) (_ *file, _ []entry, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil, nil, fmt.Errorf("%T cannot read at an offset", f)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	out := &file{name, at, f}
	entries, err := readHeader(out, info.Size())
	return out, entries, err
}

func readHeader(f *file, size int64) ([]entry, error) {
	var prefix [8]byte
	if _, err := f.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("not a safetensors file: %d bytes", size)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: truncated, or not a safetensors file", n, size)
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, 8); err != nil {
		return nil, err
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	delete(header, "__metadata__")
	data := 8 + int64(n)
	entries := make([]entry, 0, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		e, err := parseEntry(name, header[name], size-data)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		e.file, e.begin = f, data+e.begin
		entries = append(entries, e)
	}
	byOffset := slices.Clone(entries)
	slices.SortFunc(byOffset, func(a, b entry) int { return int(min(1, max(-1, a.begin-b.begin))) })
	for i := 1; i < len(byOffset); i++ {
		if a, b := byOffset[i-1], byOffset[i]; a.begin+a.Bytes() > b.begin && b.Bytes() > 0 {
			return nil, fmt.Errorf("tensors %q and %q overlap", a.Name, b.Name)
		}
	}
	return entries, nil
}

func parseEntry(name string, raw json.RawMessage, size int64) (entry, error) {
	var h struct {
		Dtype   Dtype    `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return entry{}, err
	}
	begin, end := h.Offsets[0], h.Offsets[1]
	if begin < 0 || end < begin || end > size {
		return entry{}, fmt.Errorf("bytes %d to %d of %d: the file is truncated", begin, end, size)
	}
	e := entry{Tensor: Tensor{name, h.Dtype, h.Shape}, begin: begin}
	if h.Dtype.size() == 0 {
		// An element type nobody asks for is no reason to refuse the rest of the folder; Float32 refuses the tensor.
		e.Shape = []int{0}
		return e, nil
	}
	elements := int64(1)
	for _, d := range h.Shape {
		if d < 0 || (d > 0 && elements > size/int64(d)) {
			return entry{}, fmt.Errorf("shape %v in a file of %d bytes", h.Shape, size)
		}
		elements *= int64(d)
	}
	if want := elements * h.Dtype.size(); want != end-begin {
		return entry{}, fmt.Errorf("shape %v of %s takes %d bytes, the header gives it %d", h.Shape, h.Dtype, want, end-begin)
	}
	return e, nil
}

// WriteHeader writes the head of a safetensors file that holds the tensors in this order, without gaps. The caller
// writes their bytes, little-endian and row-major, after it.
func WriteHeader(w io.Writer, tensors []Tensor) error {
	type field struct {
		Dtype   Dtype    `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}} // what loaders of all frameworks accept
	var at int64
	for _, t := range tensors {
		header[t.Name] = field{t.Dtype, t.Shape, [2]int64{at, at + t.Bytes()}}
		at += t.Bytes()
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 { // so that the data is aligned for memory mapping
		text = append(text, ' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
