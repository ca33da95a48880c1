//go:build mlx && release

package metal

// A release has the libraries beside the program, in the folders in which the wheels have them:
// libmlx.so itself looks for others in ../../mlx_cpu.libs.

// #cgo linux LDFLAGS: -Wl,-rpath,$ORIGIN/lib/mlx/lib -Wl,-rpath,$ORIGIN/lib/openblas
import "C"
