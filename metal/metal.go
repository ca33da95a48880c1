// Package metal runs Llama and Gemma 3 networks on Apple's MLX: on the GPU of a Mac, on any CPU
// under Linux. The package is called metal; users see the backend as mlx, in flags, version output,
// errors and reports, because all figures that were measured so far are those of CPUs. On a GPU it
// has never run.
//
// It needs the build tag mlx, cgo, and the libraries that `go run ./metal/setup` installs. Without
// the tag the package is pure Go and Open returns ErrUnavailable. Model satisfies the engine's
// Model interface without importing it. The one package of the repository that it imports is
// engine/checkpoint: config.json and safetensors are parsed there and nowhere else, so that a
// folder which one backend refuses is refused by the other with the same words. checkpoint itself
// imports the standard library alone.
//
//	Go     metal.go (this), mlx.go Model, thread.go the one thread that owns MLX, batch.go the
//	       checks before a step, mapping.go the files of weights in memory, config.go numbers that
//	       follow from config.json, memory.go, quant.go, half.go and blas.go single kernels
//	C ABI  bridge.h, one crossing per step
//	C++    bridge.cc entry points, weights.cc, model.cc the network
//	       graph.cc its parts in MLX's operations: a GPU runs these
//	       step.cc and attention.cc the same for CPUs, kvformat.cc the formats of their cache;
//	       beneath them attention_tile.cc, simd.h, pool.h (threads), pages.h (memory)
//	       product.cc their products: with weights of 16 bits (half.cc, half_f16.cc), with
//	       quantised ones (quant.h; quant.cc packs them, rows.cc quantises activations,
//	       quant_*.cc has a file for each instruction set), with float32 (matmul.cc)
//	       blas.cc OpenBLAS in front of MLX's own BLAS, probe.cc single kernels, for tests
//
// # Words
//
// A block is a run of tokens in the KV cache of the global layers; each sequence has a table of
// them. A window slot is the same for the sliding layers, where a sequence needs only the slots
// that its window covers. A cell is the place of one token in a layer's cache: the number of its
// block or window slot, times the tokens of a block, plus the offset in it (llama.cpp's word).
//
// A row is a token of a step whose logits are wanted; a pick is one of which only the place of the
// largest logit is wanted. A panel is 16 rows of a packed weight, and a tile some rows of
// activations, or some keys or values.
package metal

import "errors"

// ErrUnavailable says that this binary was built without MLX.
var ErrUnavailable = errors.New(
	"MLX is not in this build: run go run ./metal/setup, then build with -tags mlx")
