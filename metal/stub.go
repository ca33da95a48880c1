//go:build !mlx

package metal

import "context"

// Available tells whether MLX is in this build.
const Available = false

// Version is the version of MLX in this process, "" without one.
func Version() string { return "" }

// Runtime says what computes; here, nothing.
func Runtime() string { return "" }

// Model is a network on MLX; here, one that cannot be opened.
type Model struct{}

// Open returns ErrUnavailable.
func Open(dir string, o Options) (*Model, error) { return nil, ErrUnavailable }

// Lead is a network that is split over several processes; here, one that cannot be opened.
type Lead struct{ *Model }

// OpenLead returns ErrUnavailable.
func OpenLead(dir string, o Options) (*Lead, error) { return nil, ErrUnavailable }

// Follow returns ErrUnavailable.
func Follow(ctx context.Context, dir string, o Options) error { return ErrUnavailable }

func (*Model) Vocab() int                                         { return 0 }
func (*Model) Context() int                                       { return 0 }
func (*Model) Window() int                                        { return 0 }
func (*Model) KVBytesPerToken() (global, sliding int)             { return 0, 0 }
func (*Model) KVFormat() string                                   { return "" }
func (*Model) ActivationBits() int                                { return 0 }
func (*Model) WeightBytes() int64                                 { return 0 }
func (*Model) AllocKV(blocks, windowSlots, blockTokens int) error { return ErrUnavailable }
func (*Model) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	return ErrUnavailable
}
func (*Model) CopyKV(dst, src, dstSlot, srcSlot, tokens int) error     { return ErrUnavailable }
func (*Model) ReadKV(block, windowSlot, tokens int, dst []byte) error  { return ErrUnavailable }
func (*Model) WriteKV(block, windowSlot, tokens int, src []byte) error { return ErrUnavailable }
func (*Model) Close() error                                            { return nil }
