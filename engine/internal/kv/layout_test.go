package kv

import "testing"

// A sequence never needs more than WindowStart, WindowBlocks and StepBlocks say, whatever the
// block, the window and the chunk.
func TestSlotsNeeded(t *testing.T) {
	for size := 1; size <= 9; size++ {
		for window := 1; window <= 21; window++ {
			s := Shape{BlockTokens: size, Window: window}
			for computed := range 60 {
				low := s.WindowStart(computed)
				if first := max(0, computed-window+1); first < low*size {
					t.Fatalf("%+v: token %d sees token %d, before block %d",
						s, computed, first, low)
				}
				for n := 1; n <= 12; n++ {
					got, limit := (computed+n-1)/size-low+1, s.WindowBlocks()+s.StepBlocks(n)
					if got > limit {
						t.Fatalf("%+v: %d tokens from %d on take %d slots, the limit is %d",
							s, n, computed, got, limit)
					}
				}
			}
		}
	}
}

// A budget is spent, and whatever has blocks finds window slots.
func TestLayout(t *testing.T) {
	gemma := func(window int) Shape {
		return Shape{Window: window, GlobalBytes: 3 * 2 * 256 * 4, SlidingBytes: 15 * 2 * 256 * 4}
	}
	for _, m := range []Shape{
		gemma(512),
		gemma(1),
		gemma(4096),
		{GlobalBytes: 46080},
		{Window: 32, GlobalBytes: 512, SlidingBytes: 1024},
		{Window: 512, SlidingBytes: 1024},
	} {
		both := int64(m.GlobalBytes + m.SlidingBytes)
		for _, size := range []int{1, 16, 32, 256} {
			m.BlockTokens = size
			for _, bytes := range []int64{both * int64(size), 20 << 20, 256 << 20, 100 << 30} {
				l, err := NewLayout(m, bytes, 256)
				if err != nil {
					if bytes >= both*int64(size) {
						t.Errorf("%+v in %d bytes: %v", m, bytes, err)
					}
					continue
				}
				block := int64(size) * int64(max(m.GlobalBytes, m.SlidingBytes))
				spent := int64(size) * (int64(l.Blocks)*int64(m.GlobalBytes) +
					int64(l.WindowSlots)*int64(m.SlidingBytes))
				if spent > bytes || bytes-spent > 2*block && l.Blocks < 1<<31/size-1 {
					t.Errorf("%+v: %d bytes of %d are spent: %+v", m, spent, bytes, l)
				}
				one := l.WindowBlocks() + max(l.WindowBlocks(), l.StepBlocks(256))
				if m.Window > 0 && l.WindowSlots < min(one, l.Blocks) || l.WindowSlots > l.Blocks {
					t.Errorf("%+v: %d slots for %d blocks, one request needs %d",
						m, l.WindowSlots, l.Blocks, one)
				}
			}
		}
	}
}

// TestWindowBytes checks how many bytes 4096 tokens of Gemma 3 270M take, in float32.
func TestWindowBytes(t *testing.T) {
	s := Shape{BlockTokens: 32, Window: 512,
		GlobalBytes: 3 * 2 * 256 * 4, SlidingBytes: 15 * 2 * 256 * 4}
	all, kept := s.Bytes(4096, 0), s.Bytes(4096, s.WindowStart(4096))
	if all != 4096*9216*4 || kept != 4096*1536*4+512*7680*4 {
		t.Errorf("%d and %d bytes", all, kept)
	}
	const mib = 1 << 20
	t.Logf("%.1f MiB instead of %.1f: %.2f times less",
		float64(kept)/mib, float64(all)/mib, float64(all)/float64(kept))
}
