package kv

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A dumbSlots is slots again without counts: it lists each use of a slot, and the unused slots.
type dumbSlots struct {
	of       map[int32]int // by block
	uses     [][]bool      // by slot, for each use whether it is a pin, and not borrowed
	holds    []int
	unused   []int // the next to be taken first
	promised int
}

func (d *dumbSlots) idle(x int) bool { return len(d.uses[x]) == 0 && d.holds[x] == 0 }

func (d *dumbSlots) charged() (n int) {
	for _, uses := range d.uses {
		for _, pin := range uses {
			if !pin {
				n++
			}
		}
		if slices.Contains(uses, true) {
			n++
		}
	}
	return n
}

// purposes is what a dumb pool with these as blocks says, where each charge for a slot beyond the
// first counts as a promise.
func (d *dumbSlots) purposes() Purposes {
	p := dumbPool{promised: d.promised + d.charged()}
	for x, uses := range d.uses {
		p.pins = append(p.pins, make([]int, len(uses)))
		p.holds = append(p.holds, make([]int, d.holds[x]))
		p.promised -= min(1, len(uses))
	}
	return p.purposes()
}

// change applies f to the slot of block b, and puts it among the unused ones or takes it out.
func (d *dumbSlots) change(b int32, f func(x int)) {
	x := d.of[b]
	was := d.idle(x)
	if f(x); was && !d.idle(x) {
		d.unused = slices.DeleteFunc(d.unused, func(y int) bool { return y == x })
	} else if !was && d.idle(x) {
		d.unused = append(d.unused, x)
	}
}

func (d *dumbSlots) release(b int32, pin bool) {
	d.change(b, func(x int) {
		i := slices.Index(d.uses[x], pin)
		d.uses[x] = slices.Delete(d.uses[x], i, i+1)
	})
}

func (d *dumbSlots) acquire(b int32, pin bool) {
	d.change(b, func(x int) { d.uses[x] = append(d.uses[x], pin) })
}

// FuzzSlots does what a byte string says to slots and to the dumb ones, and compares them after
// each operation.
func FuzzSlots(f *testing.F) {
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
		shape := Shape{BlockTokens: 4, Window: 8}
		s := newSlots(Layout{Shape: shape, Blocks: blocks, WindowSlots: n})
		d := dumbSlots{of: map[int32]int{}, uses: make([][]bool, n), holds: make([]int, n),
			unused: []int{0, 1, 2, 3, 4}}
		for len(script) >= 3 {
			verb, b := script[0]%10, int32(script[1]%blocks)
			twin, pin := int32(script[2]%blocks), script[2] >= 128
			script = script[3:]
			x, has := d.of[b]
			room := n - d.charged() - d.promised
			switch verb {
			case 0, 1:
				if k := int(b) % 3; k <= room {
					s.charge(k)
					d.promised += k
				}
			case 2:
				if k := int(b) % 3; k <= d.promised {
					s.charge(-k)
					d.promised -= k
				}
			case 3, 4:
				if !has && d.promised > 0 && len(d.unused) > 0 {
					s.alloc(b, pin)
					x, d.promised = d.unused[0], d.promised-1
					for old, y := range d.of {
						if y == x {
							delete(d.of, old)
						}
					}
					d.of[b] = x
					d.acquire(b, pin)
				}
			case 5:
				cost := 1
				if has && pin && slices.Contains(d.uses[x], true) {
					cost = 0
				}
				if has && cost <= room {
					if got := s.cost(b, pin); got != cost {
						t.Fatalf("block %d costs %d, want %d", b, got, cost)
					}
					s.acquire(b, pin)
					d.acquire(b, pin)
				}
			case 6:
				if has && slices.Contains(d.uses[x], pin) {
					s.release(b, pin)
					d.release(b, pin)
				}
			case 7:
				if has && pin {
					s.hold(b)
					d.change(b, func(x int) { d.holds[x]++ })
				} else if has && d.holds[x] > 0 {
					s.unhold(b)
					d.change(b, func(x int) { d.holds[x]-- })
				}
			case 8:
				if has && d.idle(x) {
					s.drop(b)
					delete(d.of, b)
					d.unused = slices.DeleteFunc(d.unused, func(y int) bool { return y == x })
					d.unused = slices.Insert(d.unused, 0, x)
				}
			case 9:
				if !has || b == twin || d.holds[x] > 0 || len(d.uses[x]) != 1 ||
					d.uses[x][0] != pin {
					break
				}
				s.move(b, twin, pin)
				if _, ok := d.of[twin]; ok {
					d.release(b, pin)
					d.acquire(twin, pin)
				} else {
					delete(d.of, b)
					d.of[twin] = x
				}
			}
			want := make([]slot, n)
			for x := range want {
				want[x].holds = int32(d.holds[x])
				for _, pin := range d.uses[x] {
					if pin {
						want[x].pins++
					} else {
						want[x].borrows++
					}
				}
			}
			s.check(want, d.promised)
			for b := range int32(blocks) {
				if x, ok := d.of[b]; ok != (s.of[b] != None) || ok && int(s.of[b]) != x {
					t.Fatalf("after %d block %d has window slot %d, want %d, %t",
						verb, b, s.of[b], x, ok)
				}
			}
			if got, want := s.purposes(), d.purposes(); got != want {
				t.Fatalf("after %d of block %d slots are for %+v, want %+v", verb, b, got, want)
			}
			var listed []int
			for x := s.end().next; int(x) != n; x = s.all[x].next {
				listed = append(listed, int(x))
			}
			if !slices.Equal(listed, d.unused) {
				t.Fatalf("after %d of block %d the unused ones are %v, want %v",
					verb, b, listed, d.unused)
			}
		}
	})
}
