package kv

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzIndex fills and empties an index by a byte string and compares its answers with a search of
// everything in it, once with the real hash and once with one that has two values.
func FuzzIndex(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		script := make([]byte, 300)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		x, bad := newIndex(32, 2), newIndex(32, 2)
		bad.sum = func(_ uint64, tokens []int32) uint64 { return uint64(tokens[0] & 1) }
		compareIndex(t, script, &x)
		compareIndex(t, script, &bad)
	})
}

func compareIndex(t *testing.T, script []byte, x *index) {
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
		return None
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
			// Only a leaf may go: a sequence that has a block has the block's parents.
			leaf := !slices.ContainsFunc(dumb, func(e entry) bool {
				n := len(parent.chain)
				return len(e.chain) > n && slices.Equal(e.chain[:n], parent.chain)
			})
			if leaf {
				x.remove(parent.block)
				gone := func(e entry) bool { return e.block == parent.block }
				dumb = slices.DeleteFunc(dumb, gone)
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
		if want == None && len(free) > 0 {
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
		if n := len(walked); 2*n+2 <= len(chain) && find(chain[:2*n+2]) != None {
			t.Fatalf("walk of %v ended after %d blocks", chain, n)
		}
	}
}
