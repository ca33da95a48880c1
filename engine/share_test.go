package engine

import (
	"errors"
	"fmt"
	"testing"
)

// A share bounds window slots as it bounds blocks: a principal with many short conversations, which
// take as many slots as blocks, leaves the slots of a smaller one's memory alone.
func TestShareBoundsWindowSlots(t *testing.T) {
	m := newFake()
	m.window = 32
	e := start(t, Config{Model: m, KVBytes: 1 << 11, BlockTokens: 4, StepTokens: 32})
	const share = 1 << 9 // a quarter
	err := e.SetShares(map[string]Share{"alice": {PoolBytes: share}, "bob": {PoolBytes: share},
		"cho": {PoolBytes: share / 2}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(principal, agent string, seed, n int) (cached int) {
		s, err := e.Submit(t.Context(), Request{Principal: principal, Agent: agent,
			Prompt: count(seed, n), MaxTokens: 4})
		if err != nil {
			t.Fatalf("%s is refused: %v", principal, err)
		}
		for tok := range s.Tokens() {
			if tok.Start != nil {
				cached = tok.Start.CachedTokens
			}
		}
		return cached
	}
	ask("bob", "one", 7, 40)
	for i := range 40 {
		ask("alice", fmt.Sprint(i), 100*i, 40)
		usage, err := e.Usage()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range usage {
			if u.PoolBytes > share {
				t.Fatalf("after %d conversations a principal has %d bytes of %d", i+1, u.PoolBytes, share)
			}
		}
	}
	slots := e.layout.WindowSlots
	if held := e.sched.store.Stats().Slots; held.Cached > slots/2 || held.Cached < slots/8 {
		t.Errorf("%d of %d window slots hold memories of two principals with a quarter each",
			held.Cached, slots)
	}
	if n := ask("bob", "one", 7, 44); n < 40 {
		t.Errorf("bob finds %d of 40 tokens", n)
	}
	_, err = e.Submit(t.Context(), Request{Principal: "cho", Prompt: count(1, 80), MaxTokens: 1})
	refusal, ok := errors.AsType[*ShareError](err)
	if limit := e.partOfPool(share / 2); !ok || refusal.What != "window slots" ||
		refusal.Limit != limit.Slots || limit.Blocks < 20 {
		t.Errorf("20 blocks, with room for %v: %v", limit, err)
	}
}
