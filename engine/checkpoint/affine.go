package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// Quantization says how MLX quantised the weights: in groups of GroupSize consecutive elements of a
// row, w = scale*q + bias with q an unsigned number of Bits bits. Layers has the modules that
// differ, by name without ".weight". The zero value says that the weights are not quantised.
type Quantization struct {
	GroupSize, Bits int
	Layers          map[string]Quantization
}

// UnmarshalJSON reads MLX's object, in which the modules that differ stand beside group_size and
// bits. The value false stands for a module that was left alone; the type of its tensor says so as
// well, so it gets no entry. An object of another method, such as GPTQ's, is an error.
func (q *Quantization) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		return err
	}
	var method struct {
		Name string `json:"quant_method"`
	}
	if err := json.Unmarshal(data, &method); err != nil {
		return err
	}
	if method.Name != "" {
		return fmt.Errorf("quantization %q is not supported: %s", method.Name, wayOut)
	}
	var err error
	if *q, err = parseGroups(data); err != nil {
		return err
	}
	for name, raw := range all {
		if len(raw) == 0 || raw[0] != '{' {
			continue
		}
		layer, err := parseGroups(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if q.Layers == nil {
			q.Layers = map[string]Quantization{}
		}
		q.Layers[name] = layer
	}
	return nil
}

// parseGroups reads group_size and bits of one object.
func parseGroups(data []byte) (Quantization, error) {
	var g struct {
		GroupSize int    `json:"group_size"`
		Bits      int    `json:"bits"`
		Mode      string `json:"mode"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return Quantization{}, err
	}
	if g.Mode != "" && g.Mode != "affine" {
		return Quantization{}, fmt.Errorf(
			"quantization %q is not supported; of MLX's modes, affine is: %s", g.Mode, wayOut)
	}
	q := Quantization{GroupSize: g.GroupSize, Bits: g.Bits}
	return q, q.check()
}

func (q *Quantization) check() error {
	if slices.Contains([]int{32, 64, 128}, q.GroupSize) &&
		slices.Contains([]int{2, 3, 4, 5, 6, 8}, q.Bits) {
		return nil
	}
	return fmt.Errorf("quantization of %d bits in groups of %d is not supported; "+
		"bits 2, 3, 4, 5, 6, 8 in groups of 32, 64, 128 are", q.Bits, q.GroupSize)
}

// dequantized reads the weight of a module that is stored as packed (uint32), scales and biases.
func (c *Checkpoint) dequantized(module string, packed *Entry, entries map[string]*Entry) (
	[]float32, []int, error) {
	q := packed.quantization
	if layer, ok := c.Config.Quantization.Layers[module]; ok && q.Bits == 0 {
		q = layer
	}
	if q.Bits == 0 {
		q = c.Config.Quantization
	}
	if q.Bits == 0 {
		return nil, nil, fmt.Errorf("it holds packed integers, but config.json has no quantization")
	}
	if len(packed.Shape) != 2 {
		return nil, nil, fmt.Errorf("shape %v; a quantised weight has two dimensions", packed.Shape)
	}
	rows, words := packed.Shape[0], packed.Shape[1]
	columns := words * 32 / q.Bits
	groups := columns / q.GroupSize
	if words*32%q.Bits != 0 || columns%q.GroupSize != 0 {
		return nil, nil, fmt.Errorf(
			"%d words a row are not a whole number of groups of %d elements of %d bits",
			words, q.GroupSize, q.Bits)
	}
	var affine [2][]float32
	for i, suffix := range []string{".scales", ".biases"} {
		e, ok := entries[module+suffix]
		if !ok {
			return nil, nil, fmt.Errorf("it is quantised, but there is no %s", module+suffix)
		}
		if !slices.Equal(e.Shape, []int{rows, groups}) {
			return nil, nil, fmt.Errorf("%s has shape %v; %d bits in groups of %d make it [%d %d]",
				module+suffix, e.Shape, q.Bits, q.GroupSize, rows, groups)
		}
		var err error
		if affine[i], err = c.floats(e); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", module+suffix, err)
		}
	}
	out := make([]float32, 0, rows*columns)
	raw := make([]byte, 4*words)
	err := c.read(packed, len(raw), func(row []byte) {
		g := len(out) / q.GroupSize
		out = unpack(out, row, affine[0][g:g+groups], affine[1][g:g+groups], q)
	})
	return out, []int{rows, columns}, err
}

// unpack appends the elements of one row. At every width MLX's packing is one little-endian stream
// of bits, lowest first.
func unpack(out []float32, row []byte, scales, biases []float32, q Quantization) []float32 {
	var bits uint64
	have, mask := 0, uint64(1)<<q.Bits-1
	for g, scale := range scales {
		for range q.GroupSize {
			if have < q.Bits {
				bits |= uint64(binary.LittleEndian.Uint32(row)) << have
				row, have = row[4:], have+32
			}
			out = append(out, float32(scale*float32(bits&mask))+biases[g])
			bits, have = bits>>q.Bits, have-q.Bits
		}
	}
	return out
}
