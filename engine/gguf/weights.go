package gguf

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
)

func (m *model) writeWeights(ctx context.Context, f *File, dir string, progress func(done, total int64)) error {
	out, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	header := object{{"__metadata__", map[string]string{"format": "pt"}}}
	var total int64
	for _, t := range m.tensors {
		n := int64(t.src.Rows()) * int64(t.src.Columns()) * 4
		header = append(header, field{t.name, object{{"dtype", "F32"}, {"shape", t.src.Shape}, {"data_offsets", []int64{total, total + n}}}})
		total += n
	}
	h, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(h)%8 != 0 {
		h = append(h, ' ')
	}
	w := bufio.NewWriterSize(out, 1<<20)
	binary.Write(w, binary.LittleEndian, uint64(len(h)))
	w.Write(h)
	var done int64
	for _, t := range m.tensors {
		if err := t.write(ctx, w, f, func(n int64) {
			done += n
			if progress != nil {
				progress(done, total)
			}
		}); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return errors.Join(w.Flush(), out.Close())
}

func (t *tensor) write(ctx context.Context, w io.Writer, f *File, wrote func(int64)) error {
	columns, rows := t.src.Columns(), t.src.Rows()
	step := max(1, (1<<20)/columns)
	if t.headDim != 0 {
		step = t.headDim
	}
	vals := make([]float32, step*columns)
	raw := make([]byte, 4*len(vals))
	for first := 0; first < rows; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		v := vals[:min(step, rows-first)*columns]
		if err := t.read(f, first, v); err != nil {
			return err
		}
		for i, x := range v {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
		}
		if _, err := w.Write(raw[:4*len(v)]); err != nil {
			return err
		}
		wrote(int64(4 * len(v)))
	}
	return nil
}
