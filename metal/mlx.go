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
	"sync"
	"unsafe"

	"loadstone/engine/checkpoint"
)

// Available tells whether MLX is in this build.
const Available = true

// Version is the version of MLX in this process.
func Version() string { return C.GoString(C.ls_version()) }

// initialize runs first on the MLX thread.
func initialize() error {
	// A library of another version has other class layouts: nothing works, and not always visibly.
	if got, want := Version(), C.GoString(C.ls_header_version()); got != want {
		return fmt.Errorf("mlx: this binary was compiled for MLX %s and found MLX %s; "+
			"run go run ./metal/setup and build again with go build -a", want, got)
	}
	return call(func(err *C.char, n C.size_t) C.int { return C.ls_init(err, n) })
}

// call gives f room for an error text and returns it as an error.
func call(f func(err *C.char, errlen C.size_t) C.int) error {
	var text [512]C.char
	if f(&text[0], C.size_t(len(text))) != 0 {
		return errors.New("mlx: " + C.GoString(&text[0]))
	}
	return nil
}

// Model is a network on MLX with its KV cache. It holds memory that the garbage collector does not
// see, so Close is required.
type Model struct {
	cfg         checkpoint.Config
	h           *C.ls_model // used on the MLX thread, and in onCache; nil once closed
	kvGlobal    int         // bytes per token in the global layers
	kvSliding   int         // bytes per token in the sliding layers
	kvFormat    string
	activations int   // bits
	weights     int64 // bytes
	blocks      int
	windowSlots int
	blockTokens int
	leak        runtime.Cleanup

	cache sync.Mutex // held in onCache, and by Close
}

// Open loads the network in dir, a folder as package checkpoint reads it, whose weights are
// float32, float16, bfloat16 or affine-quantised. On a CPU all but float32 are packed for our
// kernels.
func Open(dir string, o Options) (*Model, error) { return open(dir, options{Options: o}) }

// kvBits has the bits of an element in each format of the cache; 0 is the format of the
// activations.
var kvBits = map[string]C.int32_t{"": 0, "auto": 0, "f32": 32, "f16": 16, "q8": 8, "q4": 4}

// options let tests and benchmarks run on a CPU what otherwise only a GPU runs.
type options struct {
	Options
	native bool // keep weights as stored
	graph  bool // MLX's operations only, none of our CPU kernels
}

func open(dir string, opt options) (*Model, error) {
	if _, ok := kvBits[opt.KV]; !ok {
		return nil, fmt.Errorf("mlx: unknown KV format %q; there are auto, f32, f16, q8 and q4",
			opt.KV)
	}
	switch opt.Activations {
	case 0:
		opt.Activations = 8
	case 8, 16:
	default:
		return nil, fmt.Errorf("mlx: activations of %d bits; there are 8 and 16", opt.Activations)
	}
	w, err := openWeights(dir)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if !opt.Part.whole() {
		if err := w.split(opt.Part); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		if err := onThread(opt.Part.join); err != nil {
			return nil, err
		}
	}
	m := &Model{cfg: w.config}
	if err := onThread(func() error { return m.load(w, opt) }); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	_, file, line, _ := runtime.Caller(2)
	m.leak = runtime.AddCleanup(m, func(where string) {
		slog.Error("mlx: a Model was dropped without Close; its memory is lost", "opened", where)
	}, fmt.Sprintf("%s:%d", file, line))
	return m, nil
}

// bridgeConfig is the network as the C++ side takes it.
func bridgeConfig(cfg *checkpoint.Config, opt options) C.ls_config {
	gpu := onGPU()
	return C.ls_config{
		vocab:           C.int32_t(cfg.VocabSize),
		hidden:          C.int32_t(cfg.HiddenSize),
		layers:          C.int32_t(cfg.Layers),
		heads:           C.int32_t(cfg.Heads),
		kv_heads:        C.int32_t(cfg.KVHeads),
		head_dim:        C.int32_t(cfg.HeadDim),
		intermediate:    C.int32_t(cfg.Intermediate),
		window:          C.int32_t(cfg.SlidingWindow),
		tied:            cbool(cfg.TieEmbeddings),
		native:          cbool(opt.native || gpu),
		kv_bits:         kvBits[opt.KV],
		activation_bits: C.int32_t(opt.Activations),
		graph:           cbool(opt.native || opt.graph || gpu),
		gelu:            cbool(cfg.GELU),
		norms_minus_one: cbool(cfg.NormsMinusOne),
		eps:             C.float(cfg.RMSNormEps),
		attention_scale: C.float(cfg.AttentionScale),
		embedding_scale: C.float(cfg.EmbeddingScale),
		attention_cap:   C.float(cfg.AttentionCap),
		final_cap:       C.float(cfg.FinalCap),
		query_beta:      C.float(cfg.QueryBeta),
		query_every:     C.int32_t(cfg.QueryEvery),

		experts:             C.int32_t(cfg.Experts),
		active_experts:      C.int32_t(cfg.ActiveExperts),
		expert_intermediate: C.int32_t(cfg.ExpertIntermediate),
		norm_shares:         cbool(cfg.NormShares),
	}
}

// load runs on the MLX thread.
func (m *Model) load(w *mapping, opt options) error {
	c := bridgeConfig(&m.cfg, opt)
	read := func(f func(err *C.char, errlen C.size_t) C.int) error {
		if err := w.check(); err != nil {
			return err
		}
		if err := call(f); err != nil {
			return err
		}
		if opt.Progress != nil {
			opt.Progress(int64(C.ls_bytes_read(m.h)), w.bytes)
		}
		return nil
	}
	// The array of tensors is Go's. The pointers in it lead to memory that is not Go's, except for
	// those to shapes, which are pinned.
	err := read(func(e *C.char, n C.size_t) C.int {
		return C.ls_open(&c, unsafe.SliceData(w.tensors), C.int32_t(len(w.tensors)), &m.h, e, n)
	})
	for i, r := range []checkpoint.Rope{m.cfg.Rope, m.cfg.SlidingRope} {
		if err == nil {
			err = call(func(e *C.char, n C.size_t) C.int {
				return C.ls_rope(m.h, C.int32_t(i), (*C.double)(unsafe.SliceData(r.Frequencies)),
					C.int32_t(len(r.Frequencies)), C.double(r.Scale), e, n)
			})
		}
	}
	for i := 0; err == nil && i < m.cfg.Layers; i++ {
		err = read(func(e *C.char, n C.size_t) C.int {
			return C.ls_load_layer(m.h, cbool(m.cfg.LayerSliding[i]), cbool(m.cfg.LayerRope[i]),
				e, n)
		})
	}
	if err != nil {
		if m.h != nil {
			C.ls_close(m.h)
			m.h = nil
		}
		return err
	}
	C.ls_loaded(m.h)
	var global, sliding C.int64_t
	C.ls_kv_bytes_per_token(m.h, &global, &sliding)
	m.kvGlobal, m.kvSliding = int(global), int(sliding)
	m.kvFormat = C.GoString(C.ls_kv_format(m.h))
	m.activations = int(C.ls_activation_bits(m.h))
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
func (m *Model) Vocab() int { return m.cfg.VocabSize }

// Context is the maximum number of tokens of a sequence.
func (m *Model) Context() int { return m.cfg.MaxPositions }

// Window is how many tokens, itself included, a token sees in a sliding layer. It is 0 when there
// is no such layer.
func (m *Model) Window() int {
	if m.kvSliding == 0 {
		return 0
	}
	return m.cfg.SlidingWindow
}

// WeightBytes is the memory of the weights in bytes.
func (m *Model) WeightBytes() int64 { return m.weights }

// decodeBytes is how many bytes of the weights a decode step reads.
func (m *Model) decodeBytes() (n int) {
	onThread(func() error {
		n = int(C.ls_decode_bytes(m.h))
		return nil
	})
	return n
}

// KVBytesPerToken is the memory of one token in the cache in bytes, in all global layers together
// and in all sliding layers together.
func (m *Model) KVBytesPerToken() (global, sliding int) { return m.kvGlobal, m.kvSliding }

// KVFormat is how the cache is stored: f32, f16, bf16, q8 or q4.
func (m *Model) KVFormat() string { return m.kvFormat }

// ActivationBits is to how many bits activations are rounded for products with quantised weights: 8
// or 16, or 0 where nothing is rounded, as on a GPU and with other weights.
func (m *Model) ActivationBits() int { return m.activations }

var errClosed = errors.New("mlx: the model is closed")

// on runs f on the MLX thread if the model is open.
func (m *Model) on(f func(err *C.char, errlen C.size_t) C.int) error {
	return onThread(func() error {
		if m.h == nil {
			return errClosed
		}
		return call(f)
	})
}

// onCache runs f, which moves bytes of the cache, on the caller's thread if the model is open. The
// cache is plain memory between steps, and a restore moves a thousand blocks: the way to the MLX
// thread and back takes as long as a block's copy.
func (m *Model) onCache(f func(err *C.char, errlen C.size_t) C.int) error {
	m.cache.Lock()
	defer m.cache.Unlock()
	if m.h == nil {
		return errClosed
	}
	return call(f)
}

// AllocKV allocates the cache, zeroed: blocks for the global layers and window slots for the
// sliding ones. A block and a window slot have blockTokens tokens each.
func (m *Model) AllocKV(blocks, windowSlots, blockTokens int) error {
	if m.kvSliding == 0 {
		windowSlots = 1 // of 0 bytes
	}
	if blocks < 1 || windowSlots < 1 || blockTokens < 1 ||
		max(blocks, windowSlots) > math.MaxInt32/blockTokens {
		return fmt.Errorf("mlx: cannot allocate %d blocks and %d window slots of %d tokens: "+
			"all must be at least 1 and the products below 2^31", blocks, windowSlots, blockTokens)
	}
	if m.blocks != 0 {
		return fmt.Errorf("mlx: the cache is already allocated (%d blocks of %d tokens)",
			m.blocks, m.blockTokens)
	}
	// MLX aborts the process when memory runs out, so a cache that cannot fit is refused here.
	perToken := uint64(blocks)*uint64(m.kvGlobal) + uint64(windowSlots)*uint64(m.kvSliding)
	need, have := uint64(blockTokens)*perToken, availableMemory()
	if have > 0 && need > have {
		return fmt.Errorf("mlx: the KV cache needs %d MiB, %d MiB of memory are available; "+
			"ask for fewer blocks", need>>20, have>>20)
	}
	err := m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_alloc(m.h, C.int32_t(blocks), C.int32_t(windowSlots),
			C.int32_t(blockTokens), e, n)
	})
	if err == nil {
		m.blocks, m.windowSlots, m.blockTokens = blocks, windowSlots, blockTokens
	}
	return err
}

// Step runs a batch; engine.Model documents it.
func (m *Model) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	if m.kvSliding == 0 {
		windowSlots = tables // which no layer reads
	}
	err := m.checkStep(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
	if err != nil {
		return err
	}
	return m.on(func(e *C.char, n C.size_t) C.int {
		return C.ls_step(m.h, cints(tokens), cints(lens), cints(starts), C.int32_t(len(lens)),
			cints(tables), cints(windowSlots), cints(rows), C.int32_t(len(rows)),
			(*C.float)(unsafe.SliceData(logits)), cints(picks), C.int32_t(len(picks)), cints(best),
			e, n)
	})
}

func cints(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(s)) }

// CopyKV copies the first tokens tokens of block src to block dst, and those of window slot srcSlot
// to dstSlot.
func (m *Model) CopyKV(dst, src, dstSlot, srcSlot, tokens int) error {
	err := errors.Join(m.checkBlock(dst, dstSlot, tokens), m.checkBlock(src, srcSlot, tokens))
	if err != nil || tokens == 0 {
		return err
	}
	return m.onCache(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_copy(m.h, C.int32_t(dst), C.int32_t(src),
			C.int32_t(dstSlot), C.int32_t(srcSlot), C.int32_t(tokens), e, n)
	})
}

// ReadKV copies the first tokens tokens of a block and of a window slot to dst, whose length must
// be exactly theirs. Where windowSlot is -1, it copies those of the block alone.
func (m *Model) ReadKV(block, windowSlot, tokens int, dst []byte) error {
	// Where all layers slide, a block alone holds nothing.
	if err := m.checkKV(block, windowSlot, tokens, len(dst)); err != nil || len(dst) == 0 {
		return err
	}
	return m.onCache(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_read(m.h, C.int32_t(block), C.int32_t(windowSlot), C.int32_t(tokens),
			(*C.uint8_t)(&dst[0]), e, n)
	})
}

// WriteKV is the inverse of ReadKV.
func (m *Model) WriteKV(block, windowSlot, tokens int, src []byte) error {
	if err := m.checkKV(block, windowSlot, tokens, len(src)); err != nil || len(src) == 0 {
		return err
	}
	return m.onCache(func(e *C.char, n C.size_t) C.int {
		return C.ls_kv_write(m.h, C.int32_t(block), C.int32_t(windowSlot), C.int32_t(tokens),
			(*C.uint8_t)(&src[0]), e, n)
	})
}

// Close frees the weights and the cache. A second Close does nothing.
func (m *Model) Close() error {
	return onThread(func() error {
		m.cache.Lock()
		defer m.cache.Unlock()
		if m.h != nil {
			C.ls_close(m.h)
			m.h = nil
			m.leak.Stop()
		}
		return nil
	})
}

// memory returns the bytes that MLX holds: those of live arrays, and those of buffers that it keeps
// for later ones.
func memory() (active, cached uint64) {
	onThread(func() error {
		var a, c C.uint64_t
		C.ls_memory(&a, &c)
		active, cached = uint64(a), uint64(c)
		return nil
	})
	return active, cached
}
