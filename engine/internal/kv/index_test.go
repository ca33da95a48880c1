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
		root  int
		chain []int32 // all tokens from the start
	}
	// Two of the roots begin alike, so that the hash does not tell them apart.
	roots := []Root{{}, {8: 1}, NewRoot("a")}
	var dumb []entry
	find := func(root int, chain []int32) int32 {
		for _, e := range dumb {
			if e.root == root && slices.Equal(e.chain, chain) {
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
		parent.block, parent.root = noParent, int(a/4)%len(roots)
		if n := len(dumb); n > 0 && a%4 > 0 {
			parent = dumb[int(a)%n]
		}
		if verb%4 == 0 && parent.block != noParent {
			// Only a leaf may go: a sequence that has a block has the block's parents.
			leaf := !slices.ContainsFunc(dumb, func(e entry) bool {
				n := len(parent.chain)
				return e.root == parent.root && len(e.chain) > n && slices.Equal(e.chain[:n], parent.chain)
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
		want := find(parent.root, chain)
		if got := x.find(&roots[parent.root], parent.block, tokens); got != want {
			t.Fatalf("find of %v after %v: block %d, want %d", tokens, parent.chain, got, want)
		}
		if want == None && len(free) > 0 {
			x.insert(free[0], &roots[parent.root], parent.block, tokens)
			dumb = append(dumb, entry{free[0], parent.root, chain})
			free = free[1:]
		}
		walked := x.walk(&roots[parent.root], append(slices.Clone(chain), 0), nil)
		for i, got := range walked {
			if want := find(parent.root, chain[:2*i+2]); got != want {
				t.Fatalf("walk of %v: block %d at %d, want %d", chain, got, i, want)
			}
		}
		if n := len(walked); 2*n+2 <= len(chain) && find(parent.root, chain[:2*n+2]) != None {
			t.Fatalf("walk of %v ended after %d blocks", chain, n)
		}
	}
}
