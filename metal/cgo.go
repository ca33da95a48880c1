//go:build mlx

package metal

// The paths are those that metal/setup lays out. The check of the headers is here because cgo
// compiles this file first and stops: in a C++ file its message would be one line among a thousand.
// Where a program looks for the libraries when it starts is in rpath.go and rpath_release.go.
// The tag sanitize is for tests; see sanitize_test.go.

// #cgo CPPFLAGS: -I${SRCDIR}/.mlx/include
// #cgo CXXFLAGS: -std=c++20 -Wno-psabi
// #cgo !sanitize CXXFLAGS: -O3
// #cgo sanitize CXXFLAGS: -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined
// #cgo sanitize LDFLAGS: -fsanitize=address,undefined
// #cgo LDFLAGS: -L${SRCDIR}/.mlx/lib -lmlx
// #cgo darwin LDFLAGS: -framework Accelerate
// #cgo linux LDFLAGS: -L${SRCDIR}/.mlx/openblas -lscipy_openblas
// #cgo linux LDFLAGS: -ldl
// #if !__has_include("mlx/mlx.h")
// #error "MLX is not set up: run go run ./metal/setup"
// #endif
// #include "bridge.h"
import "C"
