package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/sample"
)

// slowFake returns a fake whose steps take a second each, in the time of a synctest bubble.
func slowFake() *fakeModel {
	m := newFake()
	m.before = func(int) error { time.Sleep(time.Second); return nil }
	return m
}

func start(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func submit(t *testing.T, e *Engine, ctx context.Context, agent string, prompt []int32,
	maxTokens int) *Stream {
	t.Helper()
	s, err := e.Submit(ctx, Request{Agent: agent, Prompt: prompt, MaxTokens: maxTokens})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drainTokens reads a stream to its end.
func drainTokens(s *Stream) (ids []int32) {
	for tok := range s.Tokens() {
		ids = append(ids, tok.ID)
	}
	return ids
}

// count returns n tokens from a first one up, within the vocabulary.
func count(from, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((from + i) % fakeVocab)
	}
	return ids
}

// atRest fails unless nothing runs, waits or is promised.
func atRest(t *testing.T, e *Engine) {
	t.Helper()
	st, l := e.Stats(), &e.layout
	all := int64(l.BlockTokens) * (int64(l.Blocks)*int64(l.GlobalBytes) +
		int64(l.WindowSlots)*int64(l.SlidingBytes))
	if st.Bytes.Sum() != all || all > e.cfg.KVBytes {
		t.Errorf("of %d bytes %d are made into a pool that is for %+v",
			e.cfg.KVBytes, all, st.Bytes)
	}
	if st.Used != 0 || st.WindowSlotsUsed != 0 || st.Running != 0 || st.Queued != 0 ||
		st.Cached+st.Free != st.Blocks {
		t.Errorf("engine is not at rest: %+v", st)
	}
}

func TestTimesAndMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4, StepTokens: 8,
			MaxBatch: 1})
		prompt := count(1, 20) // three chunks
		s := submit(t, e, t.Context(), "a", prompt, 4)
		second := submit(t, e, t.Context(), "b", count(9, 3), 1)

		first := <-s.Tokens()
		if first.Queue != 0 || first.Prefill != 3*time.Second {
			t.Errorf("first token after queue %v and prefill %v, want 0 and 3s",
				first.Queue, first.Prefill)
		}
		answer := append([]int32{first.ID}, drainTokens(s)...)
		if want := greedy(prompt, 4); !slices.Equal(answer, want) {
			t.Errorf("answer %v, want %v", answer, want)
		}
		want := Result{Start: Start{Miss: "new_agent", Tier: "cold", Prefill: 3 * time.Second},
			Finish: FinishLength, PromptTokens: 20, OutputTokens: 4, Decode: 3 * time.Second}
		if r := s.Result(); r != want {
			t.Errorf("result %+v, want %+v", r, want)
		}
		if first := <-second.Tokens(); first.Queue != 6*time.Second ||
			first.Prefill != time.Second {
			t.Errorf("the request that waited: first token after queue %v and prefill %v, "+
				"want 6s and 1s", first.Queue, first.Prefill)
		}
		drainTokens(second)
		want = Result{Start: Start{Miss: "new_agent", Tier: "cold", Queue: 6 * time.Second,
			Prefill: time.Second}, Finish: FinishLength, PromptTokens: 3, OutputTokens: 1}
		if r := second.Result(); r != want {
			t.Errorf("result of the request that waited %+v, want %+v", r, want)
		}

		// The next turn: prompt and answer but its last token are in the cache.
		next := slices.Concat(prompt, answer, count(30, 5))
		s = submit(t, e, t.Context(), "a", next, 1)
		drainTokens(s)
		if r := s.Result(); r.CachedTokens != 23 || r.Miss != "" {
			t.Errorf("second turn: %d tokens cached, miss %q; want 23 and none",
				r.CachedTokens, r.Miss)
		}
		next[21]++
		s = submit(t, e, t.Context(), "a", next, 1)
		drainTokens(s)
		if r := s.Result(); r.CachedTokens != 21 || r.Miss != "diverged_at=21" {
			t.Errorf("changed turn: %d tokens cached, miss %q; want 21 and diverged_at=21",
				r.CachedTokens, r.Miss)
		}
		atRest(t, e)
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := slowFake()
		m.context = 100
		e := start(t, Config{Model: m, KVBytes: 80, BlockTokens: 4, MaxBatch: 2, MaxQueue: 2})
		submit := func(n, maxTokens int) error {
			_, err := e.Submit(t.Context(), Request{Prompt: count(1, n), MaxTokens: maxTokens})
			return err
		}
		if err, ok := errors.AsType[*ContextError](submit(90, 11)); !ok ||
			*err != (ContextError{90, 11, 100}) {
			t.Errorf("too long: %v", err)
		}
		if err, ok := errors.AsType[*PoolError](submit(70, 12)); !ok ||
			*err != (PoolError{Need: 21, Free: 20, Total: 20}) {
			t.Errorf("too large: %v", err)
		}
		for _, r := range []Request{
			{MaxTokens: 1},
			{Prompt: []int32{1}},
			{Prompt: []int32{1, -1}, MaxTokens: 1},
			{Prompt: []int32{fakeVocab}, MaxTokens: 1},
			{Prompt: []int32{1}, MaxTokens: 1, Sampling: Sampling{Temperature: -1}},
			{Prompt: []int32{1}, MaxTokens: 1, Sampling: Sampling{TopP: 1.5}},
			{Prompt: []int32{1}, MaxTokens: 1, Sampling: Sampling{TopK: -1}},
		} {
			if _, err := e.Submit(t.Context(), r); err == nil {
				t.Errorf("accepted %+v", r)
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, refused := e.Submit(gone, Request{Prompt: []int32{1}, MaxTokens: 1})
		if !errors.Is(refused, context.Canceled) {
			t.Errorf("done context: %v", refused)
		}

		// Two run, two wait, the fifth is one too many.
		for i := range 4 {
			if err := submit(3, 5); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			if i < 2 {
				time.Sleep(1100 * time.Millisecond) // a step, so that it leaves the queue
			}
		}
		if err, ok := errors.AsType[*QueueError](submit(3, 2)); !ok || err.Queued != 2 ||
			err.Limit != 2 || err.RetryAfter < time.Second {
			t.Errorf("full queue: %v", err)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		atRest(t, e)

		// Of twenty blocks 18 are promised: one more may come, and waits for its place. 19 are
		// too many.
		if err := submit(60, 13); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := submit(1, 3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		err, ok := errors.AsType[*PoolError](submit(2, 1))
		if !ok || err.Need != 1 || err.Free != 1 || err.Total != 20 ||
			err.RetryAfter < time.Second || err.RetryAfter > time.Minute {
			t.Errorf("full pool: %v", err)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if err := submit(1, 1); err != nil {
			t.Errorf("after the pool came back: %v", err)
		}
		st := e.Stats()
		if st.RejectedContext != 1 || st.RejectedPool != 2 || st.RejectedQueue != 1 {
			t.Errorf("refusals were counted as %+v", st)
		}
	})
}

// TestSlidingRefusals: where conversations are not much longer than a window, window slots run
// out first. Then the pool is full as well.
func TestSlidingRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := slowFake()
		m.window = 8
		e := start(t, Config{Model: m, KVBytes: 160, BlockTokens: 4, StepTokens: 4})
		if st := e.Stats(); st.Blocks != 27 || st.WindowSlots != 13 {
			t.Fatalf("%d blocks and %d window slots", st.Blocks, st.WindowSlots)
		}
		for i := range 3 { // each of 7 blocks, and 4 window slots while its prompt is computed
			submit(t, e, t.Context(), fmt.Sprint(i), count(1+i, 16), 13)
		}
		time.Sleep(1100 * time.Millisecond)
		st := e.Stats()
		if st.Running != 3 || st.Used != 21 || st.WindowSlotsUsed != 12 ||
			st.Utilization() != 12./13 {
			t.Errorf("%d run with %d blocks and %d window slots, utilization %g",
				st.Running, st.Used, st.WindowSlotsUsed, st.Utilization())
		}
		if b := st.Bytes; b.Sum() != 160 || b.Running+b.Promised != 4*(21+12) || b.Running == 0 ||
			b.Promised == 0 {
			t.Errorf("the pool is for %+v", b)
		}
		_, err := e.Submit(t.Context(), Request{Prompt: count(4, 16), MaxTokens: 13})
		full, ok := errors.AsType[*PoolError](err)
		if !ok || full.Need != 4 || full.Free != 1 || full.Total != 13 || !full.Sliding ||
			full.RetryAfter < time.Second {
			t.Fatalf("no window slots are left: %v", err)
		}
		want := fmt.Sprintf("pool exhausted: need 4 window slots, 1 of 13 free; retry in %v",
			full.RetryAfter.Round(time.Second))
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		atRest(t, e)
		if st := e.Stats(); st.Bytes.Running+st.Bytes.Promised != 0 || st.Bytes.Cached == 0 ||
			st.PeakUtilization() != 12./13 {
			t.Errorf("at rest the pool is for %+v, peak utilization %g",
				st.Bytes, st.PeakUtilization())
		}
		var steps uint64
		for _, n := range st.Utilizations {
			steps += n
		}
		const above90 = 18 // up to 19/20
		if peak := 12. / 13 * UtilizationBuckets; steps != st.Steps || int(peak) != above90 ||
			st.Utilizations[above90] == 0 || st.Utilizations[above90+1] > 0 {
			t.Errorf("%d steps by utilization %v", st.Steps, st.Utilizations)
		}
		drainTokens(submit(t, e, t.Context(), "", count(4, 16), 13))
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4, StepTokens: 4,
			MaxBatch: 1})
		why := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		running := submit(t, e, ctx, "a", count(1, 6), 20)
		queued := submit(t, e, ctx, "b", count(1, 6), 20)
		prefilling := submit(t, e, ctx, "c", count(1, 30), 2)

		time.Sleep(4500 * time.Millisecond) // two chunks, two more tokens, in the middle of a step
		cancel(why)
		<-queued.Tokens()
		if got := drainTokens(running); len(got) != 4 ||
			!slices.Equal(got, greedy(count(1, 6), 4)) {
			t.Errorf("cancelled in its fifth step: answer %v", got)
		}
		for name, s := range map[string]*Stream{"running": running, "queued": queued,
			"prefilling": prefilling} {
			drainTokens(s)
			if r := s.Result(); r.Finish != FinishCancelled || r.Err != why {
				t.Errorf("%s: finished %q with %v", name, r.Finish, r.Err)
			}
		}
		synctest.Wait()
		atRest(t, e)
		if st := e.Stats(); st.Cancelled != 3 || st.Steps != 5 {
			t.Errorf("%d cancelled in %d steps, want 3 in 5", st.Cancelled, st.Steps)
		}
		// The tokens computed until then are the agent's memory: 6 of the prompt and 3 of the
		// answer's 4.
		next := slices.Concat(count(1, 6), greedy(count(1, 6), 4), count(1, 3))
		s := submit(t, e, t.Context(), "a", next, 1)
		drainTokens(s)
		if r := s.Result(); r.CachedTokens != 9 {
			t.Errorf("after a cancelled turn %d tokens were cached, want 9", r.CachedTokens)
		}
	})
}

// A countingContext counts its watchers.
type countingContext struct {
	context.Context
	// done is not the embedded context's, else package context would watch that one directly.
	done     chan struct{}
	watchers *atomic.Int64
}

func (c countingContext) Done() <-chan struct{} { return c.done }

func (c countingContext) AfterFunc(f func()) func() bool {
	c.watchers.Add(1)
	return func() bool { c.watchers.Add(-1); return true }
}

// A context that outlives its requests, as a server's may, does not collect them.
func TestContextIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var watchers atomic.Int64
		ctx := countingContext{t.Context(), make(chan struct{}), &watchers}
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4})
		s := submit(t, e, ctx, "a", count(1, 6), 2)
		synctest.Wait()
		if n := watchers.Load(); n != 1 {
			t.Errorf("%d watchers while the request runs, want 1", n)
		}
		drainTokens(s)
		if n := watchers.Load(); n != 0 {
			t.Errorf("%d watchers after it has ended, want none", n)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4, MaxBatch: 1})
		running := submit(t, e, t.Context(), "a", count(1, 6), 5)
		queued := submit(t, e, t.Context(), "b", count(1, 6), 5)
		began := time.Now()
		if err := e.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("drain took %v, want the 10s of two answers", took)
		}
		for _, s := range []*Stream{running, queued} {
			if got := drainTokens(s); len(got) != 5 || s.Result().Finish != FinishLength {
				t.Errorf("drained request got %d tokens, %+v", len(got), s.Result())
			}
		}
		_, err := e.Submit(t.Context(), Request{Prompt: []int32{1}, MaxTokens: 1})
		if err != ErrDraining {
			t.Errorf("submit after drain: %v", err)
		}
		if st := e.Stats(); !st.Draining || st.RejectedDraining != 1 {
			t.Errorf("stats after drain: %+v", st)
		}
	})
}

func TestDrainOutOfPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4, MaxBatch: 1})
		running := submit(t, e, t.Context(), "a", count(1, 6), 5)
		queued := submit(t, e, t.Context(), "b", count(1, 6), 5)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := e.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("drain took %v, want its patience and the rest of a step", took)
		}
		for s, n := range map[*Stream]int{running: 3, queued: 0} {
			if got := drainTokens(s); len(got) != n || s.Result().Finish != FinishCancelled ||
				s.Result().Err != ErrDraining {
				t.Errorf("cancelled request got %d tokens, want %d; %+v", len(got), n, s.Result())
			}
		}
		atRest(t, e)
	})
}

// A step that fails, in whichever way, costs the requests in it and no others.
func TestModelFails(t *testing.T) {
	broken := errors.New("device lost")
	for name, fail := range map[string]func() error{
		"error": func() error { return broken },
		"panic": func() error { panic(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newFake()
				m.before = func(step int) error {
					time.Sleep(time.Second)
					if step == 3 {
						return fail()
					}
					return nil
				}
				e := start(t, Config{Model: m, KVBytes: 64, BlockTokens: 4, MaxBatch: 1})
				s := submit(t, e, t.Context(), "a", count(1, 6), 5)
				other := submit(t, e, t.Context(), "b", count(2, 6), 5)
				if got := drainTokens(s); len(got) != 2 {
					t.Errorf("%d tokens before the third step failed, want 2", len(got))
				}
				if r := s.Result(); r.Finish != FinishError || r.Err == nil ||
					!strings.Contains(r.Err.Error(), broken.Error()) {
					t.Errorf("finished %q with %v", r.Finish, r.Err)
				}
				got, want := drainTokens(other), greedy(count(2, 6), 5)
				if !slices.Equal(got, want) {
					t.Errorf("the request after it got %v, want %v", got, want)
				}
				atRest(t, e)
				if st := e.Stats(); st.Failed != 1 || st.Finished != 1 {
					t.Errorf("%d failed and %d finished, want 1 and 1", st.Failed, st.Finished)
				}
			})
		})
	}
}

// nanFake's logits are not numbers for one sequence of a batch: the one that begins with token 7.
type nanFake struct{ *fakeModel }

func (m nanFake) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	err := m.fakeModel.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
	if err != nil {
		return err
	}
	for i, row := range rows {
		if tokens[row] == 7 {
			var zero float32
			for j := range m.vocab {
				logits[i*m.vocab+j] = zero / zero
			}
		}
	}
	for i, row := range picks {
		if tokens[row] == 7 {
			best[i] = noToken
		}
	}
	return nil
}

func TestNoFiniteLogits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: nanFake{slowFake()}, KVBytes: 64, BlockTokens: 4})
		bad := submit(t, e, t.Context(), "a", []int32{1, 2, 3, 4, 5, 6, 7}, 2)
		good := submit(t, e, t.Context(), "b", []int32{8}, 2)
		drainTokens(bad)
		if r := bad.Result(); r.Finish != FinishError || r.Err != sample.ErrNoToken {
			t.Errorf("finished %q with %v", r.Finish, r.Err)
		}
		if got, want := drainTokens(good), greedy([]int32{8}, 2); !slices.Equal(got, want) {
			t.Errorf("its neighbour got %v, want %v", got, want)
		}
		again := submit(t, e, t.Context(), "a", []int32{1, 2, 3, 4, 5, 6, 8}, 1)
		drainTokens(again)
		if r := again.Result(); r.CachedTokens != 0 {
			t.Errorf("%d tokens of damaged KV were remembered", r.CachedTokens)
		}
	})
}

func TestStop(t *testing.T) {
	e := start(t, Config{Model: newFake(), KVBytes: 256, BlockTokens: 4})
	prompt := count(1, 6)
	stop := greedy(prompt, 5)[4]
	want := foretell(Request{Prompt: prompt, MaxTokens: 9, Stop: []int32{stop}})
	s, err := e.Submit(t.Context(),
		Request{Agent: "a", Prompt: prompt, MaxTokens: 9, Stop: []int32{stop}})
	if err != nil {
		t.Fatal(err)
	}
	if got := drainTokens(s); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v", got, want)
	}
	if r := s.Result(); r.Finish != FinishStop || r.OutputTokens != len(want) {
		t.Errorf("result %+v", r)
	}
	// Every delivered token was computed when the stop came.
	s = submit(t, e, t.Context(), "a", slices.Concat(prompt, want, count(2, 3)), 1)
	drainTokens(s)
	if r := s.Result(); r.CachedTokens != len(prompt)+len(want) {
		t.Errorf("%d tokens cached, want all %d", r.CachedTokens, len(prompt)+len(want))
	}
}

// Many clients at once, of which some cancel, under the race detector and with the invariants
// checked after each step.
func TestConcurrentClients(t *testing.T) {
	e := start(t, Config{Model: newFake(), KVBytes: 4096, BlockTokens: 4, MaxBatch: 8,
		StepTokens: 32})
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			agent := string(rune('a' + c%12)) // some agents have two clients
			text := count(1, 20)              // the same for all
			for turn := range 10 {
				text = append(text, count(c*7+turn, 5)...)
				ctx, cancel := context.WithCancel(t.Context())
				s, err := e.Submit(ctx, Request{Agent: agent, Prompt: text, MaxTokens: 10})
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				want := greedy(text, 10)
				var got []int32
				for tok := range s.Tokens() {
					if got = append(got, tok.ID); len(got) == 5 && (c+turn)%4 == 0 {
						cancel()
					}
				}
				cancel()
				if r := s.Result(); len(got) > len(want) || !slices.Equal(got, want[:len(got)]) ||
					r.Finish == FinishLength && len(got) != 10 {
					t.Errorf("client %d turn %d: %v, want %v; %+v", c, turn, got, want, r)
				}
				text = append(text, want...)
			}
		})
	}
	clients.Wait()
	atRest(t, e)
	st := e.Stats()
	if st.Finished+st.Cancelled != 160 || st.Failed != 0 {
		t.Errorf("%d finished, %d cancelled and %d failed of 160",
			st.Finished, st.Cancelled, st.Failed)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// An agent with fifty requests in the queue does not make one with a single request wait for them.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 1 << 10, BlockTokens: 4, MaxBatch: 2})
		var greedy []*Stream
		for range 50 {
			greedy = append(greedy, submit(t, e, t.Context(), "greedy", count(1, 4), 5))
		}
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		single := submit(t, e, t.Context(), "single", count(9, 4), 5)
		drainTokens(single)
		// The two that run end first, in five steps and one in which the pace is measured.
		if r := single.Result(); r.Queue > 6*time.Second {
			t.Errorf("a single request waited %v", r.Queue)
		}
		for _, s := range greedy {
			drainTokens(s)
		}
	})
}

// An agent's requests are limited by themselves; a deadline ends one, queued or running, and
// makes place for the next.
func TestPerAgentLimitAndDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Config{Model: slowFake(), KVBytes: 64, BlockTokens: 4, MaxBatch: 1,
			MaxPerAgent: 2})
		submit := func(agent string, patience time.Duration) (*Stream, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			return e.Submit(ctx, Request{Agent: agent, Prompt: count(1, 4), MaxTokens: 9})
		}
		running, _ := submit("a", 2500*time.Millisecond)
		queued, _ := submit("a", 1500*time.Millisecond)
		if _, err := submit("a", time.Hour); err == nil {
			t.Error("a third request was taken")
		} else if busy, ok := errors.AsType[*AgentError](err); !ok || busy.InFlight != 2 ||
			busy.Limit != 2 || busy.RetryAfter < time.Second {
			t.Errorf("a third request: %v", err)
		}
		for _, agent := range []string{"b", "", "", ""} {
			if _, err := submit(agent, time.Hour); err != nil {
				t.Errorf("agent %q: %v", agent, err)
			}
		}
		for s, n := range map[*Stream]int{running: 3, queued: 0} {
			if got := drainTokens(s); len(got) != n || s.Result().Finish != FinishCancelled ||
				s.Result().Err != context.DeadlineExceeded {
				t.Errorf("past its deadline: %d tokens, want %d; %+v", len(got), n, s.Result())
			}
		}
		if _, err := submit("a", time.Hour); err != nil {
			t.Errorf("when the others had ended: %v", err)
		}
		if n := e.Stats().RejectedAgent; n != 1 {
			t.Errorf("%d refusals counted, want 1", n)
		}
	})
}
