package engine

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files/filestest"
)

// answered submits a request of an agent and checks its answer. It returns the conversation with
// the answer, and the result.
func answered(t *testing.T, e *Engine, agent string, prompt []int32) ([]int32, Result) {
	t.Helper()
	s := submit(t, e, t.Context(), agent, prompt, 4)
	got := drainTokens(s)
	if want := greedy(prompt, 4); !slices.Equal(got, want) {
		t.Errorf("%s is answered %v, want %v; %+v", agent, got, want, s.Result())
	}
	return slices.Concat(prompt, got), s.Result()
}

// The blocks that a restore writes to may be those of a memory that is not saved: that is copied
// first.
func TestRestoreEvictsUnsaved(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveAfter = time.Hour
	e := start(t, cfg)
	ann, _ := answered(t, e, "ann", count(1, 100))
	if err := e.save(named("ann").Agent); err != nil {
		t.Fatal(err)
	}
	bob, _ := answered(t, e, "bob", count(31, 200)) // takes half of hers
	if _, r := answered(t, e, "ann", slices.Concat(ann, count(7, 3))); r.RestoredBytes < 40 {
		t.Fatalf("ann is not restored: %+v", r)
	}
	if _, r := answered(t, e, "bob", slices.Concat(bob, count(9, 3))); r.RestoredBytes < 40 ||
		r.CachedTokens != len(bob)-1 {
		t.Errorf("bob is not restored: %+v", r)
	}
}

// A readTap is a fake model that says when it is read.
type readTap struct {
	*fakeModel
	before func()
}

func (m readTap) ReadKV(block, window, tokens int, dst []byte) error {
	m.before()
	return m.fakeModel.ReadKV(block, window, tokens, dst)
}

// A memory that is being copied when its agent goes on comes to the disk as it was, long before the
// next turn ends.
func TestGoesOnWhileCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.SaveAfter = time.Second
		m := newFake()
		m.before = func(int) error {
			time.Sleep(50 * time.Millisecond)
			return nil
		}
		copying, goOn := make(chan struct{}, 100), make(chan struct{})
		cfg.Model = readTap{m, func() {
			copying <- struct{}{}
			<-goOn
		}}
		e, err := newEngine(cfg)
		if err != nil {
			t.Fatal(err)
		}
		e.disk.portionBytes = 1
		e.start()
		defer e.Close()
		text, _ := answered(t, e, "ann", count(1, 10)) // ends in a block of one token
		<-copying
		next := submit(t, e, t.Context(), "ann", slices.Concat(text, count(7, 3)), 40)
		synctest.Wait()
		close(goOn)
		for range 20 {
			<-next.Tokens()
		}
		synctest.Wait()
		if got := savedTokens(e, "ann"); !slices.Equal(got, text) {
			t.Errorf("in the middle of the next turn %v is on disk, want %v", got, text)
		}
		drainTokens(next)
		if r := next.Result(); r.CachedTokens != len(text)-1 {
			t.Errorf("the next turn: %+v", r)
		}
	})
}

// A turn that ends while an older memory of its agent is on its way to the disk is not called saved
// when that has arrived.
func TestTurnBehindASave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.SaveAfter = time.Second
		tap, e := tapped(t, cfg)
		saving, goOn := make(chan struct{}, 100), make(chan struct{})
		tap.Before = func(op filestest.Op, _ string) error {
			if op == filestest.Create {
				saving <- struct{}{}
				<-goOn
			}
			return nil
		}
		e.start()
		defer e.Close()
		first, _ := answered(t, e, "ann", count(1, 10))
		<-saving
		second, _ := answered(t, e, "ann", slices.Concat(first, count(7, 3)))
		time.Sleep(700 * time.Millisecond)
		close(goOn)
		synctest.Wait()
		m, err := e.Principal("").Inspect("ann")
		const age = 700 * time.Millisecond
		if err != nil || m.Saved || m.SavedTokens != len(first)-1 || m.Tokens != len(second)-1 ||
			m.Unsaved != age || e.Stats().Unsaved != age {
			t.Errorf("with the first turn on disk: %+v, %v, unsaved for %v", m, err, e.Stats().Unsaved)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if m, err := e.Principal("").Inspect("ann"); err != nil || !m.Saved || e.Stats().Unsaved != 0 {
			t.Errorf("at rest: %+v, %v, unsaved for %v", m, err, e.Stats().Unsaved)
		}
	})
}

// A durable turn that ends while an older memory of its agent is being copied is copied first, and
// the older one is not written in its place afterwards.
func TestDurableBehindACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.SaveAfter, cfg.SaveWithin = time.Hour, time.Hour
		m := newFake()
		m.before = func(int) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		cfg.Model = m
		e, err := newEngine(cfg)
		if err != nil {
			t.Fatal(err)
		}
		e.disk.portionBytes = 1 // a block between two steps
		e.start()
		defer e.Close()
		first, _ := answered(t, e, "ann", count(1, 60))
		s, err := e.Submit(t.Context(), Request{Agent: "ann", Durable: true, MaxTokens: 3,
			Prompt: slices.Concat(first, count(7, 3))})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Tokens()
		older := make(chan error, 1)
		go func() { older <- e.save(named("ann").Agent) }()
		synctest.Wait()
		drainTokens(s)
		if err := s.Saved(t.Context()); err != nil {
			t.Error(err)
		}
		want := len(first) + 3 + 3 - 1
		look := func(when string) {
			x, ok := e.disk.store.Find(named("ann").Agent)
			if !ok || x.Header.Tokens != want {
				t.Errorf("%s %d tokens are on disk, want %d", when, x.Header.Tokens, want)
			}
		}
		look("when the turn is saved")
		if err := <-older; err != nil {
			t.Error(err)
		}
		if err := e.save(named("ann").Agent); err != nil {
			t.Errorf("once more: %v", err)
		}
		time.Sleep(time.Minute)
		look("a minute later")
	})
}

// A deletion is atomic: the next request does not see the older memory that is still on disk.
func TestDeletedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.SaveAfter = time.Hour
		m := newFake()
		m.before = func(int) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		cfg.Model = m
		e := start(t, cfg)
		ann := e.Principal("")
		text, _ := answered(t, e, "ann", count(1, 10))
		if err := e.save(named("ann").Agent); err != nil {
			t.Fatal(err)
		}
		answered(t, e, "ann", slices.Concat(text, count(7, 3)))
		// Both calls wait for the end of the same step.
		busy := submit(t, e, t.Context(), "bob", count(31, 9), 4)
		<-busy.Tokens()
		synctest.Wait()
		deleted, seen := make(chan error, 1), make(chan string, 2)
		go func() { deleted <- ann.Forget("ann") }()
		synctest.Wait()
		for _, look := range []func() string{
			func() string { m, err := ann.Inspect("ann"); return fmt.Sprint(m.Tokens, err) },
			func() string {
				all, err := ann.Agents()
				return fmt.Sprint(slices.ContainsFunc(all, func(m Memory) bool { return m.Agent == "ann" }), err)
			},
		} {
			go func() { seen <- look() }()
			synctest.Wait()
		}
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		want := []string{fmt.Sprint(0, fmt.Errorf("agent %q: %w", "ann", ErrNoMemory)), "false <nil>"}
		got := []string{<-seen, <-seen}
		slices.Sort(got)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("behind the deletion: %s, want %s", got[i], want[i])
			}
		}
		drainTokens(busy)
	})
}

// A memory on disk is of no use to a request with another salt than its own, not even to its agent.
func TestSaltOnDisk(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	prompt := count(1, 18)
	ask := func(salt string) Result {
		cfg.Model = newFake()
		e := start(t, cfg)
		s, err := e.Submit(t.Context(), Request{Agent: "ann", Salt: salt, Prompt: prompt, MaxTokens: 4})
		if err != nil {
			t.Fatal(err)
		}
		if got := drainTokens(s); !slices.Equal(got, greedy(prompt, 4)) {
			t.Errorf("salt %q: answer %v", salt, got)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return s.Result()
	}
	for i, c := range []struct {
		salt   string
		cached int
		miss   string
	}{
		{"a", 0, "new_agent"}, {"a", 17, ""}, {"b", 0, "other_salt"}, {"", 0, "other_salt"},
		{"", 17, ""}, {"a", 0, "other_salt"},
	} {
		if r := ask(c.salt); r.CachedTokens != c.cached || r.Miss != c.miss ||
			(r.RestoredBytes > 0) != (c.cached > 0) {
			t.Errorf("request %d, salt %q: %+v, want %d cached and %q", i, c.salt, r, c.cached, c.miss)
		}
	}
}

// A principal that fills the pool evicts its own memories before those of another that has less.
func TestFloodEvictsItsOwn(t *testing.T) {
	e := start(t, Config{Model: newFake(), KVBytes: 256, BlockTokens: 4, StepTokens: 32})
	ask := func(principal, agent string, from, n int) Result {
		s, err := e.Submit(t.Context(), Request{Principal: principal, Agent: agent,
			Prompt: count(from, n), MaxTokens: 4})
		if err != nil {
			t.Fatal(err)
		}
		drainTokens(s)
		return s.Result()
	}
	ask("alice", "one", 7, 40)
	for i := range 40 {
		ask("bob", fmt.Sprint(i), 3*i, 20)
	}
	if r := ask("bob", "0", 0, 20); r.CachedTokens > 0 || r.Miss != "evicted" {
		t.Fatalf("the pool is not full: %+v", r)
	}
	if r := ask("alice", "one", 7, 44); r.CachedTokens != 40 {
		t.Errorf("alice finds %d of 40 tokens: %+v", r.CachedTokens, r)
	}
}
