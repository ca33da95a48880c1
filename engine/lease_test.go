package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files/filestest"
	"loadstone/internal/objects"
	"loadstone/internal/objects/objectstest"
)

// A replica is an engine that shares a directory, and its process.
type replica struct {
	*Engine
	process interface {
		Stop()
		Resume()
		Stopped() bool
		Kill()
	}
}

// A ground is what engines share in a test: a directory on a file system or, if that is nil, a
// bucket.
type ground struct {
	sim    *filestest.Sim
	bucket *objectstest.Memory
}

// onBoth runs a test on each kind of ground, a new one for each call of fresh.
func onBoth(t *testing.T, f func(t *testing.T, fresh func() ground)) {
	t.Run("folder", func(t *testing.T) { f(t, func() ground { return ground{sim: filestest.NewSim()} }) })
	t.Run("bucket", func(t *testing.T) {
		f(t, func() ground { return ground{bucket: objectstest.NewMemory()} })
	})
}

func sharedConfig() Config {
	cfg := diskConfig("data/agents")
	cfg.Shared, cfg.KVBytes = true, 4096
	return cfg
}

// startReplica starts an engine on a ground that others use as well. It is closed when the test
// ends, if not before.
func startReplica(t *testing.T, g ground) *replica {
	t.Helper()
	r, cfg := &replica{}, sharedConfig()
	if g.sim != nil {
		p := filestest.NewProcess(g.sim.System())
		r.process, cfg.Files = p, p
	} else {
		p := objectstest.NewProcess(g.bucket)
		r.process, cfg.Bucket, cfg.Dir = p, p, ""
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r.Engine = e
	return r
}

// startTwo starts two that share a ground, a new one.
func startTwo(t *testing.T, fresh func() ground) (a, b *replica) {
	t.Helper()
	g := fresh()
	return startReplica(t, g), startReplica(t, g)
}

// kill ends the process; what its engine does afterwards nobody sees.
func (r *replica) kill() {
	r.process.Kill()
	r.Close()
}

// turn asks for an agent's next turn, and fails unless the answer is the one that there is.
func (r *replica) turn(t *testing.T, agent string, prompt []int32) (text []int32, res Result) {
	t.Helper()
	s := submit(t, r.Engine, t.Context(), agent, prompt, 4)
	got := drainTokens(s)
	if want := greedy(prompt, 4); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v; %+v", got, want, s.Result())
	}
	return slices.Concat(prompt, got), s.Result()
}

// An agent that goes from engine to engine, turn by turn, finds all of its memory at each, without
// a moment in between, and back at the first one what the others have added.
func TestMoves(t *testing.T) { onBoth(t, testMoves) }

func testMoves(t *testing.T, fresh func() ground) {
	synctest.Test(t, func(t *testing.T) {
		g := fresh()
		var all [3]*replica
		for i := range all {
			all[i] = startReplica(t, g)
		}
		text := count(1, 9)
		for turn := range 9 {
			had := len(text)
			began := time.Now()
			now, res := all[turn%3].turn(t, "ann", slices.Concat(text, count(turn, 3)))
			if turn > 0 && (res.CachedTokens != had-1 || res.Tier != TierDisk || res.Miss != "") {
				t.Errorf("turn %d: %+v of %d tokens", turn, res, had)
			}
			// The one before saves after a second, and is waited for.
			if waited := time.Since(began); turn > 0 && (waited < time.Second || waited > 2*time.Second) {
				t.Errorf("turn %d waited for %v", turn, waited)
			}
			if at, err := all[turn%3].Principal("").Tokens("ann", ""); err != nil || !slices.Equal(at, now) {
				t.Errorf("turn %d: the memory is %v, %v, want %v", turn, at, err, now)
			}
			text = now
		}
		// At one engine no turn waits, and the pool is enough.
		for range 3 {
			had, began := len(text), time.Now()
			var res Result
			text, res = all[2].turn(t, "ann", slices.Concat(text, count(7, 3)))
			if res.CachedTokens != had-1 || res.Tier != TierHot || time.Since(began) > 100*time.Millisecond {
				t.Errorf("a further turn: %+v, %v", res, time.Since(began))
			}
		}
		for _, r := range all {
			if st := r.Stats(); st.SaveFailures != 0 || st.RestoreFailures != 0 {
				t.Errorf("failures: %+v", st)
			}
		}
	})
}

// What the operator asks of one engine holds for all.
func TestMovesAgents(t *testing.T) { onBoth(t, testMovesAgents) }

func testMovesAgents(t *testing.T, fresh func() ground) {
	synctest.Test(t, func(t *testing.T) {
		a, b := startTwo(t, fresh)
		text, _ := a.turn(t, "ann", count(1, 9))
		of, there := a.Principal(""), b.Principal("")
		if err := there.SetDurable("ann", true); err != nil { // waits until a has saved
			t.Fatal(err)
		}
		if !of.Durable("ann") {
			t.Error("an agent that is durable at one engine is not at the other")
		}
		s := submit(t, a.Engine, t.Context(), "ann", slices.Concat(text, count(3, 3)), 4)
		drainTokens(s)
		if err := s.Saved(t.Context()); err != nil || len(savedTokens(a.Engine, "ann")) != len(text)+7 {
			t.Errorf("its next turn is not on disk: %v", err)
		}
		if m, err := there.Inspect("ann"); err != nil || m.Tokens != len(text)+6 || !m.Durable {
			t.Errorf("at the other: %+v, %v", m, err)
		}
		if list, err := there.Agents(); err != nil || len(list) != 1 {
			t.Errorf("at the other: %v, %v", list, err)
		}
		if err := there.Forget("ann"); err != nil {
			t.Fatal(err)
		}
		if _, err := of.Inspect("ann"); !errors.Is(err, ErrNoMemory) {
			t.Errorf("what one has forgotten, the other has: %v", err)
		}
		_, res := a.turn(t, "ann", slices.Concat(text, count(3, 3)))
		if res.CachedTokens != 0 || res.Miss != kv.MissNewAgent {
			t.Errorf("of what was forgotten elsewhere, %+v", res)
		}
	})
}

// An engine that ends gives its agents to the others, and one that is killed loses them at once,
// with what was not on disk. Of a bucket's nobody sees that it was killed: it is waited for as if
// it hung.
func TestMovesFromTheDead(t *testing.T) { onBoth(t, testMovesFromTheDead) }

func testMovesFromTheDead(t *testing.T, fresh func() ground) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := fresh()
				a, b := startReplica(t, g), startReplica(t, g)
				s := durable(t, a.Engine, "ann", count(1, 9))
				if err := s.Saved(t.Context()); err != nil {
					t.Fatal(err)
				}
				first := slices.Concat(count(1, 9), greedy(count(1, 9), 4))
				text, _ := a.turn(t, "ann", slices.Concat(first, count(5, 3)))
				want := len(text) - 1
				if killed {
					a.kill()
					want = len(first) - 1
					if g.bucket != nil {
						time.Sleep(2 * sharedConfig().leaseTerm())
					}
				} else {
					a.Close()
				}
				began := time.Now()
				_, res := b.turn(t, "ann", slices.Concat(text, count(7, 3)))
				if res.CachedTokens != want || time.Since(began) > time.Second {
					t.Errorf("%+v after %v, want %d tokens cached", res, time.Since(began), want)
				}
			})
		})
	}
}

// Three engines are restarted one after the other while agents talk, each at an engine of its own
// or, while that is away, at the next: no turn fails, each answer is the one that there is, and
// each turn finds all of its agent's memory.
func TestMovesInRollingRestart(t *testing.T) { onBoth(t, testMovesInRollingRestart) }

func testMovesInRollingRestart(t *testing.T, fresh func() ground) {
	synctest.Test(t, func(t *testing.T) {
		g := fresh()
		var mu sync.Mutex
		var all [3]*replica
		for i := range all {
			all[i] = startReplica(t, g)
		}
		at := func(i int) *replica {
			mu.Lock()
			defer mu.Unlock()
			return all[i%len(all)]
		}
		const agents, turns = 6, 12
		var moved atomic.Int64
		var talks sync.WaitGroup
		for agent := range agents {
			talks.Go(func() {
				text := count(agent, 9)
				for turn := range turns {
					prompt := slices.Concat(text, count(turn, 3))
					q := Request{Agent: fmt.Sprint(agent), Prompt: prompt, MaxTokens: 4}
					s, err := at(agent).Submit(t.Context(), q)
					for i := 1; errors.Is(err, ErrDraining) && i < len(all); i++ { // as a proxy does
						s, err = at(agent+i).Submit(t.Context(), q)
					}
					if err != nil {
						t.Errorf("turn %d of agent %d: %v", turn, agent, err)
						return
					}
					got := drainTokens(s)
					res := s.Result()
					if want := greedy(prompt, 4); !slices.Equal(got, want) ||
						turn > 0 && res.CachedTokens != len(text)-1 {
						t.Errorf("turn %d of agent %d: %v, want %v and %d tokens cached: %+v", turn, agent,
							got, want, len(text)-1, res)
					}
					if res.Tier == TierDisk {
						moved.Add(1)
					}
					text = slices.Concat(prompt, got)
					time.Sleep(time.Duration(2+(agent+turn)%3) * time.Second)
				}
			})
		}
		for i := range all {
			time.Sleep(5 * time.Second)
			old := at(i)
			if err := old.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			old.Close()
			time.Sleep(4 * time.Second) // until it is there again
			now := startReplica(t, g)
			mu.Lock()
			all[i] = now
			mu.Unlock()
		}
		talks.Wait()
		if moved.Load() < agents {
			t.Errorf("%d turns have found their memory elsewhere", moved.Load())
		}
		for _, r := range all {
			if st := r.Stats(); st.SaveFailures != 0 || st.RestoreFailures != 0 {
				t.Errorf("failures: %+v", st)
			}
			r.Close()
		}
	})
}

// An engine that hangs is waited for as long as its lease lasts. Another one has its agents then,
// and when it goes on it says that its turn is not saved.
func TestMovesFromTheStopped(t *testing.T) { onBoth(t, testMovesFromTheStopped) }

func testMovesFromTheStopped(t *testing.T, fresh func() ground) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := startTwo(t, fresh)
		text, _ := a.turn(t, "ann", count(1, 9))
		time.Sleep(2 * time.Second)
		s := durable(t, a.Engine, "bob", count(2, 9)) // so that the disk is at rest
		if err := s.Saved(t.Context()); err != nil {
			t.Fatal(err)
		}
		mine := submit(t, a.Engine, t.Context(), "ann", slices.Concat(text, count(3, 3)), 4)
		drainTokens(mine)
		a.process.Stop()
		began := time.Now()
		prompt := slices.Concat(text, count(9, 5))
		_, res := b.turn(t, "ann", prompt) // it may not write, and waits no longer than a third
		if waited := time.Since(began); waited > sharedConfig().leaseTerm()/3+time.Second ||
			res.CachedTokens != len(text)-1 {
			t.Errorf("while the lease lasts: %+v after %v", res, waited)
		}
		time.Sleep(sharedConfig().leaseTerm() * 4 / 3)
		synctest.Wait()
		if st := b.Stats(); st.SaveFailuresBy.Superseded != 1 || st.Disk != DiskOK {
			t.Errorf("of the turn without the lease: %+v", st.SaveFailuresBy)
		}
		next := submit(t, b.Engine, t.Context(), "ann", prompt, 4)
		drainTokens(next)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		theirs := savedTokens(b.Engine, "ann")
		if !slices.Equal(theirs, slices.Concat(prompt, greedy(prompt, 4))) {
			t.Errorf("after the lease %v is on disk", theirs)
		}
		a.process.Resume()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := a.Stats(); st.SaveFailuresBy.Superseded != 1 || st.Unsaved != 0 || st.Disk != DiskOK {
			t.Errorf("of the one that was stopped: %+v, %v", st.SaveFailuresBy, st.Unsaved)
		}
		if got := savedTokens(b.Engine, "ann"); !slices.Equal(got, theirs) {
			t.Errorf("the one that was stopped has written %v", got)
		}
		_, res = a.turn(t, "ann", slices.Concat(theirs, count(8, 3)))
		if res.CachedTokens != len(theirs)-1 {
			t.Errorf("its next turn: %+v, want %d tokens cached", res, len(theirs)-1)
		}
	})
}

// A durable request whose agent is taken away before its turn is saved gets its answer, and the
// reason.
func TestSupersededDurable(t *testing.T) { onBoth(t, testSupersededDurable) }

func testSupersededDurable(t *testing.T, fresh func() ground) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := startTwo(t, fresh)
		s, err := a.Submit(t.Context(), Request{Agent: "ann", Prompt: count(1, 9), MaxTokens: 4,
			Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		a.process.Stop()
		drainTokens(s)
		time.Sleep(2 * sharedConfig().leaseTerm())
		if err := durable(t, b.Engine, "ann", count(1, 12)).Saved(t.Context()); err != nil {
			t.Error(err)
		}
		a.process.Resume()
		err = s.Saved(t.Context())
		if errors.Is(err, objects.ErrAway) { // what was asked of the bucket meanwhile, it has not answered
			err = s.Saved(t.Context())
		}
		if !errors.Is(err, ErrTaken) || SaveFailure(err) != "superseded" {
			t.Errorf("the one that was stopped: %v", err)
		}
	})
}

// A walk has agents go at random between engines that are stopped, resumed, killed, closed and
// started, and compares each answer with the one of a single engine, and the disk with what was
// promised.
type walk struct {
	*testing.T
	rng      *rand.Rand
	ground   ground
	replicas [3]*replica
	texts    map[string][]int32 // each agent's conversation
	promised map[string]int     // how many tokens of it are on disk for certain
	turns    int
	cached   int // tokens, and those of them that could be
	could    int
}

func (w *walk) step() {
	i := w.rng.IntN(len(w.replicas))
	r := w.replicas[i]
	switch n := w.rng.IntN(100); {
	case n < 4:
		r.kill()
		w.replicas[i] = startReplica(w.T, w.ground)
	case n < 8:
		r.process.Resume() // SIGTERM ends no process that is stopped
		r.Close()
		w.replicas[i] = startReplica(w.T, w.ground)
	case n < 12:
		r.process.Stop()
	case n < 30:
		r.process.Resume()
	case n < 45:
		time.Sleep(time.Duration(w.rng.IntN(20000)) * time.Millisecond)
	default:
		w.turn(r, fmt.Sprint("agent-", w.rng.IntN(4)))
	}
}

// turn has an agent ask a replica that answers: one that is stopped does not, and no client hears
// of it.
func (w *walk) turn(r *replica, agent string) {
	if r.process.Stopped() {
		return
	}
	text := w.texts[agent]
	if len(text) > 150 {
		text = nil // a new conversation
		w.promised[agent] = 0
	}
	prompt := slices.Concat(text, count(w.rng.IntN(50), 1+w.rng.IntN(9)))
	wait := w.rng.IntN(3) == 0
	s, err := r.Submit(w.Context(),
		Request{Agent: agent, Prompt: prompt, MaxTokens: 4, Durable: wait})
	if err != nil {
		w.Fatal(err)
	}
	got := drainTokens(s)
	if want := greedy(prompt, 4); !slices.Equal(got, want) {
		w.Errorf("turn %d of %s: answer %v, want %v", w.turns, agent, got, want)
	}
	res := s.Result()
	if res.CachedTokens < w.promised[agent]-1 {
		w.Errorf("turn %d of %s: %d of its tokens are on disk, and %d are cached: %+v", w.turns, agent,
			w.promised[agent], res.CachedTokens, res)
	}
	w.turns++
	w.cached, w.could = w.cached+res.CachedTokens, w.could+max(len(text)-1, 0)
	w.texts[agent] = slices.Concat(prompt, got)
	if !wait {
		return
	}
	ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
	defer cancel()
	if s.Saved(ctx) == nil {
		w.promised[agent] = len(w.texts[agent])
	}
}

func TestMovesAtRandom(t *testing.T) { onBoth(t, testMovesAtRandom) }

func testMovesAtRandom(t *testing.T, fresh func() ground) {
	quiet(t)
	turns, cached, could := 0, 0, 0
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &walk{T: t, rng: rand.New(rand.NewPCG(seed, 1)), ground: fresh(),
					texts: map[string][]int32{}, promised: map[string]int{}}
				for i := range w.replicas {
					w.replicas[i] = startReplica(t, w.ground)
				}
				for range 150 {
					w.step()
				}
				for _, r := range w.replicas {
					r.process.Resume()
					r.Close()
				}
				last := startReplica(t, w.ground)
				for agent, n := range w.promised {
					text := w.texts[agent]
					if got := savedTokens(last.Engine, agent); len(got) < n ||
						kv.CommonPrefix(got, text) < n {
						t.Errorf("%s: of its conversation %v, of which %d tokens were on disk, %v is",
							agent, text, n, got)
					}
				}
				turns, cached, could = turns+w.turns, cached+w.cached, could+w.could
			})
		})
	}
	t.Logf("%d turns; of %d tokens that were said before, %d were cached", turns, could, cached)
	if turns < 500 || cached < could/2 {
		t.Error("the test has seen too little")
	}
}

// leaseTerm returns Lease, or its default.
func (c Config) leaseTerm() time.Duration { return 15 * time.Second }
