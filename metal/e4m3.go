//go:build mlx

package metal

// #include "bridge.h"
import "C"

import "errors"

// codings are the ways to store a vector of KV that kvDecode takes: the formats of the cache, and
// fp8, E4M3 without scales or with one for each 64 elements, which is none of them (see e4m3.cc).
var codings = map[string]C.int32_t{"f32": 32, "f16": 16, "q8": 8, "q4": 4,
	"fp8": C.LS_E4M3, "fp8-scaled": C.LS_E4M3_SCALED}

// kvDecode encodes vectors of dim elements and returns them decoded. It decodes them times times,
// which takes so many seconds.
func kvDecode(coding string, x []float32, dim, times int) (
	y []float32, seconds float64, err error,
) {
	if len(x) == 0 || len(x)%dim != 0 || codings[coding] == 0 {
		return nil, 0, errors.New("mlx: no whole vectors, or no such coding")
	}
	y = make([]float32, len(x))
	err = onThread(func() error {
		return call(func(e *C.char, n C.size_t) C.int {
			return C.ls_kv_decode(codings[coding], (*C.float)(&x[0]), C.int32_t(len(x)/dim),
				C.int32_t(dim), (*C.float)(&y[0]), C.int32_t(times), (*C.double)(&seconds), e, n)
		})
	})
	return y, seconds, err
}

// roundKV has the models of this process round KV to fp8 or fp8-scaled before it is stored, or with
// "" not.
func roundKV(coding string) {
	onThread(func() error {
		C.ls_kv_rounding(codings[coding])
		return nil
	})
}
