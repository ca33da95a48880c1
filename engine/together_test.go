package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"loadstone/engine/internal/kv"
)

// What the prompts of requests that come together begin with in common is computed once, whatever
// the size of the steps and whichever of the requests is in them; and what two principals, or two
// salts, have in common is computed for each. One of them goes on from its agent's memory, which
// ends inside of a block. Every step that may have prompt tokens has some, though requests are
// cancelled for which others wait.
func TestTogether(t *testing.T) {
	for seed := range uint64(100) {
		computed, least, err := together(seed, false)
		if err == nil && computed > least {
			err = fmt.Errorf("%d tokens were computed, %d had to be", computed, least)
		}
		if err == nil {
			_, _, err = together(seed, true)
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// together has requests come that begin alike, of which some are cancelled where cancels is true.
// It counts the tokens of their prompts that are computed, and those that have to be if none is
// cancelled.
func together(seed uint64, cancels bool) (computed, least int, err error) {
	r := rand.New(rand.NewPCG(seed, 7))
	const size = 4
	shape := kv.Shape{BlockTokens: size, Window: r.IntN(2) * 6}
	s := newSched(kv.Layout{Shape: shape, Blocks: 500, WindowSlots: 500},
		2+r.IntN(12), []int{1, 3, 7, 16, 64, 1000}[r.IntN(6)])
	running := map[uint64]bool{}
	ended := func(events []event) {
		for _, ev := range events {
			if ev.finish != "" {
				delete(running, ev.seq.id)
			}
		}
	}
	once := map[string]bool{} // what is found of prompts, block by block, with its root
	add := func(q *sequence) {
		at := 0
		for ; at+size < q.prompt; at += size {
			if key := fmt.Sprint(q.who.Root, q.tokens[:at+size]); !once[key] {
				once[key] = true
				least += size
			}
		}
		least += q.prompt - at
		s.Add(q)
		running[q.id] = true
	}
	before := beginningAlike(r, 0)
	before.id, before.prompt, before.max, before.tokens = 1000, 30, 1, before.tokens[:30]
	add(before)
	all := r.Perm(2 + r.IntN(16))
	for step := 0; len(all) > 0 || len(running) > 0; step++ {
		for n := r.IntN(4) * r.IntN(8); len(all) > 0 && !running[before.id] && n > 0; n-- {
			add(beginningAlike(r, all[0]))
			all = all[1:]
		}
		if id := uint64(r.IntN(18)); cancels && running[id] {
			ev, _ := s.Cancel(id)
			ended([]event{ev})
		}
		allowed := r.IntN(s.stepTokens + 1)
		waiting := s.demand().prefilling > 0
		b := s.Plan(allowed, s.maxBatch, drafting{})
		s.check()
		if b == nil {
			continue
		}
		if waiting && allowed > 0 && b.prompts == 0 {
			return 0, 0, fmt.Errorf("step %d has no prompt tokens", step)
		}
		computed += b.prompts
		next := make([]int32, len(b.rows))
		for i := range next {
			next[i] = int32(90000 + 100*step + i)
		}
		ended(s.Commit(next))
		s.check()
	}
	return computed, least, nil
}

// beginningAlike makes a request of a principal, perhaps with a salt, that begins as others of its
// system prompt and of its group do.
func beginningAlike(r *rand.Rand, i int) *sequence {
	principal, salt := fmt.Sprint(i%2*r.IntN(2)), fmt.Sprint(i%3/2)
	var prompt []int32
	for _, part := range []struct{ from, n int }{
		{0, 50}, {1000 * (1 + i%4), 3 + i%4*11}, {10000 + 100*i, 1 + r.IntN(30)},
	} {
		for j := range part.n {
			prompt = append(prompt, int32(part.from+j))
		}
	}
	if len(prompt)%4 == 0 { // else another one may have the block in which its last token is
		prompt = append(prompt, 9)
	}
	return &sequence{id: uint64(i + 1), prompt: len(prompt), tokens: prompt, max: 1 + r.IntN(8),
		who: kv.Identity{Agent: kv.Agent{Principal: principal, Name: fmt.Sprint(i)}, Salt: salt,
			Root: kv.NewRoot(principal, salt)}}
}
