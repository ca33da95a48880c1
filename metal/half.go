//go:build mlx

package metal

// #include "bridge.h"
import "C"

import "errors"

// halves is a weight of 16 bits: bfloat16, or else float16.
type halves struct {
	rows, columns int
	brain         bool
	words         []uint16
}

// product is y = x W^T by the CPU kernels: x has rows of w.columns, y rows of w.rows.
func (w *halves) product(x, y []float32) error {
	m := len(x) / w.columns
	if m < 1 || len(x) != m*w.columns || len(y) != m*w.rows || len(w.words) != w.rows*w.columns {
		return errors.New("metal: a product of arrays that do not fit")
	}
	return onThread(func() error {
		return call(func(e *C.char, n C.size_t) C.int {
			return C.ls_half_product((*C.uint16_t)(&w.words[0]), cbool(w.brain), C.int32_t(w.rows), C.int32_t(w.columns),
				(*C.float)(&x[0]), C.int32_t(m), (*C.float)(&y[0]), e, n)
		})
	})
}
