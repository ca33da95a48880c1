package gguf

import (
	"context"
	"slices"
	"strings"

	"loadstone/engine/checkpoint"
)

// quantised reports whether t stays quantised: it does if it is a matrix of a quantised type, or a
// stack of matrices, and its elements are not changed.
func (t *tensor) quantised() bool {
	return t.src.Type.affineBits() != 0 && len(t.src.Shape) > 1 && t.addend == 0
}

// module is the name under which config.json lists the tensor.
func (t *tensor) module() string { return strings.TrimSuffix(t.name, ".weight") }

// quantization returns the object of config.json that tells mlx-lm and others how the tensors are
// stored; nil if no tensor is quantised. Its field bits holds for all tensors but those that it
// lists with bits of their own; it is the commonest number of bits.
func (m *model) quantization() map[string]any {
	count, common := map[int]int{}, 0
	for _, t := range m.tensors {
		if t.quantised() {
			bits := t.src.Type.affineBits()
			count[bits]++
			if n := count[common]; count[bits] > n || count[bits] == n && bits < common {
				common = bits
			}
		}
	}
	if common == 0 {
		return nil
	}
	q := map[string]any{"group_size": affineGroup, "bits": common}
	for _, t := range m.tensors {
		if bits := t.src.Type.affineBits(); t.quantised() && bits != common {
			q[t.module()] = map[string]any{"group_size": affineGroup, "bits": bits}
		}
	}
	return q
}

// source reads the checkpoint's tensors out of the file, one at a time. It drops the data of one
// before it reads the next, because the largest embedding is more than half of a model.
type source struct {
	f      *File
	read   func(bytes int64) error // called after each read; its error ends the import
	of     *tensor                 // the tensor whose data floats or affine holds
	floats []float32
	affine affine
}

// weights lists the tensors for checkpoint.Write, which calls for their data one after the other.
func (m *model) weights(ctx context.Context, f *File,
	progress func(done, total int64)) []checkpoint.Tensor {
	var done, total int64
	for _, t := range m.tensors {
		total += t.src.Size
	}
	s := &source{f: f, read: func(bytes int64) error {
		done += bytes
		if progress != nil {
			progress(done, total)
		}
		return ctx.Err()
	}}
	var list []checkpoint.Tensor
	for i := range m.tensors {
		t := &m.tensors[i]
		if !t.quantised() {
			list = append(list, checkpoint.Tensor{Name: t.name, DType: "F32", Shape: t.src.Shape,
				Data: func() ([]float32, error) { err := s.load(t); return s.floats, err }})
			continue
		}
		columns, bits := t.src.Columns(), t.src.Type.affineBits()
		words, groups := slices.Clone(t.src.Shape), slices.Clone(t.src.Shape)
		words[len(words)-1], groups[len(groups)-1] = columns*bits/32, columns/affineGroup
		list = append(list,
			checkpoint.Tensor{Name: t.name, DType: "U32", Shape: words,
				Words: func() ([]uint32, error) { err := s.load(t); return s.affine.words, err }},
			checkpoint.Tensor{Name: t.module() + ".scales", DType: "F32", Shape: groups,
				Data: func() ([]float32, error) { err := s.load(t); return s.affine.scales, err }},
			checkpoint.Tensor{Name: t.module() + ".biases", DType: "F32", Shape: groups,
				Data: func() ([]float32, error) { err := s.load(t); return s.affine.biases, err }})
	}
	return list
}

// load reads the data of t, unless source holds it already.
func (s *source) load(t *tensor) error {
	if s.of == t {
		return nil
	}
	*s = source{f: s.f, read: s.read}
	columns, rows := t.src.Columns(), t.src.Rows()
	step := max(1, readElements/columns)
	if t.headDim != 0 {
		step = t.headDim
	}
	if len(t.src.Shape) == 1 { // a vector is one row
		step = 1
	}
	for first := 0; first < rows; first += step {
		n := min(step, rows-first)
		raw, err := s.f.readRaw(t.src, first, n)
		if err != nil {
			return err
		}
		if t.headDim != 0 {
			t.unpermute(raw)
		}
		if t.quantised() {
			s.affine.add(t.src.Type, raw)
		} else {
			s.addFloats(t, raw)
		}
		if err := s.read(int64(len(raw))); err != nil {
			return err
		}
	}
	s.of = t
	return nil
}

// addFloats appends the elements of raw, which is whole blocks of t.
func (s *source) addFloats(t *tensor, raw []byte) {
	l := t.src.Type.layout()
	first := len(s.floats)
	s.floats = append(s.floats, make([]float32, len(raw)/l.bytes*l.elements)...)
	added := s.floats[first:]
	t.src.Type.dequantize(added, raw)
	if t.addend != 0 {
		for i := range added {
			added[i] += t.addend
		}
	}
}

// readElements is about the number of elements that are read at once.
const readElements = 1 << 20

// unpermute undoes it for the heads in raw: one head of a matrix, or all heads of a vector.
func (t *tensor) unpermute(raw []byte) {
	if len(t.src.Shape) > 1 {
		unpermute(raw, len(raw)/t.headDim)
		return
	}
	size := len(raw) / t.src.Columns()
	for head := range slices.Chunk(raw, t.headDim*size) {
		unpermute(head, size)
	}
}

// unpermute undoes llama.cpp's reordering of the rows of one head of q or k, each of which has size
// bytes. llama.cpp's RoPE rotates the neighbouring rows 2i and 2i+1, Hugging Face's rotates rows i
// and i+headDim/2, so llama.cpp's converter interleaves the two halves of each head.
func unpermute(head []byte, size int) {
	stored := append([]byte(nil), head...)
	headDim := len(head) / size
	for i := range headDim {
		from := 2*i%headDim + 2*i/headDim
		copy(head[i*size:(i+1)*size], stored[from*size:])
	}
}
