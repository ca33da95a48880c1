// Package metal runs Llama and Gemma 3 networks on Apple's MLX: on the GPU of a Mac, on any CPU under Linux.
//
// It needs the build tag mlx, cgo, and what `go run ./metal/setup` installs; without the tag the package is pure Go and
// Open returns ErrUnavailable. Model satisfies the engine's Model interface without importing it.
//
//	Go            metal.go (this), mlx.go Model, thread.go the one thread that owns MLX,
//	              config.go and safetensors.go what is checked before a file is used, mapping.go the files in memory
//	C ABI         bridge.h, one crossing per step
//	C++           bridge.cc entry points, weights.cc, model.cc the network, graph.cc its parts in MLX's operations,
//	              step.cc and attention.cc the same for CPUs (attention_tile.cc, simd.h, pool.h and pages.h beneath
//	              them), product.cc their products: with weights of 16 bits (half.cc, half_f16.cc), with
//	              quantised ones (quant.h; quant.cc packs them, rows.cc quantises activations, quant_*.cc has a file for
//	              each instruction set) and with float32 (matmul.cc),
//	              blas.cc OpenBLAS in front of MLX's own, probe.cc what tests ask of the kernels alone
package metal

import "errors"

// ErrUnavailable says that this binary was built without MLX.
var ErrUnavailable = errors.New("MLX is not in this build: run go run ./metal/setup, then build with -tags mlx")
