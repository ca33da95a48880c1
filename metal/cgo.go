//go:build mlx

package metal

// The paths are those that metal/setup lays out. The order matters on Linux: see blas.cc.

// #cgo CXXFLAGS: -std=c++20 -O3 -Wno-psabi -I${SRCDIR}/.mlx/include
// #cgo LDFLAGS: -L${SRCDIR}/.mlx/lib -lmlx -Wl,-rpath,${SRCDIR}/.mlx/lib
// #cgo linux LDFLAGS: -L${SRCDIR}/.mlx/openblas -lscipy_openblas -Wl,-rpath,${SRCDIR}/.mlx/openblas -ldl
// #include "bridge.h"
import "C"
