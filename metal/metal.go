// Package metal runs the networks that engine/checkpoint describes on Apple's MLX: on the GPU of a
// Mac, on any CPU under Linux. The package is called metal; users see the backend as mlx, in flags,
// version output, errors and reports, because all figures so far were measured on CPUs. On a GPU it
// has never run.
//
// It needs the build tag mlx, cgo, and the libraries that `go run ./metal/setup` installs. Without
// the tag the package is pure Go and Open returns ErrUnavailable. Model satisfies the engine's
// Model interface without importing it. The one package of the repository that it imports is
// engine/checkpoint: config.json and safetensors are parsed there and nowhere else, so that a
// folder which one backend refuses is refused by the other with the same words. checkpoint itself
// imports the standard library alone.
//
//	Go     metal.go (this file); mlx.go has Model, thread.go the one thread that owns MLX,
//	       batch.go the checks before a step, mapping.go the weight files mapped into memory,
//	       part.go, lead.go, split.go and share.go a network that is split over processes;
//	       memory.go, quant.go, half.go and blas.go call single kernels
//	C ABI  bridge.h, one crossing per step
//	C++    bridge.cc has the entry points, weights.cc and model.cc the network
//	       graph.cc has its parts in MLX's operations, which a GPU runs
//	       step.cc and attention.cc have the same for CPUs, kvformat.cc the formats of their KV
//	       cache; beneath them attention_tile.cc, simd.h, pool.h (threads), pages.h (memory)
//	       product.cc has their products: with weights of 16 bits (half.cc, half_f16.cc), with
//	       quantised ones (quant.h; pack.cc packs them, rows.cc quantises activations,
//	       quant_*.cc has a file for each instruction set), with float32 (matmul.cc)
//	       ring.cc has the sums of a network that is split over processes
//	       blas.cc OpenBLAS in front of MLX's own BLAS; for tests probe.cc single kernels
//
// # On a CPU
//
// Quantised weights stay quantised. On a CPU MLX multiplies them with scalar loops on one thread,
// so a step is one MLX primitive of our own, with products of bytes by AVX-512 VNNI, AVX-VNNI,
// AVX2, NEON or plain C++ (LOADSTONE_ISA; loadstone version says which), all the same to the last
// bit. Activations are rounded to 8 bits in blocks of 32, which costs up to 0.6 % of perplexity, or
// to 16, which costs nothing that can be measured (TestAgreement of server/service). A weight is
// stored as one run of cache lines, each thread reads its share from end to end and prefetches it,
// and no thread sleeps between two products. One stream reads weights and KV at 61 % (SmolLM2;
// weights alone 58) and 79 % (Gemma) of the 62 GB/s that both cores of an EPYC with AVX-512 VNNI
// can read at their best, and at nine tenths of 37 when other guests of the host are busy. Against
// llama.cpp on the same files, two threads, the medians of three rounds in turns, one stream is 2.6
// times as fast on SmolLM2 and 2.1 times on Gemma, eight 4.1 and 3.2 times, prompts 4.2 to 6.1 and
// 2.4 to 2.6 times (benchdata/peers). Sums are in one order whatever else a step holds, so an
// answer is the same to the last bit alone and under load.
//
// Weights of 16 bits stay so and are widened in registers: a decode step of SmolLM2 in bfloat16
// takes 12 ms, in float32 27. One pool of threads computes everything; where it uses OpenBLAS, each
// thread calls that for a piece of its own, because OpenBLAS's threads meet at barriers and stall
// when the machine is busy. OpenBLAS replaces the wheel's reference BLAS: our binary defines the
// cblas_* symbols that libmlx calls, and forwards them. A test asks the dynamic linker which object
// defines them, since nothing else would show that the slow one is used.
//
// In a mixture of experts the router is multiplied in float32 and never by OpenBLAS, so that the
// choice of experts depends on nothing else in the step. Each expert takes its rows of the step
// together. A thread takes whole experts where there are many, and what they make of a row is added
// up in their order.
//
// For a greedy token no row of logits is written. The model is asked for the token alone, and each
// task keeps the largest of the outputs that it has in its cache. Rows, of 262144 logits for Gemma,
// go to samplers only.
//
// A model is ready in under a second: files are mapped, packed for the kernels on all threads and
// given back tensor by tensor while the tokenizer is read. Gemma 3 270M takes 0.6 s of a warm page
// cache, SmolLM2 0.25, and the 6.6 GB of Gemma 3 12B 2 s. Only the first part of a large KV pool is
// allocated before that, the rest while the model has nothing to do. A test holds the process's
// peak to weights, KV pool and 300 MB.
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

// Options say how a network is computed.
type Options struct {
	// The format of the KV cache: f32, f16, on a CPU also q8 or q4 (8 or 4 bits in groups of 64
	// along head_dim), or auto, which "" stands for: the format that the network computes in.
	KV string

	// The bits to which the CPU kernels round activations, in blocks of 32, for products with
	// quantised weights: 8, which 0 stands for, or 16. With 16 the network computes what float32
	// would to about four digits. A product of one row takes 2 to 15 % longer then, as it waits for
	// its weight; one of many rows, as those of prompts are, twice as long.
	Activations int

	// Part is which part of a network this process has; the zero Part is all of it.
	Part Part

	// Progress, unless it is nil, is called now and then with the bytes of the weights that have
	// been read and with all their bytes.
	Progress func(done, total int64)
}

// ErrUnavailable says that this binary was built without MLX.
var ErrUnavailable = errors.New(
	"MLX is not in this build: run go run ./metal/setup, then build with -tags mlx")
