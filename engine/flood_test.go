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
	longest      time.Duration   // step
	// Tokens a second of alice's prompts and answers.
	prompts, answers float64
}

func (f *flood) p99() (first, whole time.Duration) {
	return quantile(f.first, 99), quantile(f.whole, 99)
}

// A shape says what alice's requests are like.
type shape struct {
	prompt, answer int // tokens
	spread         int // prompts have so many tokens less, or more
	ones           int // one of so many requests has an answer of one token instead; 0: none
}

var (
	alwaysPrompt = shape{prompt: 700, spread: 100, answer: 1}
	mixed        = shape{prompt: 700, spread: 100, answer: 60, ones: 3}
	mostlyStream = shape{prompt: 20, answer: 300}
)

// besideFlood has bob ask, one request after another, while alice keeps so many requests in flight.
// bob rests between his requests, or sends the next one at once.
func besideFlood(t *testing.T, m pacedFake, alices int, of shape, rests bool) (f flood) {
	m.fakeModel, m.longest = newFake(), &f.longest
	e := start(t, Config{Model: m, KVBytes: 1 << 19, MaxBatch: 16, MaxQueue: 200})
	if err := e.SetShares(map[string]Share{"alice": {}, "bob": {}}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range alices {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				answer := of.answer
				if of.ones > 0 && (i+n)%of.ones == 0 {
					answer = 1
				}
				length := of.prompt - of.spread + (31*n+17*i)%(2*of.spread+1)
				s, err := e.Submit(ctx, Request{Principal: "alice", Agent: fmt.Sprint(i),
					MaxTokens: answer, Prompt: count(1000*(i+1)+n*31, length)})
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				drainTokens(s)
			}
		})
	}
	time.Sleep(20 * time.Second) // until the pace knows what steps cost
	before, began := e.Stats(), time.Now()
	const requests = 120
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
		if rests {
			time.Sleep(time.Duration(n%7) * 30 * time.Millisecond)
		}
	}
	now, took := e.Stats(), time.Since(began)
	f.prompts = float64(now.PromptTokens-before.PromptTokens-90*requests) / took.Seconds()
	f.answers = float64(now.OutputTokens-before.OutputTokens-24*requests) / took.Seconds()
	stop()
	all.Wait()
	return f
}

// TestFlood: one principal that floods does not lengthen another's p99 by more than what one more
// running request costs, one that always has a prompt to compute, but for the step in flight: a
// request waits for the end of a step that began when the flood was alone, which may have all of
// StepTokens deep in long prompts. A 99th percentile of 120 requests is one of the two slowest, and
// which those are depends on the order of goroutines that wake at one moment, by up to an eighth.
func TestFlood(t *testing.T) {
	for i, m := range machines[:4] {
		for name, of := range map[string]shape{
			"prompts": alwaysPrompt, "mixed": mixed, "streams": mostlyStream,
		} {
			for _, rests := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d/%s/rests=%v", i, name, rests), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testFlood(t, m, of, rests) })
				})
			}
		}
	}
}

func testFlood(t *testing.T, m pacedFake, of shape, rests bool) {
	alone := besideFlood(t, m, 0, of, rests)
	one := besideFlood(t, m, 1, alwaysPrompt, rests)
	flooded := besideFlood(t, m, 96, of, rests)
	a1, a2 := alone.p99()
	o1, o2 := one.p99()
	f1, f2 := flooded.p99()
	t.Logf("p99 of the first token and the last: alone %v and %v, beside one request %v and %v, "+
		"beside a flood %v and %v; the longest steps %v and %v; the flood has %.0f prompt "+
		"and %.0f answer tokens/s", a1, a2, o1, o2, f1, f2, one.longest, flooded.longest,
		flooded.prompts, flooded.answers)
	inFlight := max(flooded.longest-one.longest, 0)
	if f1 > o1*9/8+inFlight {
		t.Errorf("the first token: %v beside a flood, %v beside one more request", f1, o1)
	}
	if f2 > o2*9/8+inFlight {
		t.Errorf("the last token: %v beside a flood, %v beside one more request", f2, o2)
	}
}
