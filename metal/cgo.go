//go:build mlx

package metal

// The paths are those that metal/setup lays out. The check is here because cgo compiles this
// first and stops: in a C++ file it would be one line among a thousand.

// #cgo CPPFLAGS: -I${SRCDIR}/.mlx/include
// #cgo CXXFLAGS: -std=c++20 -O3 -Wno-psabi
// #cgo LDFLAGS: -L${SRCDIR}/.mlx/lib -lmlx -Wl,-rpath,${SRCDIR}/.mlx/lib
// #cgo darwin LDFLAGS: -framework Accelerate
// #cgo linux LDFLAGS: -L${SRCDIR}/.mlx/openblas -lscipy_openblas -Wl,-rpath,${SRCDIR}/.mlx/openblas -ldl
// #if !__has_include("mlx/mlx.h")
// #error "MLX is not set up: run go run ./metal/setup"
// #endif
// #include "bridge.h"
import "C"
