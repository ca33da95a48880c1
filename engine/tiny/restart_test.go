package tiny_test

import (
	"slices"
	"testing"
	"time"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
)

// start starts an engine on the embedded model, which saves agents' memories in dir.
func start(t testing.TB, dir string) *engine.Engine {
	t.Helper()
	c, err := checkpoint.Open(tiny.FS)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ref.New(c, "f32")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Model: m, KVBytes: 32 << 20, Dir: dir, SaveAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// complete runs a request and returns the ids of its answer.
func complete(t testing.TB, e *engine.Engine, agent string, prompt []int32, maxTokens int) (
	[]int32, engine.Result) {
	t.Helper()
	r := engine.Request{Agent: agent, Prompt: prompt, MaxTokens: maxTokens}
	s, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for tok := range s.Tokens() {
		ids = append(ids, tok.ID)
	}
	return ids, s.Result()
}

// text returns n tokens.
func text(seed uint64, n int) []int32 {
	s := []int32{2} // <bos>
	for len(s) < n {
		seed = seed*6364136223846793005 + 1442695040888963407
		s = append(s, 6+int32(seed>>40)%1018)
	}
	return s
}

// TestRestart checks that after a restart an agent's next turn gets the same answer as without one,
// token for token.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	prompt := text(1, 300)
	answer, _ := complete(t, e, "ann", prompt, 16)
	next := slices.Concat(prompt, answer, text(2, 20)[1:])
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir)
	defer e.Close()
	want, cold := complete(t, e, "", next, 32)
	if cold.CachedTokens != 0 {
		t.Fatalf("the oracle was cached: %+v", cold)
	}
	fresh := start(t, "")
	defer fresh.Close()
	if again, _ := complete(t, fresh, "", next, 32); !slices.Equal(again, want) {
		t.Fatal("the oracle gives two answers to the same prompt")
	}
	got, r := complete(t, e, "ann", next, 32)
	if !slices.Equal(got, want) {
		t.Errorf("after a restart %v, want %v", got, want)
	}
	// The request without an agent has left its full blocks in the pool, so this one is hot. The
	// engine started below has to restore from disk.
	if r.CachedTokens < 315 {
		t.Errorf("cached %d", r.CachedTokens)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir)
	defer e.Close()
	third := slices.Concat(next, got, text(3, 9)[1:])
	want, _ = complete(t, fresh, "", third, 32)
	got, r = complete(t, e, "ann", third, 32)
	if !slices.Equal(got, want) || r.Tier != engine.TierDisk || r.CachedTokens != len(next)+31 ||
		r.RestoredBytes == 0 {
		t.Errorf("restored: %v, want %v; %+v", got, want, r)
	}
	// The same prompt after another restart ends before the window that was saved last. It still
	// finds the window at its own end.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir)
	defer e.Close()
	if got, r = complete(t, e, "ann", third, 32); !slices.Equal(got, want) || r.Tier != engine.TierDisk ||
		r.CachedTokens != len(third)-1 || r.Miss != "" {
		t.Errorf("asked again: %v, want %v; %+v", got, want, r)
	}
}
