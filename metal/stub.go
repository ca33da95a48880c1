//go:build !mlx

package metal

// Available tells whether MLX is in this build.
const Available = false

// Version is the version of MLX in this process, "" without one.
func Version() string { return "" }

// Model is a network on MLX; here, one that cannot be opened.
type Model struct{}

// Open returns ErrUnavailable.
func Open(dir string) (*Model, error) { return nil, ErrUnavailable }

func (*Model) Vocab() int                            { return 0 }
func (*Model) Context() int                          { return 0 }
func (*Model) KVBytesPerToken() int                  { return 0 }
func (*Model) AllocKV(blocks, blockTokens int) error { return ErrUnavailable }
func (*Model) Step(tokens, lens, starts, tables, rows []int32, logits []float32) error {
	return ErrUnavailable
}
func (*Model) CopyKV(dst, src, tokens int) error           { return ErrUnavailable }
func (*Model) ReadKV(block, tokens int, dst []byte) error  { return ErrUnavailable }
func (*Model) WriteKV(block, tokens int, src []byte) error { return ErrUnavailable }
func (*Model) Close() error                                { return nil }
