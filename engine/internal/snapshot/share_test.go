package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
	"loadstone/internal/objects"
	"loadstone/internal/objects/objectstest"
	"loadstone/internal/seal"
)

const shareTerm = 15 * time.Second

// shared opens a directory for a process that shares it.
func shared(t *testing.T, sys files.System) *Store {
	t.Helper()
	s, err := OpenShared(sys, dirOf(sys), small, 1<<20, 0, shareTerm)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dirOf(sys files.System) string {
	if _, ok := sys.(files.Fenced); ok {
		return objects.Root
	}
	return sweepDir
}

// saveTurn saves a memory of so many tokens as an agent's request does: it holds the agent until it
// is on disk. looked says whether the index had to be brought up to date.
func saveTurn(s *Store, agent string, tokens int) (looked bool, err error) {
	return saveAgain(s, agent, tokens, 0)
}

// saveAgain is saveTurn that tries so often again if the bucket does not answer, as a Writer does.
func saveAgain(s *Store, agent string, tokens, again int) (looked bool, err error) {
	refused := s.Hold(context.Background(), named(agent), func() { looked = true })
	defer s.Release(named(agent))
	w := NewWriter(s, 1<<20, func() {})
	h := small.of(agent, tokens)
	snap := w.Begin(h, make([]int32, tokens), true)
	for i := range h.Chunks() {
		snap.Set(i, []byte(strings.Repeat(string(rune(tokens)), h.ChunkBytes(i))))
	}
	err = s.save(snap)
	for range again {
		if !errors.Is(err, objects.ErrAway) {
			break
		}
		time.Sleep(maxRetry)
		err = s.save(snap)
	}
	if (refused == nil) != (err == nil) && refused != nil {
		return looked, fmt.Errorf("refused (%w), and then: %w", refused, err)
	}
	return looked, err
}

// tokensOf returns how many tokens a store says that an agent's memory has, none for no memory.
func tokensOf(s *Store, agent string) int {
	s.Look(named(agent), func() {})
	m, err := s.Open(named(agent))
	if errors.Is(err, fs.ErrNotExist) {
		return none
	}
	if err != nil {
		panic(err)
	}
	defer m.Close()
	if x, ok := s.Find(named(agent)); !ok || x.Header.Tokens != m.header.Tokens {
		panic(fmt.Sprintf("the index has %v %v, the file %d tokens", x, ok, m.header.Tokens))
	}
	return m.header.Tokens
}

// A process is what a test does to one of several.
type process interface {
	StopAt(n int)
	Resume()
	Stopped() bool
	Kill()
}

// A ground is what stores share in a test.
type ground interface {
	// start returns the file system of a new process.
	start() (files.System, process)
	members() []string
}

// A folder is a ground that is a directory.
type folder struct{ *filestest.Sim }

func (f folder) start() (files.System, process) {
	p := filestest.NewProcess(f.System())
	return p, p
}

func (f folder) members() []string { return f.Names(sweepDir + "/" + membersDir) }

// A bucketGround is one that is a bucket.
type bucketGround struct{ *objectstest.Memory }

func (b bucketGround) start() (files.System, process) {
	p := objectstest.NewProcess(b.Memory)
	return bucketSystem(p), p
}

func (b bucketGround) members() []string { return b.Names("locks/" + membersDir) }

func bucketSystem(b objects.Bucket, keys ...*seal.Key) *objects.System {
	return objects.New(b, objects.Options{Fence: Fence, Term: shareTerm, Cache: 1 << 20, Keys: keys})
}

// onBoth runs a test on each kind of ground, a new one for each call of fresh.
func onBoth(t *testing.T, f func(t *testing.T, fresh func() ground)) {
	t.Run("folder", func(t *testing.T) {
		f(t, func() ground { return folder{filestest.NewSim()} })
	})
	t.Run("bucket", func(t *testing.T) {
		f(t, func() ground { return bucketGround{objectstest.NewMemory()} })
	})
}

// member opens what is shared for a process of its own.
func member(t *testing.T, g ground) (*Store, process) {
	t.Helper()
	sys, p := g.start()
	return shared(t, sys), p
}

func rest() {
	time.Sleep(2 * linger)
	synctest.Wait()
}

// Stores that share a directory see what the others write, pin and delete, and look for it only
// where another one has had the agent.
func TestShare(t *testing.T) { onBoth(t, testShare) }

func testShare(t *testing.T, fresh func() ground) {
	synctest.Test(t, func(t *testing.T) {
		g := fresh()
		a, _ := member(t, g)
		b, _ := member(t, g)
		for i, step := range []struct {
			by     *Store
			looked bool
		}{{a, true}, {a, false}, {b, true}, {b, false}, {a, true}, {a, false}, {b, true}} {
			looked, err := saveTurn(step.by, "ann", i+1)
			if err != nil || looked != step.looked {
				t.Errorf("step %d: looked %v: %v", i, looked, err)
			}
			if rest(); tokensOf(a, "ann") != i+1 || tokensOf(b, "ann") != i+1 {
				t.Errorf("step %d: %d and %d tokens", i, tokensOf(a, "ann"), tokensOf(b, "ann"))
			}
		}
		on := func(s *Store, f func() error) {
			t.Helper()
			err := s.Hold(t.Context(), named("ann"), func() {})
			if err = errors.Join(err, f()); err != nil {
				t.Error(err)
			}
			s.Release(named("ann"))
			rest()
		}
		on(a, func() error { return a.Pin(named("ann"), true) })
		on(a, func() error { return a.SetDurable(named("ann"), true) })
		b.Look(named("ann"), func() {})
		if x, ok := b.Find(named("ann")); !ok || !x.Pinned || !b.Durable(named("ann")) {
			t.Errorf("what one has pinned and made durable, the other knows as %+v", x)
		}
		on(b, func() error {
			_, err := b.Remove(named("ann"), func(take func()) error { take(); return nil })
			return err
		})
		if n := tokensOf(a, "ann"); n != none {
			t.Errorf("what one has deleted has %d tokens for the other", n)
		}
		// What nobody has asked for by name is found once a minute, as quotas need it.
		if _, err := saveTurn(a, "bob", 9); err != nil {
			t.Error(err)
		}
		time.Sleep(refreshEvery + shareTerm)
		synctest.Wait()
		if n, bytes := b.Size(); n != 1 || bytes == 0 {
			t.Errorf("after a minute the other knows %d memories of %d bytes", n, bytes)
		}
		a.Close()
		b.Close()
		if left := g.members(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A directory is used by one store alone, or by several of one model that share it.
func TestShareExcludes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := filestest.NewSim().System()
		a := shared(t, sys)
		other := small
		other.Fingerprint = "another"
		_, alone := OpenStore(sys, sweepDir, small, 1<<20, 0)
		_, model := OpenShared(sys, sweepDir, other, 1<<20, 0, shareTerm)
		if !errors.Is(alone, files.ErrLocked) || !errors.Is(model, files.ErrLocked) ||
			!strings.Contains(model.Error(), "another model") {
			t.Errorf("beside one that shares: %v; %v", alone, model)
		}
		a.Close()
		c, err := OpenStore(sys, sweepDir, small, 1<<20, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenShared(sys, sweepDir, small, 1<<20, 0, shareTerm); !errors.Is(err, files.ErrLocked) {
			t.Errorf("beside one that does not: %v", err)
		}
		c.Close()
	})
}

// saveStopped has a store that shares a directory with another save a turn of 3 tokens, wait, and
// save one of 5, before whose n-th call of the disk its process is stopped. saved gets the outcome.
func saveStopped(t *testing.T, g ground, n int, wait time.Duration) (
	p process, a, b *Store, saved chan error) {
	t.Helper()
	a, p = member(t, g)
	b, _ = member(t, g)
	if _, err := saveTurn(a, "ann", 3); err != nil {
		t.Fatal(err)
	}
	rest()
	time.Sleep(wait)
	p.StopAt(n)
	saved = make(chan error, 1)
	go func() {
		_, err := saveAgain(a, "ann", 5, 5)
		saved <- err
	}()
	synctest.Wait()
	return p, a, b, saved
}

// A store that is stopped before any call of a save, and resumed after another has had the time to
// take over: the one that took over has written, and the other one says that it has not, or the
// other way around. Both have only where the other has found what the stopped one had written. The
// file is the winner's.
func TestShareStopped(t *testing.T) { onBoth(t, testShareStopped) }

func testShareStopped(t *testing.T, fresh func() ground) {
	quiet(t)
	wins, n := map[string]int{}, 1
	_, folder := fresh().(folder)
	for done := false; !done; n++ {
		synctest.Test(t, func(t *testing.T) {
			p, a, b, saved := saveStopped(t, fresh(), n, shareTerm/6) // between two touches
			if done = !p.Stopped(); done {
				p.Resume()
				<-saved
			} else {
				time.Sleep(2 * shareTerm)
				found := tokensOf(b, "ann")
				_, err := saveTurn(b, "ann", 4)
				p.Resume()
				late := <-saved
				rest()
				winner := 4
				if err != nil {
					winner = 5
				}
				taken := errors.Join(err, late)
				if found == 5 { // it was written already, and the other one has gone on from there
					if taken != nil {
						t.Errorf("stopped at call %d, after it had written: %v", n, taken)
					}
				} else if (err == nil) == (late == nil) || !errors.Is(taken, ErrTaken) {
					t.Errorf("stopped at call %d: %v, and %v of the one that was stopped", n, err, late)
				}
				if got := tokensOf(b, "ann"); got != winner {
					t.Errorf("stopped at call %d: %d tokens, want %d", n, got, winner)
				}
				wins[fmt.Sprint(winner)]++
			}
			p.Resume()
			a.Close()
			b.Close()
		})
	}
	t.Logf("stopped before each of %d calls: the other won %d times, the stopped one %d times", n-2,
		wins["4"], wins["5"])
	// In a bucket the other one can always take over.
	if wins["4"] < 5 || wins["5"] < 1 && folder {
		t.Errorf("the test has seen too little: %v", wins)
	}
}

// A store that is killed before any call of a save is not waited for: the next one has the agent at
// once, and finds the old memory or the new one.
//
// In a bucket, from which nobody sees that a process has ended, it is waited for as one that hangs.
func TestShareKilled(t *testing.T) { onBoth(t, testShareKilled) }

func testShareKilled(t *testing.T, fresh func() ground) {
	quiet(t)
	n := 1
	for done := false; !done; n++ {
		synctest.Test(t, func(t *testing.T) {
			g := fresh()
			p, a, b, saved := saveStopped(t, g, n, 0)
			done = !p.Stopped()
			p.Kill()
			err := <-saved
			if _, ok := g.(bucketGround); ok {
				time.Sleep(2 * shareTerm)
			}
			began := time.Now()
			got := tokensOf(b, "ann")
			if got != 3 && got != 5 || err == nil && got != 5 {
				t.Errorf("killed at call %d: %d tokens, although the save said %v", n, got, err)
			}
			if _, err := saveTurn(b, "ann", 7); err != nil || tokensOf(b, "ann") != 7 {
				t.Errorf("killed at call %d: %v", n, err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("killed at call %d: the next one was waited for, for %v", n, took)
			}
			a.Close()
			b.Close()
		})
	}
	if n < 7 {
		t.Errorf("only %d calls", n)
	}
}

// Any call of a save may fail, and the loss of power may follow: what one store has promised the
// other one finds.
func TestShareFaults(t *testing.T) {
	quiet(t)
	for _, kind := range filestest.AllFaults {
		n, calls := 1, 0
		for done := false; !done; n++ {
			synctest.Test(t, func(t *testing.T) {
				sim := filestest.NewSim()
				faults := &filestest.Faults{}
				a := shared(t, &filestest.Tap{System: sim.System(), Before: faults.Before})
				b := shared(t, sim.System())
				_, err := saveTurn(b, "ann", 3)
				if rest(); err != nil {
					t.Fatal(err)
				}
				faults.At = map[int]filestest.Fault{faults.Calls + n: kind}
				before := faults.Calls
				_, err = saveTurn(a, "ann", 5)
				rest()
				calls = faults.Calls - before
				done = n > calls
				got := tokensOf(b, "ann")
				if got != 3 && got != 5 || err == nil && got != 5 {
					t.Errorf("%s at call %d: %d tokens, although the save said %v", kind, n, got, err)
				}
				a.Close()
				b.Close()
				sim.Crash(nil)
				c := shared(t, sim.System())
				if after := tokensOf(c, "ann"); after != 3 && after != 5 || err == nil && after != 5 {
					t.Errorf("%s at call %d and no power: %d tokens, although the save said %v", kind, n,
						after, err)
				}
				if _, err := saveTurn(c, "ann", 7); err != nil {
					t.Errorf("%s at call %d and no power: %v", kind, n, err)
				}
				c.Close()
			})
		}
	}
}

// Any operation on a bucket may fail in any way, and what was asked for may still be done, or done
// long after: what one store has promised the other one finds, and nothing comes in place of what
// the other one has written since.
func TestShareBucketFaults(t *testing.T) {
	quiet(t)
	for _, kind := range objectstest.AllFaults {
		n := 1
		for done := false; !done; n++ {
			synctest.Test(t, func(t *testing.T) {
				g := bucketGround{objectstest.NewMemory()}
				a, pa := member(t, g)
				b, _ := member(t, g)
				_, err := saveTurn(b, "ann", 3)
				if rest(); err != nil {
					t.Fatal(err)
				}
				p := pa.(*objectstest.Process)
				before := p.Calls()
				p.FailAt(n, kind)
				_, err = saveTurn(a, "ann", 5)
				done = n > p.Calls()-before
				rest()
				got := tokensOf(b, "ann")
				if got != 3 && got != 5 || err == nil && got != 5 {
					t.Errorf("%s at call %d: %d tokens, although the save said %v", kind, n, got, err)
				}
				for tries := 1; ; tries++ {
					if _, err := saveTurn(b, "ann", 7); err == nil {
						break
					} else if tries == 10 {
						t.Fatalf("%s at call %d: the other cannot write: %v", kind, n, err)
					}
					time.Sleep(shareTerm / 2)
				}
				p.Settle()
				if time.Sleep(time.Minute); tokensOf(b, "ann") != 7 || tokensOf(a, "ann") != 7 {
					t.Errorf("%s at call %d: after what came late, %d and %d tokens", kind, n,
						tokensOf(a, "ann"), tokensOf(b, "ann"))
				}
				if _, err := saveTurn(a, "ann", 8); err != nil {
					t.Errorf("%s at call %d: its next turn: %v", kind, n, err)
				}
				a.Close()
				b.Close()
				c, _ := member(t, g)
				if got := tokensOf(c, "ann"); got != 8 {
					t.Errorf("%s at call %d: the next start has %d tokens", kind, n, got)
				}
				c.Close()
			})
		}
		if n < 7 {
			t.Errorf("%s: only %d calls", kind, n)
		}
	}
}

// A bucket that is away for a while costs no turn: what was said meanwhile is saved once it is
// back, unless another store has had the agent.
func TestShareAway(t *testing.T) {
	quiet(t)
	for _, taken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := bucketGround{objectstest.NewMemory()}
			a, pa := member(t, g)
			b, _ := member(t, g)
			if _, err := saveTurn(a, "ann", 3); err != nil {
				t.Fatal(err)
			}
			rest()
			p := pa.(*objectstest.Process)
			p.Away(true)
			looked := false
			if err := a.Hold(t.Context(), named("ann"), func() { looked = true }); err != nil || looked {
				t.Errorf("while the bucket is away: %v, looked %v", err, looked)
			}
			snap := NewWriter(a, 1<<20, func() {}).Begin(small.of("ann", 5), make([]int32, 5), true)
			for i := range snap.header.Chunks() {
				snap.Set(i, make([]byte, snap.header.ChunkBytes(i)))
			}
			if err := a.save(snap); !errors.Is(err, objects.ErrAway) || FailureOf(err) != FailedIO {
				t.Errorf("a save meanwhile: %v", err)
			}
			if taken {
				time.Sleep(2 * shareTerm)
				if _, err := saveTurn(b, "ann", 4); err != nil {
					t.Error(err)
				}
				rest()
			}
			p.Away(false)
			time.Sleep(shareTerm)
			err, want := a.save(snap), 5
			if taken {
				want = 4
				if !errors.Is(err, ErrTaken) {
					t.Errorf("another one has had it meanwhile: %v", err)
				}
			} else if err != nil {
				t.Errorf("once it is back: %v", err)
			}
			a.Release(named("ann"))
			rest()
			if got := tokensOf(b, "ann"); got != want {
				t.Errorf("taken %v: %d tokens, want %d", taken, got, want)
			}
			for _, s := range []*Store{a, b} {
				if _, err := saveTurn(s, "ann", 9); err != nil {
					t.Errorf("taken %v: the next turn: %v", taken, err)
				}
				rest()
			}
			a.Close()
			b.Close()
		})
	}
}

// Of two models, the second one to use a bucket is refused, and not once the first has ended,
// although that was killed.
func TestShareBucketExcludes(t *testing.T) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		g := bucketGround{objectstest.NewMemory()}
		a, p := member(t, g)
		other := small
		other.Fingerprint = "another"
		sys, _ := g.start()
		_, err := OpenShared(sys, objects.Root, other, 1<<20, 0, shareTerm)
		if !errors.Is(err, files.ErrLocked) || !strings.Contains(err.Error(), "another model") {
			t.Errorf("beside another model: %v", err)
		}
		if _, err := OpenStore(sys, objects.Root, small, 1<<20, 0); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("alone: %v", err)
		}
		p.Kill()
		b, err := OpenShared(sys, objects.Root, other, 1<<20, 0, shareTerm)
		if err != nil {
			t.Fatalf("after the other model's server was killed: %v", err)
		}
		b.Close()
		a.Close()
	})
}

// Stores that share a directory tag exports with one key, although one of them is stopped before
// any call that it makes for it, while the other one needs it, too.
func TestShareExportKey(t *testing.T) { onBoth(t, testShareExportKey) }

func testShareExportKey(t *testing.T, fresh func() ground) {
	n := 1
	for done := false; !done; n++ {
		synctest.Test(t, func(t *testing.T) {
			g := fresh()
			a, p := member(t, g)
			b, _ := member(t, g)
			key := func(s *Store) string {
				keys, err := s.tagKeys()
				if err != nil {
					return err.Error()
				}
				return fmt.Sprintf("%x", keys)
			}
			p.StopAt(n)
			first := make(chan string, 1)
			go func() { first <- key(a) }()
			synctest.Wait()
			done = !p.Stopped()
			second := key(b)
			p.Resume()
			if strings.Contains(second, files.ErrLocked.Error()) { // the one that is stopped had the lock
				second = key(b)
			}
			c, _ := member(t, g)
			if first := <-first; first != second || len(first) != 2*tagBytes+2 || key(c) != first {
				t.Errorf("stopped before call %d: the keys are %s, %s and %s", n, first, second, key(c))
			}
			a.Close()
			b.Close()
			c.Close()
		})
	}
	if n < 5 {
		t.Errorf("a key was made in %d calls, without one of them seen", n-2)
	}
}

// The quota counts what all have written, and takes no memory that another one is at work with or
// has used meanwhile.
func TestShareQuota(t *testing.T) { onBoth(t, testShareQuota) }

func testShareQuota(t *testing.T, fresh func() ground) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		g := fresh()
		a, _ := member(t, g)
		b, _ := member(t, g)
		for _, agent := range []string{"old", "used", "busy"} {
			if _, err := saveTurn(a, agent, 9); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		rest()
		b.Touch(named("used"))
		if err := b.Hold(t.Context(), named("busy"), func() {}); err != nil {
			t.Fatal(err)
		}
		a.mu.Lock()
		a.quota = 1
		a.mu.Unlock()
		a.Refresh()
		a.Refresh()
		var left []string
		for _, agent := range []string{"old", "used", "busy"} {
			if tokensOf(a, agent) != none {
				left = append(left, agent)
			}
		}
		if strings.Join(left, " ") != "busy" {
			t.Errorf("left with a quota of a byte: %v", left)
		}
		b.Release(named("busy"))
		a.Close()
		b.Close()
	})
}

// BenchmarkHold measures what a shared directory costs a turn: an agent's lease is taken and given
// back.
func BenchmarkHold(b *testing.B) {
	s, err := OpenShared(files.OS{}, b.TempDir(), small, 1<<20, 0, shareTerm)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Hold(b.Context(), named("ann"), func() {}); err != nil {
			b.Fatal(err)
		}
		s.share.mu.Lock()
		h := s.share.holds[named("ann")]
		h.n--
		s.share.mu.Unlock()
		s.yield(named("ann"), h)
	}
}
