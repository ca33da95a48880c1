//go:build mlx

package metal

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

func (p Part) whole() bool { return len(p.Hosts) == 0 }

// join connects the parts of a network with each other, on the MLX thread. It waits until all parts
// have joined.
func (p Part) join() error {
	if p.Rank < 0 || p.Rank >= len(p.Hosts) {
		return fmt.Errorf("mlx: part %d of %d", p.Rank, len(p.Hosts))
	}
	hosts, err := os.CreateTemp("", "loadstone-parts-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(hosts.Name())
	defer hosts.Close()
	var list [][]string // MLX lets a part have several addresses
	for _, h := range p.Hosts {
		list = append(list, []string{h})
	}
	if err := json.NewEncoder(hosts).Encode(list); err != nil {
		return err
	}
	name := C.CString(hosts.Name())
	defer C.free(unsafe.Pointer(name))
	return call(func(e *C.char, n C.size_t) C.int {
		return C.ls_join(name, C.int32_t(p.Rank), C.int32_t(len(p.Hosts)), e, n)
	})
}

// split reduces the network to the share of one part. A part has some columns of o and down, which
// are copied, and some rows of the other matrices, which stay where they are.
func (w *mapping) split(p Part) error {
	c := &w.config
	s, err := shareOf(p.Rank, len(p.Hosts), c.Heads, c.KVHeads, c.Intermediate,
		c.ExpertIntermediate)
	if err != nil {
		return err
	}
	kept := w.tensors[:0]
	for _, t := range w.tensors {
		name := C.GoString(t.name)
		sum, cut, total := s.cutOf(name, w)
		switch {
		case total == 0:
		case sum && strings.HasSuffix(name, ".bias"):
			if p.Rank > 0 { // part 0 adds the bias to the sum
				C.free(unsafe.Pointer(t.name))
				continue
			}
		case sum:
			err = w.cutColumns(&t, cut, total)
		default:
			cutRows(&t, cut, total)
		}
		if err != nil {
			return &SplitError{len(p.Hosts), fmt.Sprintf("%s: %v", name, err)}
		}
		kept = append(kept, t)
	}
	w.tensors, w.bytes = kept, 0
	for _, t := range kept {
		w.bytes += int64(t.bytes)
	}
	c.Heads, c.KVHeads = s.heads.n(), s.kv.n()
	c.Intermediate, c.ExpertIntermediate = s.inner.n(), s.experts.n()
	return nil
}

// cutOf returns the part's share of a tensor: the span cut of its total rows, or, where sum is set
// because the matrix's result is summed over all parts, of its total columns. total is 0 where
// every part has the whole tensor.
func (s *layerShare) cutOf(name string, w *mapping) (sum bool, cut span, total int) {
	c, names := &w.config, strings.Split(name, ".") // layers, number, ..., module, weight
	if len(names) < 4 {
		return false, span{}, 0
	}
	inner, all := s.inner, c.Intermediate
	if names[2] == "experts" {
		inner, all = s.experts, c.ExpertIntermediate
	}
	switch names[len(names)-2] {
	case "q":
		return false, s.heads.times(c.HeadDim), c.Heads * c.HeadDim
	case "k", "v":
		return false, s.kv.times(c.HeadDim), c.KVHeads * c.HeadDim
	case "o":
		return true, s.heads.times(c.HeadDim), c.Heads * c.HeadDim
	case "gate", "up":
		return false, inner, all
	case "down":
		return true, inner, all
	}
	return false, span{}, 0
}

// cutRows reduces a tensor to some of its rows.
func cutRows(t *C.ls_tensor, cut span, rows int) {
	size := int(t.bytes) / rows
	t.data = unsafe.Add(t.data, cut.from*size)
	t.bytes = C.int64_t(cut.n() * size)
	*t.shape = C.int64_t(cut.n())
}

// cutColumns replaces a matrix by a copy of some of its columns. A quantised matrix has several
// columns in each stored number.
func (w *mapping) cutColumns(t *C.ls_tensor, cut span, columns int) error {
	shape := unsafe.Slice(t.shape, 2)
	rows, numbers := int(shape[0]), int(shape[1])
	if cut.from*numbers%columns != 0 || cut.to*numbers%columns != 0 {
		return fmt.Errorf("columns %d to %d are not whole groups of its quantisation",
			cut.from, cut.to)
	}
	row := int(t.bytes) / rows
	from, to := row/numbers*(cut.from*numbers/columns), row/numbers*(cut.to*numbers/columns)
	data := C.malloc(C.size_t(rows * (to - from)))
	w.copies = append(w.copies, data)
	stored := unsafe.Slice((*byte)(t.data), int(t.bytes))
	made := unsafe.Slice((*byte)(data), rows*(to-from))
	for r := range rows {
		copy(made[r*(to-from):], stored[r*row+from:r*row+to])
	}
	t.data, t.bytes = data, C.int64_t(len(made))
	shape[1] = C.int64_t((to - from) * numbers / row)
	return nil
}
