package engine

import (
	"testing"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
)

// A headSource has a header and no chunks.
type headSource struct{ h snapshot.Header }

func (s headSource) Header() *snapshot.Header          { return &s.h }
func (s headSource) Tokens() []int32                   { return nil }
func (s headSource) Chunk(int, []byte) ([]byte, error) { return nil, snapshot.ErrNotCopied }

// Portions are as large as they may be, whether their blocks have window slots or not, and have all
// blocks of use, one after the other.
func TestPortions(t *testing.T) {
	const size, global, sliding = 32, 6, 30 // as Gemma 3 270M, a KiB being a byte
	h := snapshot.Header{Tokens: 32_000, Shape: kv.Shape{BlockTokens: size, Window: 512,
		GlobalBytes: global, SlidingBytes: sliding}}
	for _, have := range []int{0, 64, 31_968} {
		for _, useful := range []int{31_969, 31_999, 32_000} {
			for _, portion := range []int{1, size * global, 4000, 4096, 1 << 30} {
				x := newReading(headSource{h}, have, useful, h.FirstSlot(), portion)
				at := have
				for k, start := range x.starts {
					end := useful
					if k+1 < len(x.starts) {
						end = x.starts[k+1]
					}
					if start != at || end <= start || start%size != 0 {
						t.Fatalf("portion %d is of tokens %d to %d, want from %d", k, start, end, at)
					}
					bytes, next := 0, 0
					for ; at < end; at += size {
						bytes += h.ChunkBytes(x.chunkOf(at))
					}
					if at < useful {
						next = h.ChunkBytes(x.chunkOf(at))
					}
					if bytes > portion && end-start > size || next > 0 && bytes+next <= portion {
						t.Errorf("from %d, at most %d bytes: %d in tokens %d to %d, and %d come next",
							have, portion, bytes, start, end, next)
					}
				}
				if at < useful {
					t.Errorf("from %d, at most %d bytes: tokens from %d are missing", have, portion, at)
				}
			}
		}
	}
}
