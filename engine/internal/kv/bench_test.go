package kv

import (
	"fmt"
	"testing"
)

func BenchmarkPoolAllocFree(b *testing.B) {
	p := newPool(1 << 16)
	b.ReportAllocs()
	for b.Loop() {
		p.promise(1)
		p.unpin(p.alloc())
	}
}

// BenchmarkPrefixWalk looks a prompt up that is in the cache to its end. ns/op is one prompt.
func BenchmarkPrefixWalk(b *testing.B) {
	for _, n := range []int{1024, 4096} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			x := newIndex(n/32, 32)
			tokens := make([]int32, n)
			for i := range tokens {
				tokens[i] = int32(i * 7919)
			}
			parent := noParent
			for i := range int32(n / 32) {
				x.insert(i, new(Root), parent, tokens[i*32:(i+1)*32])
				parent = i
			}
			var found []int32
			b.ReportAllocs()
			for b.Loop() {
				found = x.walk(new(Root), tokens, found[:0])
			}
			if len(found) != n/32 {
				b.Fatal(len(found))
			}
		})
	}
}
