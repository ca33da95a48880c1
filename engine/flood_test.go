package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A flood holds what one principal, bob, gets while another, alice, sends requests.
type flood struct {
	first, whole []time.Duration // of bob's requests: to the first token, and to the last
	tokens       uint64          // that all got
	took         time.Duration
}

func (f *flood) p99() (first, whole time.Duration) {
	return quantile(f.first, 99), quantile(f.whole, 99)
}

// besideFlood has bob ask, one request after another, while alice keeps so many requests in flight,
// prompts of 700 tokens with answers of 60 if they are mixed, else of one.
func besideFlood(t *testing.T, m pacedFake, requests, alices int, mixed bool) (f flood) {
	m.fakeModel = newFake()
	e := start(t, Config{Model: m, KVBytes: 1 << 19, MaxBatch: 16, MaxQueue: 200})
	if err := e.SetShares(map[string]Share{"alice": {}, "bob": {}}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range alices {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				answer := 1
				if mixed && (i+n)%3 > 0 {
					answer = 60
				}
				s, err := e.Submit(ctx, Request{Principal: "alice", Agent: fmt.Sprint(i), MaxTokens: answer,
					Prompt: count(1000*(i+1)+n*31, 700)})
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				drainTokens(s)
			}
		})
	}
	time.Sleep(20 * time.Second) // until the pace knows what steps cost
	began := time.Now()
	for n := range requests {
		sent := time.Now()
		s, err := e.Submit(t.Context(), Request{Principal: "bob", MaxTokens: 24, Prompt: count(n*17, 90)})
		if err != nil {
			t.Fatalf("bob is refused: %v", err)
		}
		for tok := range s.Tokens() {
			if tok.Start != nil {
				f.first = append(f.first, time.Since(sent))
			}
		}
		f.whole = append(f.whole, time.Since(sent))
		time.Sleep(time.Duration(n%7) * 30 * time.Millisecond)
	}
	f.took = time.Since(began)
	f.tokens = e.Stats().OutputTokens
	stop()
	all.Wait()
	return f
}

// TestFlood: one principal that floods does not lengthen another's p99 by more than what one more
// running request costs: one that always has a prompt to compute.
func TestFlood(t *testing.T) {
	for i, m := range machines[:4] {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const requests = 120
				alone := besideFlood(t, m, requests, 0, false)
				one := besideFlood(t, m, requests, 1, false)
				flooded := besideFlood(t, m, requests, 96, true)
				a1, a2 := alone.p99()
				o1, o2 := one.p99()
				f1, f2 := flooded.p99()
				t.Logf("p99 of the first token and the last: alone %v and %v, beside one request %v and %v, "+
					"beside a flood %v and %v", a1, a2, o1, o2, f1, f2)
				if f1 > o1*11/10 {
					t.Errorf("the first token: %v beside a flood, %v beside one more request", f1, o1)
				}
				if f2 > o2*11/10 {
					t.Errorf("the last token: %v beside a flood, %v beside one more request", f2, o2)
				}
			})
		})
	}
}
