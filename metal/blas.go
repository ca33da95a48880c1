//go:build mlx

package metal

// #include "bridge.h"
import "C"

import "errors"

// blasObject returns the file that answers cblas_sgemm for libmlx. It is this executable if blas.cc
// is in front, as it should be.
func blasObject() (string, error) {
	var path [4096]C.char
	err := call(func(e *C.char, n C.size_t) C.int {
		return C.ls_blas_object(&path[0], C.size_t(len(path)), e, n)
	})
	return C.GoString(&path[0]), err
}

// blasCalls is the number of calls that blas.cc has answered.
func blasCalls() uint64 { return uint64(C.ls_blas_calls()) }

// matmul computes c = a b, n x n, by MLX.
func matmul(n int, a, b, c []float32) error {
	return square(n, a, b, c, func(a, b, c *C.float, e *C.char, errlen C.size_t) C.int {
		return C.ls_matmul(C.int32_t(n), a, b, c, e, errlen)
	})
}

// referenceMatmul does the same by the BLAS that the MLX wheel brings along.
func referenceMatmul(n int, a, b, c []float32) error {
	return square(n, a, b, c, func(a, b, c *C.float, e *C.char, errlen C.size_t) C.int {
		return C.ls_reference_matmul(C.int32_t(n), a, b, c, e, errlen)
	})
}

// square calls f on the MLX thread after it has checked that the matrices are n x n.
func square(n int, a, b, c []float32,
	f func(a, b, c *C.float, e *C.char, errlen C.size_t) C.int) error {
	if n < 1 || len(a) != n*n || len(b) != n*n || len(c) != n*n {
		return errors.New("mlx: matrices are not n x n")
	}
	return onThread(func() error {
		return call(func(e *C.char, errlen C.size_t) C.int {
			return f((*C.float)(&a[0]), (*C.float)(&b[0]), (*C.float)(&c[0]), e, errlen)
		})
	})
}
