package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A dumbPool is the pool again, as somebody would write it who has never heard of counting: lists of who has a block.
type dumbPool struct {
	pins, holds [][]int // by block, one entry for each
	promised    int
}

func (d *dumbPool) counts() (pinned, cached, free int) {
	for b := range d.pins {
		switch {
		case len(d.pins[b]) > 0:
			pinned++
		case len(d.holds[b]) > 0:
			cached++
		default:
			free++
		}
	}
	return
}

// purposes goes through all blocks, and then finds room for what is promised: first where it is free, then in memories.
func (d *dumbPool) purposes() (p Purposes) {
	for b := range d.pins {
		switch pins, holds := len(d.pins[b]), len(d.holds[b]); {
		case pins+holds == 0:
			p.Free++
		case pins > 1 || holds > 1:
			p.Shared++
		case pins == 1:
			p.Running++
		default:
			p.Cached++
		}
	}
	for range d.promised {
		p.Promised++
		for _, n := range []*int64{&p.Free, &p.Cached, &p.Shared} {
			if *n > 0 {
				*n--
				break
			}
		}
	}
	return p
}

// FuzzPool does what a byte string says to a pool and to the dumb one, and compares them after each operation.
func FuzzPool(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		const blocks = 7
		p := newPool(blocks)
		d := dumbPool{pins: make([][]int, blocks), holds: make([][]int, blocks)}
		peak := 0
		for len(script) >= 2 {
			verb, b := script[0]%7, int32(script[1]%blocks)
			script = script[2:]
			_, cached, free := d.counts()
			live := len(d.pins[b])+len(d.holds[b]) > 0
			room := free + cached - d.promised
			switch verb {
			case 0:
				if n := int(b) % 4; n <= room {
					p.reserve(n)
					d.promised += n
				}
			case 1:
				if n := int(b) % 4; n <= d.promised {
					p.unreserve(n)
					d.promised -= n
				}
			case 2:
				if d.promised > 0 && free > 0 {
					got := p.alloc()
					if len(d.pins[got])+len(d.holds[got]) > 0 {
						t.Fatalf("alloc gave block %d, which is in use", got)
					}
					d.pins[got] = append(d.pins[got], 1)
					d.promised--
				}
			case 3:
				if live && (len(d.pins[b]) > 0 || room > 0) {
					p.pin(b)
					d.pins[b] = append(d.pins[b], 1)
				}
			case 4:
				if len(d.pins[b]) > 0 {
					d.pins[b] = d.pins[b][1:]
					if freed := p.unpin(b); freed != (len(d.pins[b])+len(d.holds[b]) == 0) {
						t.Fatalf("unpin of block %d says freed %t", b, freed)
					}
				}
			case 5:
				if live {
					p.hold(b)
					d.holds[b] = append(d.holds[b], 1)
				}
			case 6:
				if len(d.holds[b]) > 0 {
					d.holds[b] = d.holds[b][1:]
					if freed := p.unhold(b); freed != (len(d.pins[b])+len(d.holds[b]) == 0) {
						t.Fatalf("unhold of block %d says freed %t", b, freed)
					}
				}
			}
			pinned, cached, free := d.counts()
			peak = max(peak, pinned+d.promised)
			used, idle, rest := p.split()
			if want := d.purposes(); p.purposes() != want {
				t.Fatalf("blocks are for %+v, want %+v", p.purposes(), want)
			}
			if used != pinned+d.promised || used+idle+rest != blocks || idle > cached || rest > free || p.peak != peak || p.available() != idle+rest {
				t.Fatalf("after %d on block %d: used %d cached %d free %d peak %d, counted pinned %d promised %d cached %d free %d peak %d",
					verb, b, used, idle, rest, p.peak, pinned, d.promised, cached, free, peak)
			}
			var pins, holds []int32
			for b := range blocks {
				pins, holds = append(pins, int32(len(d.pins[b]))), append(holds, int32(len(d.holds[b])))
			}
			p.check(pins, holds)
		}
	})
}

// What only a bug can do panics.
func TestPoolPanics(t *testing.T) {
	for name, bug := range map[string]func(p *pool, used int32){
		"double free":             func(p *pool, b int32) { p.unpin(b); p.unpin(b) },
		"unhold of nobody's":      func(p *pool, b int32) { p.unhold(b) },
		"pin of a free block":     func(p *pool, b int32) { p.unpin(b); p.pin(b) },
		"hold of a free block":    func(p *pool, b int32) { p.unpin(b); p.hold(b) },
		"alloc without a promise": func(p *pool, b int32) { p.alloc() },
		"promise of too much":     func(p *pool, b int32) { p.reserve(3) },
		"taking back too much":    func(p *pool, b int32) { p.reserve(1); p.unreserve(2) },
		"pin of what is promised": func(p *pool, b int32) { p.hold(b); p.unpin(b); p.reserve(3); p.pin(b) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(3)
			p.reserve(1)
			b := p.alloc()
			defer func() {
				if recover() == nil {
					t.Error("nothing happened")
				}
			}()
			bug(&p, b)
		})
	}
}

// FuzzPrefix fills and empties an index by a byte string and compares what it finds with a search of all that is in it,
// once with the real hash and once with one that has two values.
func FuzzPrefix(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		script := make([]byte, 300)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		x, bad := newPrefix(32, 2), newPrefix(32, 2)
		bad.sum = func(_ uint64, tokens []int32) uint64 { return uint64(tokens[0] & 1) }
		comparePrefix(t, script, &x)
		comparePrefix(t, script, &bad)
	})
}

func comparePrefix(t *testing.T, script []byte, x *prefix) {
	type entry struct {
		block int32
		chain []int32 // all tokens from the start
	}
	var dumb []entry
	find := func(chain []int32) int32 {
		for _, e := range dumb {
			if slices.Equal(e.chain, chain) {
				return e.block
			}
		}
		return none
	}
	var free []int32
	for b := range int32(32) {
		free = append(free, b)
	}
	for len(script) >= 3 {
		verb, a, b := script[0], script[1], script[2]
		script = script[3:]
		var parent entry
		parent.block = root
		if n := len(dumb); n > 0 && a%4 > 0 {
			parent = dumb[int(a)%n]
		}
		if verb%4 == 0 && parent.block != root {
			// Only a leaf may go: who has a block has its parents.
			leaf := !slices.ContainsFunc(dumb, func(e entry) bool {
				return len(e.chain) > len(parent.chain) && slices.Equal(e.chain[:len(parent.chain)], parent.chain)
			})
			if leaf {
				x.remove(parent.block)
				dumb = slices.DeleteFunc(dumb, func(e entry) bool { return e.block == parent.block })
				free = append(free, parent.block)
			}
			continue
		}
		tokens := []int32{int32(b % 3), int32(b / 3 % 3)}
		chain := slices.Concat(parent.chain, tokens)
		want := find(chain)
		if got := x.find(parent.block, tokens); got != want {
			t.Fatalf("find of %v after %v: block %d, want %d", tokens, parent.chain, got, want)
		}
		if want == none && len(free) > 0 {
			x.insert(free[0], parent.block, tokens)
			dumb = append(dumb, entry{free[0], chain})
			free = free[1:]
		}
		walked := x.walk(append(slices.Clone(chain), 0), nil)
		for i, got := range walked {
			if want := find(chain[:2*i+2]); got != want {
				t.Fatalf("walk of %v: block %d at %d, want %d", chain, got, i, want)
			}
		}
		if n := len(walked); 2*n+2 <= len(chain) && find(chain[:2*n+2]) != none {
			t.Fatalf("walk of %v ended after %d blocks", chain, n)
		}
	}
}
