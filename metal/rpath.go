//go:build mlx && !release

package metal

// #cgo LDFLAGS: -Wl,-rpath,${SRCDIR}/.mlx/lib
// #cgo linux LDFLAGS: -Wl,-rpath,${SRCDIR}/.mlx/openblas
import "C"
