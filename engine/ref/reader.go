package ref

import "unsafe"

// reader gives one worker the keys and values of one sequence in one layer and head as float32. If
// the cache is float32 they are read where they lie; else they are decoded once for all tokens of
// the sequence that the worker computes.
type reader struct {
	kv           *cache
	layer, head  int
	table        []int32
	first        int       // position of the first decoded vector
	keys, values []float32 // positions x D; unused if the cache is float32
	scores       []float32 // H/K x positions
}

// open makes r read positions first to last of the sequence whose blocks, or window slots, are in
// table.
func (r *reader) open(kv *cache, layer, head int, table []int32, first, last int) {
	r.kv, r.layer, r.head, r.table, r.first = kv, layer, head, table, first
	if kv.format.Bits == 32 {
		return
	}
	n := (last - first + 1) * kv.headDim
	r.keys, r.values = sized(r.keys, n), sized(r.values, n)
	for p, to := first, 0; p <= last; {
		at, n := kv.run(table, p, last)
		for i := range n {
			from := ((at+i)*kv.heads + head) * kv.rowBytes
			kv.format.decode(r.keys[to:][:kv.headDim], kv.keys[layer][from:][:kv.rowBytes])
			kv.format.decode(r.values[to:][:kv.headDim], kv.values[layer][from:][:kv.rowBytes])
			to += kv.headDim
		}
		p += n
	}
}

// run returns the keys or the values of n positions: of p and of positions after it, but of none
// after last. The vectors are stride elements apart.
func (r *reader) run(values bool, p, last int) (x []float32, stride, n int) {
	kv := r.kv
	if kv.format.Bits != 32 {
		x = r.keys
		if values {
			x = r.values
		}
		return x[(p-r.first)*kv.headDim:], kv.headDim, last - p + 1
	}
	plane := kv.keys[r.layer]
	if values {
		plane = kv.values[r.layer]
	}
	at, n := kv.run(r.table, p, last)
	return floats(plane)[(at*kv.heads+r.head)*kv.headDim:], kv.heads * kv.headDim, n
}

// floats returns the elements of a plane of a float32 cache.
func floats(plane []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(plane))), len(plane)/4)
}
