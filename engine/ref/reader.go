package ref

import "unsafe"

// reader gives a worker the keys and values of one sequence in one layer and head as float32: where they lie if the cache
// is float32, else decoded once for all tokens that the worker has of the sequence.
type reader struct {
	kv           *cache
	layer, head  int
	table        []int32
	first        int       // position of the first vector decoded
	keys, values []float32 // positions x D; unused if the cache is float32
	scores       []float32 // H/K x positions
}

// open turns to the positions from first to last of a sequence.
func (r *reader) open(kv *cache, layer, head int, table []int32, first, last int) {
	r.kv, r.layer, r.head, r.table, r.first = kv, layer, head, table, first
	if kv.format.bits == 32 {
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

// run returns the vectors, keys or values, of n positions from p on, but none after last; they are stride apart.
func (r *reader) run(values bool, p, last int) (x []float32, stride, n int) {
	kv := r.kv
	if kv.format.bits != 32 {
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

// floats sees a plane of a float32 cache as what it holds.
func floats(plane []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(plane))), len(plane)/4)
}
