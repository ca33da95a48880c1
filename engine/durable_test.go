package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/snapshot"
	"loadstone/internal/files/filestest"
)

// savedTokens returns the conversation that an agent's file has, without looking at the pool.
func savedTokens(e *Engine, agent string) []int32 { return e.disk.store.Tokens(named(agent).Agent, "") }

// An agent whose next turn begins the moment the last one has ended never rests. Every turn is on
// disk before it is older than the bound all the same, and the memory is not copied once a turn.
func TestNeverRests(t *testing.T) {
	for _, c := range []struct {
		name   string
		window int
		answer int // tokens, and steps of 50 ms
		grow   int // tokens of a question
	}{
		{"short turns", 0, 2, 3},
		{"short turns, sliding layers", 9, 2, 3},
		{"whole blocks", 0, 3, 5},
		{"turns about as long as the bound", 0, 18, 3},
		{"turns longer than the bound", 0, 50, 3},
		{"turns longer than the bound, sliding layers", 9, 50, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { neverRests(t, c.window, c.answer, c.grow) })
		})
	}
}

func neverRests(t *testing.T, window, answer, grow int) {
	const bound = time.Second
	cfg := diskConfig(t.TempDir())
	m := newFake()
	m.window = window
	m.before = func(int) error {
		time.Sleep(50 * time.Millisecond)
		return nil
	}
	cfg.Model, cfg.KVBytes, cfg.SaveWithin = m, 2000, bound
	e := start(t, cfg)
	type acked struct {
		at     time.Time
		tokens []int32
	}
	var turns []acked
	look := func() { // as a kill at this moment would find it
		t.Helper()
		have := len(savedTokens(e, "ann"))
		for _, a := range turns {
			if len(a.tokens) > have && time.Since(a.at) > bound {
				t.Errorf("a turn of %d tokens is %v old and not on disk, which has %d",
					len(a.tokens), time.Since(a.at), have)
			}
		}
		if u := e.Stats().Unsaved; u > bound {
			t.Errorf("the engine says that the oldest unsaved turn is %v old", u)
		}
	}
	text := count(1, 9)
	began := time.Now()
	for time.Since(began) < 20*time.Second {
		s := submit(t, e, t.Context(), "ann", text, answer)
		for open := true; open; {
			select {
			case tok, ok := <-s.Tokens():
				if open = ok; ok {
					text = append(text, tok.ID)
				}
			case <-time.After(20 * time.Millisecond):
				look()
			}
		}
		turns = append(turns, acked{time.Now(), slices.Clone(text)})
		look()
		text = append(text, count(len(text), grow)...)
	}
	st := e.Stats()
	limit := uint64(time.Since(began)/(bound-bound/minLead-50*time.Millisecond)) + 1
	if st.Saves > limit || st.Saves < 5 {
		t.Errorf("the memory was saved %d times in %v, %d turns", st.Saves, time.Since(began),
			len(turns))
	}
	time.Sleep(bound)
	synctest.Wait()
	last := turns[len(turns)-1].tokens
	if got := savedTokens(e, "ann"); !slices.Equal(got, last) || e.Stats().Unsaved != 0 {
		t.Errorf("at rest %d tokens are on disk of %d, unsaved for %v", len(got), len(last),
			e.Stats().Unsaved)
	}
}

// A turn outlives what its agent asks next, whatever becomes of that: it fails, it is cancelled, or
// it leaves the conversation.
func TestTurnOutlivesTheNext(t *testing.T) {
	for _, name := range []string{"runs", "fails", "is cancelled", "diverges"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := diskConfig(t.TempDir())
				m := newFake()
				var fail atomic.Bool
				m.before = func(int) error {
					time.Sleep(100 * time.Millisecond)
					if fail.Load() {
						return errors.New("injected")
					}
					return nil
				}
				cfg.Model, cfg.SaveWithin, cfg.SaveAfter = m, time.Second, time.Hour
				e := start(t, cfg)
				text := count(1, 9)
				text = append(text, drainTokens(submit(t, e, t.Context(), "ann", text, 4))...)
				acked := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				prompt := append(slices.Clone(text), 3, 4, 5)
				if name == "diverges" {
					prompt = append(slices.Clone(text[:5]), 7, 7, 7)
				}
				s := submit(t, e, ctx, "ann", prompt, 40)
				<-s.Tokens()
				if m, err := e.Principal("").Inspect("ann"); err != nil || m.Saved || m.Unsaved <= 0 ||
					m.SavedTokens != 0 {
					t.Errorf("while the next turn runs: %+v, %v", m, err)
				}
				switch name {
				case "fails":
					fail.Store(true)
				case "is cancelled":
					cancel()
				}
				time.Sleep(time.Until(acked.Add(time.Second)))
				synctest.Wait()
				got := savedTokens(e, "ann")
				if len(got) < len(text) || name != "is cancelled" && !slices.Equal(got, text) {
					t.Errorf("after a second %v is on disk, want %v", got, text)
				}
				if m, err := e.Principal("").Inspect("ann"); err != nil || m.SavedTokens == 0 {
					t.Errorf("after a second: %+v, %v", m, err)
				}
			})
		})
	}
}

// Without a bound an agent that never rests is not saved until it does, and the engine says since
// when.
func TestUnsavedWithoutBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, diskConfig(t.TempDir()))
		text := count(1, 9)
		for range 20 {
			text = append(text, drainTokens(submit(t, e, t.Context(), "ann", text, 3))...)
			time.Sleep(500 * time.Millisecond)
		}
		if st := e.Stats(); st.Saves != 0 || st.Unsaved != 10*time.Second {
			t.Errorf("%d saves, unsaved for %v", st.Saves, st.Unsaved)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st := e.Stats(); st.Saves != 1 || st.Unsaved != 0 {
			t.Errorf("at rest: %d saves, unsaved for %v", st.Saves, st.Unsaved)
		}
	})
}

// durable submits a durable request and returns its stream, drained.
func durable(t *testing.T, e *Engine, agent string, prompt []int32) *Stream {
	t.Helper()
	s, err := e.Submit(t.Context(), Request{Agent: agent, Prompt: prompt, MaxTokens: 4,
		Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := drainTokens(s), greedy(prompt, 4); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v", got, want)
	}
	return s
}

func TestDurable(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveAfter = time.Hour
	e := start(t, cfg)
	text := count(1, 9)
	for range 3 {
		s := durable(t, e, "ann", text)
		if err := s.Saved(t.Context()); err != nil {
			t.Fatal(err)
		}
		text = append(text, greedy(text, 4)...)
		if got := savedTokens(e, "ann"); !slices.Equal(got, text) {
			t.Errorf("%v is on disk, want %v", got, text)
		}
		text = append(text, 5)
	}
	// The same again adds nothing to the memory, which is on disk.
	if err := durable(t, e, "ann", text[:len(text)-5]).Saved(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := e.Submit(t.Context(), Request{Prompt: text, MaxTokens: 1, Durable: true}); err == nil {
		t.Error("a durable request without an agent is accepted")
	}
	without := start(t, Config{Model: newFake()})
	if _, err := without.Submit(t.Context(), Request{Agent: "a", Prompt: text, MaxTokens: 1,
		Durable: true}); !errors.Is(err, ErrNoDir) {
		t.Errorf("without a directory: %v", err)
	}
}

// While the disk fails, durable requests get their answer and the reason, everything goes on, and
// what waits is saved when the disk is back, without another request.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		word  string
		state string
		count func(*Stats) uint64
	}{
		{"full", syscall.ENOSPC, "disk full", DiskFull,
			func(st *Stats) uint64 { return st.SaveFailuresBy.DiskFull }},
		{"user's share is full", syscall.EDQUOT, "disk full", DiskFull,
			func(st *Stats) uint64 { return st.SaveFailuresBy.DiskFull }},
		{"broken", syscall.EIO, "io", DiskFailing,
			func(st *Stats) uint64 { return st.SaveFailuresBy.IO }},
	} {
		for _, at := range []filestest.Op{filestest.Create, filestest.Write, filestest.Sync,
			filestest.Rename, filestest.SyncDir} {
			t.Run(c.name+"/"+string(at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := diskConfig(t.TempDir())
					cfg.SaveWithin = 10 * time.Second
					tap, e := tapped(t, cfg)
					defer e.Close()
					var broken atomic.Bool
					broken.Store(true)
					tap.Before = func(op filestest.Op, _ string) error {
						if broken.Load() && op == at {
							return &os.PathError{Op: string(op), Path: "x", Err: c.err}
						}
						return nil
					}
					e.start()
					err := durable(t, e, "ann", count(1, 9)).Saved(t.Context())
					if SaveFailure(err) != c.word || !errors.Is(err, c.err) {
						t.Errorf("the turn: %v, in a word %q", err, SaveFailure(err))
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					st := e.Stats()
					if n := c.count(&st); st.Disk != c.state || e.Disk() != c.state ||
						n < 8 || n > 20 || st.SaveFailures != n || st.Saves != 0 ||
						st.Unsaved < time.Minute {
						t.Errorf("after a minute: %+v", st)
					}
					if m, err := e.Principal("").Inspect("ann"); err != nil || m.Saved || m.Unsaved < time.Minute {
						t.Errorf("after a minute: %+v, %v", m, err)
					}
					broken.Store(false)
					time.Sleep(11 * time.Second)
					synctest.Wait()
					if st := e.Stats(); st.Disk != DiskOK || st.Saves != 1 || st.Unsaved != 0 ||
						st.UnsavedBytes != 0 {
						t.Errorf("with the disk back: %+v", st)
					}
					if m, err := e.Principal("").Inspect("ann"); err != nil || !m.Saved || m.SavedTokens != 12 {
						t.Errorf("with the disk back: %+v, %v", m, err)
					}
					if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.tmp")); len(left) > 0 {
						t.Errorf("left: %v", left)
					}
				})
			})
		}
	}
}

// An engine whose disk fails for good ends.
func TestCloseOnFullDisk(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveWithin = time.Millisecond
	tap, e := tapped(t, cfg)
	tap.Before = changes(func() error { return syscall.ENOSPC })
	e.disk.writer.MaxUnsaved = 30
	e.start()
	for i := range 8 {
		drainTokens(submit(t, e, t.Context(), fmt.Sprint(i), count(i, 20), 4))
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// A newer memory of an agent takes the place of one that waits for a full disk, and a request that
// waits for the older one then waits for the newer one.
func TestSupersededWhileWaiting(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveAfter = time.Hour
	tap, e := tapped(t, cfg)
	defer e.Close()
	entered, stuck := make(chan struct{}, 100), make(chan struct{})
	var again atomic.Pointer[chan struct{}]
	tap.Before = func(op filestest.Op, _ string) error {
		if c := again.Load(); c != nil {
			<-*c
		} else if op == filestest.Create {
			entered <- struct{}{}
			<-stuck
		}
		return nil
	}
	e.start()
	other := durable(t, e, "bob", count(3, 9)) // keeps the writer busy
	<-entered
	text := count(1, 9)
	first := durable(t, e, "ann", text)
	text = append(append(text, greedy(text, 4)...), 5)
	second := durable(t, e, "ann", text)
	close(stuck)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := errors.Join(other.Saved(ctx), first.Saved(ctx), second.Saved(ctx)); err != nil {
		t.Error(err)
	}
	if st := e.Stats(); st.Saves != 2 {
		t.Errorf("%d saves, want one of each agent", st.Saves)
	}
	// One who forgets the agent meanwhile ends the wait.
	stuck2 := make(chan struct{})
	again.Store(&stuck2)
	other = durable(t, e, "bob", count(4, 9))
	third := durable(t, e, "ann", text[:7])
	if err := e.call(func() { e.disk.forget(named("ann").Agent); e.disk.writer.Drop(named("ann").Agent) }); err != nil {
		t.Fatal(err)
	}
	if err := third.Saved(t.Context()); !errors.Is(err, snapshot.ErrSuperseded) ||
		SaveFailure(err) != "superseded" {
		t.Errorf("of a forgotten agent: %v", err)
	}
	close(stuck2)
	other.Saved(t.Context())
}

// A memory whose file the quota has deleted, and that the pool still has, can be pinned, exported
// and made durable like one that was never saved: it is saved again. (Found by package world,
// seed 33: the agent was listed, and to pin it was answered with 404.)
func TestEvictedFileIsSavedAgain(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	once(t, cfg, "ann", count(1, 20))
	info, err := os.Stat(memoryOf(t, cfg.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range map[string]func(Principal) error{
		"pin":     func(p Principal) error { return p.Pin("ann") },
		"durable": func(p Principal) error { return p.SetDurable("ann", true) },
		"export":  func(p Principal) error { return p.Export("ann", io.Discard) },
	} {
		cfg := diskConfig(t.TempDir())
		cfg.DiskBytes = info.Size() * 3 / 2 // room for one
		e := start(t, cfg)
		for i, agent := range []string{"ann", "bob"} {
			drainTokens(submit(t, e, t.Context(), agent, count(1+40*i, 20), 4))
			if err := e.save(named(agent).Agent); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := e.inspect(named("ann").Agent); err != nil || m.Tier != TierHot || m.Saved {
			t.Fatalf("before: %+v, %v", m, err)
		}
		if err := act(e.Principal("")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := len(savedTokens(e, "ann")); got != 24 {
			t.Errorf("%s: %d tokens on disk, want 24", name, got)
		}
	}
}

// A full disk takes the file of the agent unused for longest, though the pool has its memory. If
// the disk has room again when the engine ends, the memory is saved once more, and nobody else's
// goes for it. (Found by package world, seeds 61 and 204: an orderly restart lost the agent.)
func TestFullDiskLosesNoHotMemory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files int // that the quota has room for
		full  bool
		want  [3]int // tokens on disk after the restart: ann's, bob's, cyd's
	}{
		{"disk", 9, true, [3]int{24, 24, 24}},
		{"quota", 2, false, [3]int{0, 24, 24}}, // there is room for two, and ann was first
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := diskConfig(t.TempDir())
			once(t, cfg, "ann", count(1, 20))
			info, err := os.Stat(memoryOf(t, cfg.Dir))
			if err != nil {
				t.Fatal(err)
			}
			cfg = diskConfig(t.TempDir())
			cfg.DiskBytes = info.Size() * int64(2*tc.files+1) / 2
			tap, e := tapped(t, cfg)
			var full atomic.Bool
			tap.Before = func(op filestest.Op, _ string) error {
				if op == filestest.Write && full.Swap(false) {
					return syscall.ENOSPC
				}
				return nil
			}
			e.start()
			for i, agent := range []string{"ann", "bob", "cyd"} {
				full.Store(i == 2 && tc.full)
				drainTokens(submit(t, e, t.Context(), agent, count(1+40*i, 20), 4))
				if err := e.save(named(agent).Agent); err != nil {
					t.Fatal(err)
				}
			}
			if m, err := e.inspect(named("ann").Agent); err != nil || m.Tier != TierHot || m.Saved {
				t.Fatalf("before the restart: %+v, %v", m, err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			cfg.Model = newFake()
			e = start(t, cfg)
			for i, agent := range []string{"ann", "bob", "cyd"} {
				if got := len(savedTokens(e, agent)); got != tc.want[i] {
					t.Errorf("of %s %d tokens are on disk, want %d", agent, got, tc.want[i])
				}
			}
		})
	}
}
