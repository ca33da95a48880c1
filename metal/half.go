//go:build mlx

package metal

// #include "bridge.h"
import "C"

import "errors"

// halves is a weight of 16 bits an element: bfloat16 if brain is set, else float16.
type halves struct {
	rows, columns int
	brain         bool
	words         []uint16
}

// product computes y = x W^T by the CPU kernels, times times. x has rows of w.columns elements, y
// rows of w.rows. It returns the seconds that the products took, without the packing of w before
// them.
func (w *halves) product(x, y []float32, times int) (seconds float64, err error) {
	m := len(x) / w.columns
	if m < 1 || len(x) != m*w.columns || len(y) != m*w.rows || len(w.words) != w.rows*w.columns {
		return 0, errors.New("mlx: the sizes of a product's arrays do not fit together")
	}
	err = onThread(func() error {
		return call(func(e *C.char, n C.size_t) C.int {
			return C.ls_half_product(
				(*C.uint16_t)(&w.words[0]), cbool(w.brain), C.int32_t(w.rows), C.int32_t(w.columns),
				(*C.float)(&x[0]), C.int32_t(m), (*C.float)(&y[0]),
				C.int32_t(times), (*C.double)(&seconds), e, n)
		})
	})
	return seconds, err
}
