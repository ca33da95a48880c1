package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A dumbLocals is locals again without a count: who pins what how, and the free ones in a row.
type dumbLocals struct {
	of       map[int32]int // by block
	stay     [][]bool      // by local, for each pin
	holds    []int
	row      []int // free ones, the next to be taken first
	promised int
}

func (d *dumbLocals) idle(x int) bool { return len(d.stay[x]) == 0 && d.holds[x] == 0 }

func (d *dumbLocals) paid() (n int) {
	for _, pins := range d.stay {
		for _, stays := range pins {
			if !stays {
				n++
			}
		}
		if slices.Contains(pins, true) {
			n++
		}
	}
	return n
}

// purposes is what a dumb pool says whose blocks are these: what is paid more than once for one is a promise.
func (d *dumbLocals) purposes() Purposes {
	p := dumbPool{promised: d.promised + d.paid()}
	for x, pins := range d.stay {
		p.pins, p.holds = append(p.pins, make([]int, len(pins))), append(p.holds, make([]int, d.holds[x]))
		p.promised -= min(1, len(pins))
	}
	return p.purposes()
}

// change applies f to the local of block b and moves it in the row, as that says.
func (d *dumbLocals) change(b int32, f func(x int)) {
	x := d.of[b]
	was := d.idle(x)
	if f(x); was && !d.idle(x) {
		d.row = slices.DeleteFunc(d.row, func(y int) bool { return y == x })
	} else if !was && d.idle(x) {
		d.row = append(d.row, x)
	}
}

func (d *dumbLocals) unpin(b int32, stays bool) {
	d.change(b, func(x int) {
		i := slices.Index(d.stay[x], stays)
		d.stay[x] = slices.Delete(d.stay[x], i, i+1)
	})
}

func (d *dumbLocals) pin(b int32, stays bool) {
	d.change(b, func(x int) { d.stay[x] = append(d.stay[x], stays) })
}

// FuzzLocals does what a byte string says to locals and to the dumb ones, and compares them after each operation.
func FuzzLocals(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		script := make([]byte, 600)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		const n, blocks = 5, 8
		l := newLocals(layout{shape: shape{blockTokens: 4, window: 8}, blocks: blocks, locals: n})
		d := dumbLocals{of: map[int32]int{}, stay: make([][]bool, n), holds: make([]int, n), row: []int{0, 1, 2, 3, 4}}
		for len(script) >= 3 {
			verb, b, twin, stays := script[0]%10, int32(script[1]%blocks), int32(script[2]%blocks), script[2] >= 128
			script = script[3:]
			x, has := d.of[b]
			room := n - d.paid() - d.promised
			switch verb {
			case 0, 1:
				if k := int(b) % 3; k <= room {
					l.pay(k)
					d.promised += k
				}
			case 2:
				if k := int(b) % 3; k <= d.promised {
					l.pay(-k)
					d.promised -= k
				}
			case 3, 4:
				if !has && d.promised > 0 && len(d.row) > 0 {
					l.alloc(b, stays)
					x, d.promised = d.row[0], d.promised-1
					for old, y := range d.of {
						if y == x {
							delete(d.of, old)
						}
					}
					d.of[b] = x
					d.pin(b, stays)
				}
			case 5:
				price := 1
				if has && stays && slices.Contains(d.stay[x], true) {
					price = 0
				}
				if has && price <= room {
					if got := l.price(b, stays); got != price {
						t.Fatalf("block %d costs %d, want %d", b, got, price)
					}
					l.pin(b, stays)
					d.pin(b, stays)
				}
			case 6:
				if has && slices.Contains(d.stay[x], stays) {
					l.unpin(b, stays)
					d.unpin(b, stays)
				}
			case 7:
				if has && stays {
					l.hold(b)
					d.change(b, func(x int) { d.holds[x]++ })
				} else if has && d.holds[x] > 0 {
					l.unhold(b)
					d.change(b, func(x int) { d.holds[x]-- })
				}
			case 8:
				if has && d.idle(x) {
					l.drop(b)
					delete(d.of, b)
					d.row = slices.Insert(slices.DeleteFunc(d.row, func(y int) bool { return y == x }), 0, x)
				}
			case 9:
				if !has || b == twin || d.holds[x] > 0 || len(d.stay[x]) != 1 || d.stay[x][0] != stays {
					break
				}
				l.move(b, twin, stays)
				if _, ok := d.of[twin]; ok {
					d.unpin(b, stays)
					d.pin(twin, stays)
				} else {
					delete(d.of, b)
					d.of[twin] = x
				}
			}
			want := make([]local, n)
			for x := range want {
				want[x].holds = int32(d.holds[x])
				for _, stays := range d.stay[x] {
					if stays {
						want[x].stay++
					} else {
						want[x].pass++
					}
				}
			}
			l.check(want, d.promised)
			for b := range int32(blocks) {
				if x, ok := d.of[b]; ok != (l.of[b] != none) || ok && int(l.of[b]) != x {
					t.Fatalf("after %d block %d has local %d, want %d, %t", verb, b, l.of[b], x, ok)
				}
			}
			if got, want := l.purposes(), d.purposes(); got != want {
				t.Fatalf("after %d of block %d locals are for %+v, want %+v", verb, b, got, want)
			}
			var row []int
			for x := l.end().next; int(x) != n; x = l.all[x].next {
				row = append(row, int(x))
			}
			if !slices.Equal(row, d.row) {
				t.Fatalf("after %d of block %d the free ones are %v, want %v", verb, b, row, d.row)
			}
		}
	})
}

// What a sequence needs is never more than low, span and step say, whatever the block, the window and the chunk.
func TestLocalsNeeded(t *testing.T) {
	for size := 1; size <= 9; size++ {
		for window := 1; window <= 21; window++ {
			s := shape{blockTokens: size, window: window}
			for computed := range 60 {
				low := s.low(computed)
				if first := max(0, computed-window+1); first < low*size {
					t.Fatalf("%+v: token %d sees token %d, before block %d", s, computed, first, low)
				}
				for n := 1; n <= 12; n++ {
					if got, most := (computed+n-1)/size-low+1, s.span()+s.step(n); got > most {
						t.Fatalf("%+v: %d tokens from %d on take %d locals, %d said", s, n, computed, got, most)
					}
				}
			}
		}
	}
}

// A budget is spent, and leaves nobody without locals who has blocks.
func TestLayout(t *testing.T) {
	gemma := func(window int) *sizedModel {
		return &sizedModel{window: window, global: 3 * 2 * 256 * 4, local: 15 * 2 * 256 * 4}
	}
	for _, m := range []*sizedModel{gemma(512), gemma(1), gemma(4096), {global: 46080}, {window: 32, global: 512, local: 1024}, {window: 512, local: 1024}} {
		for _, size := range []int{1, 16, 32, 256} {
			for _, bytes := range []int64{int64(m.global+m.local) * int64(size), 20 << 20, 256 << 20, 100 << 30} {
				l, err := newLayout(m, bytes, size, 256)
				if err != nil {
					if bytes >= int64(m.global+m.local)*int64(size) {
						t.Errorf("%+v, blocks of %d in %d bytes: %v", m, size, bytes, err)
					}
					continue
				}
				block := int64(size) * int64(max(m.global, m.local))
				spent := int64(size) * (int64(l.blocks)*int64(m.global) + int64(l.locals)*int64(m.local))
				if spent > bytes || bytes-spent > 2*block && l.blocks < 1<<31/size-1 {
					t.Errorf("%+v: %d bytes of %d are spent: %+v", m, spent, bytes, l)
				}
				if one := l.span() + max(l.span(), l.step(256)); m.window > 0 && l.locals < min(one, l.blocks) || l.locals > l.blocks {
					t.Errorf("%+v: %d locals for %d blocks, one request needs %d", m, l.locals, l.blocks, one)
				}
			}
		}
	}
}

// TestWindowBytes: what 4096 tokens of Gemma 3 270M take, in float32.
func TestWindowBytes(t *testing.T) {
	s := shape{blockTokens: 32, window: 512, tokenBytes: 3 * 2 * 256 * 4, localBytes: 15 * 2 * 256 * 4}
	all, kept := s.bytes(4096, 0), s.bytes(4096, s.low(4096))
	if all != 4096*9216*4 || kept != 4096*1536*4+512*7680*4 {
		t.Errorf("%d and %d bytes", all, kept)
	}
	t.Logf("%.1f MiB instead of %.1f: %.2f times less", float64(kept)/(1<<20), float64(all)/(1<<20), float64(all)/float64(kept))
}

type sizedModel struct {
	Model
	window, global, local int
}

func (m *sizedModel) Window() int                 { return m.window }
func (m *sizedModel) KVBytesPerToken() (int, int) { return m.global, m.local }
