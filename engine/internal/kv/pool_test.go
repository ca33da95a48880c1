package kv

import (
	"math/rand/v2"
	"testing"
)

// A dumbPool is the pool again without counts: it lists the pins and the holds of each block.
type dumbPool struct {
	pins, holds [][]int // by block, one entry for each pin or hold
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

// purposes goes through all blocks, and then finds room for the promised ones: first in free
// blocks, then in those of chains.
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

// FuzzPool does what a byte string says to a pool and to the dumb one, and compares them after
// each operation.
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
					p.promise(n)
					d.promised += n
				}
			case 1:
				if n := int(b) % 4; n <= d.promised {
					p.revoke(n)
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
			c := p.counts()
			if want := d.purposes(); p.purposes() != want {
				t.Fatalf("blocks are for %+v, want %+v", p.purposes(), want)
			}
			right := c.Used == pinned+d.promised && c.Used+c.Cached+c.Free == blocks
			if !right || c.Cached > cached || c.Free > free || c.Peak != peak ||
				p.available() != c.Cached+c.Free {
				t.Fatalf("after %d on block %d: %+v, counted pinned %d promised %d cached %d "+
					"free %d peak %d", verb, b, c, pinned, d.promised, cached, free, peak)
			}
			var pins, holds []int32
			for b := range blocks {
				pins = append(pins, int32(len(d.pins[b])))
				holds = append(holds, int32(len(d.holds[b])))
			}
			p.check(pins, holds)
		}
	})
}

// Calls that only a bug can make panic.
func TestPoolPanics(t *testing.T) {
	for name, bug := range map[string]func(p *pool, used int32){
		"double free":             func(p *pool, b int32) { p.unpin(b); p.unpin(b) },
		"unhold without a hold":   func(p *pool, b int32) { p.unhold(b) },
		"pin of a free block":     func(p *pool, b int32) { p.unpin(b); p.pin(b) },
		"hold of a free block":    func(p *pool, b int32) { p.unpin(b); p.hold(b) },
		"alloc without a promise": func(p *pool, b int32) { p.alloc() },
		"promise of too much":     func(p *pool, b int32) { p.promise(3) },
		"revoking too much":       func(p *pool, b int32) { p.promise(1); p.revoke(2) },
		"pin of a promised block": func(p *pool, b int32) {
			p.hold(b)
			p.unpin(b)
			p.promise(3)
			p.pin(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(3)
			p.promise(1)
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
