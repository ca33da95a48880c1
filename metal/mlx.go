//go:build mlx

package metal

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"unsafe"
)

// Available tells whether MLX is in this build.
const Available = true

// Version is the version of MLX in this process.
func Version() string { return C.GoString(C.ls_version()) }

// initialize runs first on the MLX thread.
func initialize() error {
	// A library of another version has other class layouts: nothing works, and not always visibly.
	if got, want := Version(), C.GoString(C.ls_header_version()); got != want {
		return fmt.Errorf("this binary was compiled for MLX %s and found MLX %s; run go run ./metal/setup and build again with go build -a", want, got)
	}
	return call(func(err *C.char, n C.size_t) C.int { return C.ls_init(err, n) })
}

// call gives f room for an error text and makes an error of it.
func call(f func(err *C.char, errlen C.size_t) C.int) error {
	var text [512]C.char
	if f(&text[0], C.size_t(len(text))) != 0 {
		return errors.New("mlx: " + C.GoString(&text[0]))
	}
	return nil
}

// Model is a network on MLX with its KV cache. It holds memory that the garbage collector does not see, so Close is
// required.
type Model struct {
	cfg         config
	h           *C.ls_model // used on the MLX thread only; nil once closed
	kvGlobal    int         // bytes per token, in the global layers
	kvLocal     int         // the same in the sliding ones
	kvFormat    string
	weights     int64 // bytes
	blocks      int
	locals      int
	blockTokens int
	leak        runtime.Cleanup
}

// Open loads the network in dir, a Hugging Face or mlx-community folder: config.json, and safetensors that are float32,
// float16, bfloat16 or affine-quantised. On a CPU all but float32 are packed for our kernels. The
// KV cache will be kept as kv says: f32, f16, on a CPU also q8 or q4 (8 or 4 bits in groups of 64 along
// head_dim), or auto, which is what the network computes in. Unless it is nil, progress is called now and then with how many
// bytes of the weights have been read, and of how many.
func Open(dir, kv string, progress func(done, total int64)) (*Model, error) {
	return open(dir, options{kv: kv, progress: progress})
}

var kvBits = map[string]C.int32_t{"": 0, "auto": 0, "f32": 32, "f16": 16, "q8": 8, "q4": 4}

// options are for tests and benchmarks, which run on a CPU what otherwise only a GPU does.
type options struct {
	native bool // keep weights as stored
	graph  bool // MLX's operations only, none of our CPU kernels
	kv     string

	progress func(done, total int64)
}

func open(dir string, opt options) (*Model, error) {
	if _, ok := kvBits[opt.kv]; !ok {
		return nil, fmt.Errorf("metal: unknown KV format %q; there are auto, f32, f16, q8 and q4", opt.kv)
	}
	cfg, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	w, err := openWeights(dir)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	m := &Model{cfg: cfg}
	if err := onThread(func() error { return m.load(w, opt) }); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	_, file, line, _ := runtime.Caller(2)
	m.leak = runtime.AddCleanup(m, func(where string) {
		slog.Error("metal: a Model was dropped without Close; its memory is lost", "opened", where)
	}, fmt.Sprintf("%s:%d", file, line))
	return m, nil
}

// load runs on the MLX thread.
func (m *Model) load(w *mapping, opt options) error {
	cfg := &m.cfg
	c := C.ls_config{
		arch:  C.LS_LLAMA,
		vocab: C.int32_t(cfg.vocab), hidden: C.int32_t(cfg.hidden), layers: C.int32_t(cfg.layers),
		heads: C.int32_t(cfg.heads), kv_heads: C.int32_t(cfg.kvHeads), head_dim: C.int32_t(cfg.headDim),
		intermediate: C.int32_t(cfg.intermediate), window: C.int32_t(cfg.window),
		eps: C.float(cfg.eps), rope_theta: C.float(cfg.ropeTheta), rope_local_theta: C.float(cfg.ropeLocalTheta),
		rope_scale: C.float(cfg.ropeScale), attention_scale: C.float(cfg.attentionScale),
		embedding_scale: C.float(cfg.embeddingScale), kv_bits: kvBits[opt.kv],
	}
	if cfg.gemma {
		c.arch = C.LS_GEMMA3
	}
	gpu := onGPU()
	c.tied, c.native, c.graph = cbool(cfg.tied), cbool(opt.native || gpu), cbool(opt.native || opt.graph || gpu)
	read := func(f func(err *C.char, errlen C.size_t) C.int) error {
		if err := w.check(); err != nil {
			return err
		}
		if err := call(f); err != nil {
			return err
		}
		if opt.progress != nil {
			opt.progress(int64(C.ls_bytes_read(m.h)), w.bytes)
		}
		return nil
	}
	// The array of tensors is Go's and holds pointers that are not, but for those to shapes, which are pinned.
	err := read(func(e *C.char, n C.size_t) C.int {
		return C.ls_open(&c, unsafe.SliceData(w.tensors), C.int32_t(len(w.tensors)), &m.h, e, n)
	})
	for i := 0; err == nil && i < cfg.layers; i++ {
		err = read(func(e *C.char, n C.size_t) C.int { return C.ls_load_layer(m.h, cbool(cfg.sliding[i]), e, n) })
	}
	if err != nil {
		if m.h != nil {
			C.ls_close(m.h)
			m.h = nil
		}
		return err
	}
	C.ls_loaded(m.h)
	var global, local C.int64_t
	C.ls_kv_bytes_per_token(m.h, &global, &local)
	m.kvGlobal, m.kvLocal = int(global), int(local)
	m.kvFormat = C.GoString(C.ls_kv_format(m.h))
	m.weights = int64(C.ls_weight_bytes(m.h))
	return nil
}

func cbool(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// Vocab is the length of one row of logits.
func (m *Model) Vocab() int { return m.cfg.vocab }

// Context is the most tokens a sequence may have.
func (m *Model) Context() int { return m.cfg.maxPositions }

// Window is how many tokens, itself included, a token sees in a sliding layer; 0 when there is no such layer.
func (m *Model) Window() int {
	if m.kvLocal == 0 {
		return 0
	}
	return m.cfg.window
}

// WeightBytes is what the weights take in memory.
func (m *Model) WeightBytes() int64 { return m.weights }

// decodeBytes is what a decode step reads of the weights.
func (m *Model) decodeBytes() (n int) {
	onThread(func() error {
		n = int(C.ls_decode_bytes(m.h))
		return nil
	})
	return n
}

// KVBytesPerToken is what one token takes in the cache, in the global layers and in the sliding ones.
func (m *Model) KVBytesPerToken() (global, local int) { return m.kvGlobal, m.kvLocal }

// KVFormat is how the cache is stored: f32, f16, bf16, q8 or q4.
func (m *Model) KVFormat() string { return m.kvFormat }

var errClosed = errors.New("metal: the model is closed")

// on runs f on the MLX thread if the model is open.
func (m *Model) on(f func(err *C.char, errlen C.size_t) C.int) error {
	return onThread(func() error {
		if m.h == nil {
			return errClosed
		}
		return call(f)
	})
}

// AllocKV allocates the cache, zeroed: blocks blocks of blockTokens tokens, and for the sliding layers locals.
func (m *Model) AllocKV(blocks, locals, blockTokens int) error {
	if m.kvLocal == 0 {
		locals = 1 // of nothing
	}
	if blocks < 1 || locals < 1 || blockTokens < 1 || max(blocks, locals) > math.MaxInt32/blockTokens {
		return fmt.Errorf("metal: cannot allocate %d blocks and %d locals of %d tokens: all must be at least 1 and the products below 2^31", blocks, locals, blockTokens)
	}
	if m.blocks != 0 {
		return fmt.Errorf("metal: the cache is already allocated (%d blocks of %d tokens)", m.blocks, m.blockTokens)
	}
	// MLX aborts the process when memory runs out, so what cannot fit is refused here.
	if need, have := uint64(blockTokens)*(uint64(blocks)*uint64(m.kvGlobal)+uint64(locals)*uint64(m.kvLocal)), availableMemory(); have > 0 && need > have {
		return fmt.Errorf("metal: the KV cache needs %d MiB, %d MiB of memory are available; ask for fewer blocks", need>>20, have>>20)
	}
	err := m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_alloc(m.h, C.int32_t(blocks), C.int32_t(locals), C.int32_t(blockTokens), e, n)
	})
	if err == nil {
		m.blocks, m.locals, m.blockTokens = blocks, locals, blockTokens
	}
	return err
}

// Step runs a batch: see engine.Model.
func (m *Model) Step(tokens, lens, starts, tables, locals, rows []int32, logits []float32, picks, best []int32) error {
	if m.kvLocal == 0 {
		locals = tables // looked at by nobody
	}
	if err := m.checkStep(tokens, lens, starts, tables, locals, rows, logits, picks, best); err != nil {
		return err
	}
	return m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_step(m.h, cints(tokens), cints(lens), cints(starts), C.int32_t(len(lens)), cints(tables), cints(locals), cints(rows),
			C.int32_t(len(rows)), (*C.float)(unsafe.SliceData(logits)), cints(picks), C.int32_t(len(picks)), cints(best), e, n)
	})
}

func cints(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(s)) }

// CopyKV copies the first tokens tokens of block src to block dst, and those of local srcLocal to dstLocal.
func (m *Model) CopyKV(dst, src, dstLocal, srcLocal, tokens int) error {
	if err := errors.Join(m.checkBlock(dst, dstLocal, tokens), m.checkBlock(src, srcLocal, tokens)); err != nil || tokens == 0 {
		return err
	}
	return m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_copy(m.h, C.int32_t(dst), C.int32_t(src), C.int32_t(dstLocal), C.int32_t(srcLocal), C.int32_t(tokens), e, n)
	})
}

// ReadKV writes the first tokens tokens of a block and a local to dst; of the block alone where local is -1.
func (m *Model) ReadKV(block, local, tokens int, dst []byte) error {
	if err := m.checkKV(block, local, tokens, len(dst)); err != nil || tokens == 0 {
		return err
	}
	return m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_read(m.h, C.int32_t(block), C.int32_t(local), C.int32_t(tokens), (*C.uint8_t)(&dst[0]), e, n)
	})
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, local, tokens int, src []byte) error {
	if err := m.checkKV(block, local, tokens, len(src)); err != nil || tokens == 0 {
		return err
	}
	return m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_write(m.h, C.int32_t(block), C.int32_t(local), C.int32_t(tokens), (*C.uint8_t)(&src[0]), e, n)
	})
}

// Close frees the weights and the cache. A second Close does nothing.
func (m *Model) Close() error {
	return onThread(func() error {
		if m.h != nil {
			C.ls_close(m.h)
			m.h = nil
			m.leak.Stop()
		}
		return nil
	})
}

// memory is what MLX holds: bytes of live arrays, and of buffers it keeps for the next ones.
func memory() (active, cached uint64) {
	onThread(func() error {
		var a, c C.uint64_t
		C.ls_memory(&a, &c)
		active, cached = uint64(a), uint64(c)
		return nil
	})
	return active, cached
}
