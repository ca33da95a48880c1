//go:build mlx

package metal

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Runtime says what computes: the version of MLX, and its GPU or the instruction set of the CPU
// kernels for quantised weights.
func Runtime() string {
	if onGPU() {
		return "MLX " + Version() + " (GPU)"
	}
	return "MLX " + Version() + " (CPU kernels: " + instructionSet() + ")"
}

// onGPU reports whether this machine has a GPU that MLX computes on. It then runs MLX's own
// operations.
func onGPU() bool { return C.ls_gpu() != 0 }

// instructionSet is the one in use: the best that this processor has, unless LOADSTONE_ISA names
// another.
func instructionSet() string { return C.GoString(C.ls_isa()) }

// instructionSets lists the instruction sets that were compiled, best first.
func instructionSets() (names []string) {
	for i := C.int32_t(0); C.ls_isa_name(i) != nil; i++ {
		names = append(names, C.GoString(C.ls_isa_name(i)))
	}
	return names
}

// useInstructionSet changes the instruction set for the models of this process. It returns false if
// this processor does not have it. No step may be running.
func useInstructionSet(name string) bool {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return C.ls_isa_use(s) == 0
}

// affine is a weight in MLX's affine form: an element is scale q + bias.
type affine struct {
	rows, columns, group, bits int
	words                      []uint32
	scales, biases             []float32
}

// product computes y = x W^T by the CPU kernels, times times, with activations of 8 or 16 bits. x
// has rows of w.columns elements, y rows of w.rows. It returns the seconds that the products took,
// without the packing of w before them.
func (w *affine) product(x []float32, bits int, y []float32, times int) (
	seconds float64, err error) {
	m, groups := len(x)/w.columns, w.columns/w.group
	if m < 1 || len(x) != m*w.columns || len(y) != m*w.rows ||
		len(w.words) != w.rows*w.columns*w.bits/32 ||
		len(w.scales) != w.rows*groups || len(w.biases) != w.rows*groups {
		return 0, errors.New("mlx: the sizes of a product's arrays do not fit together")
	}
	err = onThread(func() error {
		return call(func(e *C.char, n C.size_t) C.int {
			return C.ls_quantised_product(
				(*C.uint32_t)(&w.words[0]), (*C.float)(&w.scales[0]), (*C.float)(&w.biases[0]),
				C.int32_t(w.rows), C.int32_t(w.columns), C.int32_t(w.group), C.int32_t(w.bits),
				(*C.float)(&x[0]), C.int32_t(m), C.int32_t(bits), (*C.float)(&y[0]),
				C.int32_t(times), (*C.double)(&seconds), e, n)
		})
	})
	return seconds, err
}
