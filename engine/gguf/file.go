package gguf

import (
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"

	"loadstone/engine/internal/modelfile"
)

// File is an open GGUF file. Its metadata and tensor table are in memory; the tensors' data stays
// on disk.
type File struct {
	Version uint32
	Meta    Metadata
	Tensors []Tensor // in the file's order; names are unique

	src  io.ReaderAt
	data int64 // where the tensors' data begins
	file *os.File
}

// Tensor is an entry of the tensor table.
type Tensor struct {
	Name   string
	Type   Type
	Shape  []int // rows first, the contiguous dimension last; GGUF itself stores the reverse
	Offset int64 // from the beginning of the data section
	Size   int64 // bytes
}

// Rows is the number of rows of Columns elements, the unit in which a tensor is read.
func (t *Tensor) Rows() int {
	n := 1
	for _, d := range t.Shape[:len(t.Shape)-1] {
		n *= d
	}
	return n
}

// Columns is the length of the contiguous dimension, in elements.
func (t *Tensor) Columns() int { return t.Shape[len(t.Shape)-1] }

const (
	maxName      = 1 << 16 // bytes of a key or of a tensor's name; the format allows 65535 and 64
	maxDims      = 4       // as in ggml
	maxAlignment = 1 << 20
)

// Open opens a GGUF file and reads all of it but the tensors' data. The caller closes it.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	g, err := read(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g.file = f
	return g, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Tensor finds a tensor by its name.
func (f *File) Tensor(name string) (*Tensor, bool) {
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i], true
		}
	}
	return nil, false
}

// ReadRows dequantises rows first, first+1, ... of t until dst, whose length is a multiple of
// t.Columns, is full.
func (f *File) ReadRows(t *Tensor, first int, dst []float32) error {
	columns := t.Columns()
	rows := len(dst) / columns
	if len(dst)%columns != 0 || first < 0 || rows > t.Rows()-first {
		return fmt.Errorf("%s: %d elements from row %d on are not whole rows of a tensor of %v",
			t.Name, len(dst), first, t.Shape)
	}
	raw, err := f.readRaw(t, first, rows)
	if err == nil {
		t.Type.dequantize(dst, raw)
	}
	return err
}

// readRaw reads rows first to first+rows-1 as they are stored.
func (f *File) readRaw(t *Tensor, first, rows int) ([]byte, error) {
	bytes := t.Type.bytes(t.Columns())
	raw := make([]byte, rows*bytes)
	off := f.data + t.Offset + int64(first)*int64(bytes)
	if n, err := f.src.ReadAt(raw, off); n < len(raw) {
		return nil, fmt.Errorf("%s: byte %d: %w", t.Name, off, err)
	}
	return raw, nil
}

// read reads a file of size bytes.
func read(src io.ReaderAt, size int64) (*File, error) {
	beginning := make([]byte, min(size, modelfile.MistakenBytes))
	if n, _ := src.ReadAt(beginning, 0); n == len(beginning) {
		if err := modelfile.Mistaken(beginning); err != nil {
			return nil, fmt.Errorf("it %w", err)
		}
	}
	d := newDecoder(src, size)
	f := &File{src: src, Meta: Metadata{}}
	if magic := d.read(4); d.err == nil && string(magic) != "GGUF" {
		return nil, fmt.Errorf("not a GGUF file: it begins with %q", magic)
	}
	f.Version = d.uint32()
	if d.err == nil && f.Version != 2 && f.Version != 3 {
		if v := bits.ReverseBytes32(f.Version); v == 2 || v == 3 {
			return nil, fmt.Errorf("a big-endian GGUF file; only little-endian ones are read")
		}
		return nil, fmt.Errorf("GGUF version %d; only versions 2 and 3 are read", f.Version)
	}
	// The smallest tensor entry has the length of a name, the number of dimensions, one dimension,
	// type and offset; the smallest key the length of its name, type and value.
	tensors := d.count("tensors", 8+4+8+4+8)
	keys := d.count("metadata keys", 8+4+1)
	for i := 0; i < keys && d.err == nil; i++ {
		f.readKey(d, i)
	}
	for i := 0; i < tensors && d.err == nil; i++ {
		f.readTensor(d, i)
	}
	if d.err == nil {
		f.locate(d)
	}
	if d.err != nil {
		return nil, d.err
	}
	return f, nil
}

// readKey reads metadata key i and its value.
func (f *File) readKey(d *decoder, i int) {
	d.what = fmt.Sprintf("metadata key %d", i)
	key := d.name()
	d.what = fmt.Sprintf("metadata key %q", key)
	if _, twice := f.Meta[key]; twice {
		d.fail("occurs twice")
	}
	f.Meta[key] = d.value(valueType(d.uint32()), 0)
}

// readTensor reads entry i of the tensor table.
func (f *File) readTensor(d *decoder, i int) {
	d.what = fmt.Sprintf("tensor %d", i)
	t := Tensor{Name: d.name()}
	d.what = fmt.Sprintf("tensor %q", t.Name)
	dims := d.uint32()
	if d.err == nil && (dims < 1 || dims > maxDims) {
		d.fail("%d dimensions; a tensor has 1 to %d", dims, maxDims)
	}
	if d.err != nil {
		return
	}
	elements := int64(1)
	for range dims {
		n := d.uint64()
		// Every type takes at least half a byte an element, so a tensor that fits into the file has
		// at most 2*size elements.
		hi, lo := bits.Mul64(uint64(elements), n)
		if d.err == nil && (n == 0 || hi != 0 || lo > 2*uint64(d.size)) {
			d.fail("a dimension of %d: the tensor cannot lie in a file of %d bytes", n, d.size)
		}
		if d.err != nil {
			return
		}
		elements = int64(lo)
		t.Shape = append(t.Shape, int(n))
	}
	slices.Reverse(t.Shape)
	t.Type = Type(d.uint32())
	offset := d.uint64()
	switch {
	case t.Type.layout().bytes == 0:
		d.fail("its type %s is not supported; types that are: %s", t.Type,
			strings.Join(typeNames(), ", "))
	case t.Columns()%t.Type.layout().elements != 0:
		d.fail("rows of %d elements are not whole %s blocks of %d", t.Columns(), t.Type,
			t.Type.layout().elements)
	case offset > uint64(d.size):
		d.fail("its offset %d is beyond the file's %d bytes", offset, d.size)
	}
	if d.err != nil {
		return
	}
	t.Offset = int64(offset)
	t.Size = int64(t.Rows()) * int64(t.Type.bytes(t.Columns()))
	f.Tensors = append(f.Tensors, t)
}

// locate finds the data section and checks that each tensor lies in it, aligned and without
// overlapping another.
func (f *File) locate(d *decoder) {
	d.what = "general.alignment"
	align := int64(32)
	if v, ok := f.Meta["general.alignment"]; ok {
		n, ok := v.(uint32)
		if !ok || n == 0 || n&(n-1) != 0 || n > maxAlignment {
			d.fail("%v is not a power of two of at most %d that is stored as uint32",
				v, maxAlignment)
			return
		}
		align = int64(n)
	}
	f.data = (d.off + align - 1) / align * align
	byOffset := make([]*Tensor, len(f.Tensors))
	seen := make(map[string]bool, len(f.Tensors))
	for i := range f.Tensors {
		t := &f.Tensors[i]
		d.what = fmt.Sprintf("tensor %q", t.Name)
		switch {
		case seen[t.Name]:
			d.fail("occurs twice")
		case t.Offset%align != 0:
			d.fail("its offset %d is not a multiple of %d", t.Offset, align)
		case t.Offset+t.Size > d.size-f.data:
			d.fail("its data ends at byte %d, but the file has only %d: it is truncated; get it again",
				f.data+t.Offset+t.Size, d.size)
		}
		seen[t.Name], byOffset[i] = true, t
	}
	slices.SortFunc(byOffset, func(a, b *Tensor) int {
		return int(min(max(a.Offset-b.Offset, -1), 1))
	})
	for i := 1; i < len(byOffset); i++ {
		if a, b := byOffset[i-1], byOffset[i]; a.Offset+a.Size > b.Offset {
			d.fail("tensors %q and %q overlap", a.Name, b.Name)
		}
	}
}

// name reads a key's or tensor's name.
func (d *decoder) name() string {
	s := d.string()
	if d.err == nil && (s == "" || len(s) >= maxName) {
		d.fail("a name of %d bytes", len(s))
	}
	return s
}
