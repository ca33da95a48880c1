package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files/filestest"
)

// A faultyModel is a fake of which one call fails.
type faultyModel struct {
	*fakeModel
	at    int          // the call that fails, from 1; 0: none
	fault func() error // what happens then
	calls []string     // the names of those made
	hit   int          // sequences in the step that failed
}

var errDevice = errors.New("device lost")

// The ways in which a call fails. A call that hangs ends well after all.
var modelFaults = map[string]func() error{
	"error": func() error { return errDevice },
	"panic": func() error { panic(errDevice) },
	"hang":  func() error { time.Sleep(5 * time.Minute); return nil },
}

func (m *faultyModel) call(name string) error {
	if m.calls = append(m.calls, name); len(m.calls) == m.at {
		return m.fault()
	}
	return nil
}

func (m *faultyModel) Step(tokens, lens, starts, tables, windowSlots, rows []int32,
	logits []float32, picks, best []int32) error {
	if len(m.calls)+1 == m.at {
		m.hit = len(lens)
	}
	if err := m.call("Step"); err != nil {
		return err
	}
	return m.fakeModel.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

func (m *faultyModel) CopyKV(dst, src, dstWindow, srcWindow, tokens int) error {
	if err := m.call("CopyKV"); err != nil {
		return err
	}
	return m.fakeModel.CopyKV(dst, src, dstWindow, srcWindow, tokens)
}

func (m *faultyModel) ReadKV(block, window, tokens int, dst []byte) error {
	if err := m.call("ReadKV"); err != nil {
		return err
	}
	return m.fakeModel.ReadKV(block, window, tokens, dst)
}

func (m *faultyModel) WriteKV(block, window, tokens int, src []byte) error {
	if err := m.call("WriteKV"); err != nil {
		return err
	}
	return m.fakeModel.WriteKV(block, window, tokens, src)
}

// An outcome is how a request of an episode ended.
type outcome struct {
	request Request
	refused error // by Submit
	answer  []int32
	result  Result
}

// An episode is what agents do with an engine: shared beginnings, turns that go on and that fork,
// drafts, random draws, memories that are evicted, saved and restored, a restart.
type episode struct {
	t        *testing.T
	cfg      Config
	e        *Engine
	outcomes []outcome
}

// start starts an engine on the episode's files. It returns false where the pool is too small for
// one.
func (ep *episode) start() bool {
	e, err := New(ep.cfg)
	if err != nil {
		return false
	}
	ep.e = e
	return true
}

// ask puts requests to the engine that run together, and waits until they have ended and the
// memories rest.
func (ep *episode) ask(requests ...Request) {
	streams := make([]*Stream, len(requests))
	for i, r := range requests {
		o := outcome{request: r}
		streams[i], o.refused = ep.e.Submit(ep.t.Context(), r)
		ep.outcomes = append(ep.outcomes, o)
	}
	for i, s := range streams {
		if s == nil {
			continue
		}
		o := &ep.outcomes[len(ep.outcomes)-len(streams)+i]
		o.answer, o.result = drainTokens(s), s.Result()
	}
	time.Sleep(10 * time.Minute) // memories are saved, also those that are tried again
	synctest.Wait()
}

// run runs the episode. after is called before each restart and at the end.
func (ep *episode) run(after func()) {
	if !ep.start() {
		return
	}
	begin := count(1, 13)
	ann := Request{Agent: "ann", Prompt: begin, MaxTokens: 6}
	bob := Request{Agent: "bob", Prompt: slices.Concat(begin[:8], count(30, 4)), MaxTokens: 5,
		Sampling: Sampling{Temperature: 1, Seed: 7}}
	nobody := Request{Prompt: slices.Concat(begin[:8], count(40, 3)), MaxTokens: 4, Stop: []int32{3}}
	ep.ask(ann, bob, nobody)
	again := ann
	again.Prompt = slices.Concat(begin, foretellBy(parrot, ann), count(9, 3))
	fork := bob
	fork.Prompt = slices.Concat(bob.Prompt[:10], count(50, 3)) // copies a part of a block
	ep.ask(again, fork)
	long := Request{Agent: "eve", Prompt: count(5, 30), MaxTokens: 20, SureTokens: 2}
	ep.ask(long, Request{Agent: "joe", Prompt: count(8, 24), MaxTokens: 6})
	ep.ask(again, fork) // what was evicted is restored
	after()
	ep.e.Close()
	if !ep.start() {
		return
	}
	ep.ask(again, Request{Agent: "joe", Prompt: count(8, 29), MaxTokens: 3})
	after()
	ep.e.Close()
}

// newEpisode returns an episode on a pool of so many blocks and a disk in memory.
func newEpisode(t *testing.T, m Model, blocks int) *episode {
	global, window := m.KVBytesPerToken()
	return &episode{t: t, cfg: Config{Model: m, KVBytes: int64(blocks * 4 * (global + window)),
		BlockTokens: 4, StepTokens: 8, MaxBatch: 3, Dir: "agents", Fingerprint: "fake",
		Files: filestest.NewSim().System()}}
}

// conserved fails the test where something is lost: see atRest.
func (ep *episode) conserved(what string) {
	ep.t.Helper()
	atRest(ep.t, ep.e)
	done := make(chan struct{})
	ep.e.mailbox.call(func() { ep.e.sched.check(); close(done) })
	<-done
	if st := ep.e.Stats(); ep.t.Failed() {
		ep.t.Fatalf("%s: %+v", what, st)
	}
}

// roomy is a pool of so many blocks that the episode evicts memories and no answer is cut.
const roomy = 22

// quiet leaves the log out until the test ends.
func quiet(t testing.TB) {
	logs := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(logs) })
}

// TestModelSweep has each call of the model in an episode fail in each way: a step, a copy, and a
// block that is saved or restored. An error or a panic costs the requests of that step or of that
// restore, which have a *ModelError, and no other; a save is tried again. A call that hangs is seen
// from outside, and costs nobody anything once it ends. All else is answered as ever, nothing of
// the pool is lost, and the next request works.
func TestModelSweep(t *testing.T) {
	quiet(t) // each fault is an error in the log
	for _, window := range []int{0, 9} {
		model := func() *fakeModel {
			m := newFake()
			m.window, m.next = window, parrot
			return m
		}
		sound := &faultyModel{fakeModel: model()}
		synctest.Test(t, func(t *testing.T) {
			ep := newEpisode(t, sound, roomy)
			ep.run(func() { ep.conserved("without a fault") })
			ep.judge(0)
		})
		of := map[string]int{}
		for _, name := range sound.calls {
			of[name]++
		}
		t.Logf("window %d: %d calls: %v", window, len(sound.calls), of)
		if len(of) != 4 {
			t.Errorf("the episode does not make every call: %v", of)
		}
		for _, name := range slices.Sorted(maps.Keys(modelFaults)) {
			for n := 1; n <= len(sound.calls); n++ {
				m := &faultyModel{fakeModel: model(), at: n, fault: modelFaults[name]}
				what := fmt.Sprintf("window %d, %s at call %d, %s", window, name, n, sound.calls[n-1])
				if !t.Run(what, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { sweepModel(t, m, name, what) })
				}) {
					return
				}
			}
		}
	}
}

func sweepModel(t *testing.T, m *faultyModel, fault, what string) {
	ep, n := newEpisode(t, m, roomy), m.at
	stuck, over := time.Duration(0), make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Second):
				if ep.e != nil {
					stuck = max(stuck, ep.e.Stuck())
				}
			}
		}
	}()
	ep.run(func() { ep.conserved(what) })
	close(over)
	synctest.Wait()
	if len(m.calls) < n { // restores come between other steps in each run, so their number varies
		ep.judge(0)
		return
	}
	if fault == "hang" {
		if ep.judge(0); stuck < 4*time.Minute {
			t.Errorf("the engine was seen to be stuck for %v at most", stuck)
		}
		return
	}
	// A copy comes before the step of the sequence that needs it, and costs that step.
	failed := map[string]int{"Step": m.hit, "CopyKV": -1, "ReadKV": 0, "WriteKV": 1}
	ep.judge(failed[m.calls[n-1]])
}

// judge checks that so many requests have failed, together, and that the others were answered as
// ever. -1 stands for those of one step.
func (ep *episode) judge(failed int) {
	ep.t.Helper()
	n, together := 0, 0
	for i, o := range ep.outcomes {
		want := foretellBy(parrot, o.request)
		switch err := (*ModelError)(nil); {
		case o.refused != nil:
			ep.t.Errorf("request %d is refused: %v", i, o.refused)
		case errors.As(o.result.Err, &err):
			n, together = n+1, err.Requests
			if !errors.Is(err, errDevice) && !strings.Contains(err.Error(), errDevice.Error()) {
				ep.t.Errorf("request %d: %v", i, err)
			}
			if len(o.answer) > len(want) || !slices.Equal(o.answer, want[:len(o.answer)]) {
				ep.t.Errorf("request %d failed after %v, want a part of %v", i, o.answer, want)
			}
		case o.result.Err != nil || !slices.Equal(o.answer, want):
			ep.t.Errorf("request %d: %v, %+v, want %v", i, o.answer, o.result, want)
		}
	}
	if failed == -1 && n > 0 {
		failed = together
	}
	if n != failed || n > 0 && together != n {
		ep.t.Errorf("%d requests failed, each of %d; want %d", n, together, failed)
	}
}

// TestPoolSweep runs the episode on a pool of every size, from one in which nothing fits to one in
// which nothing is evicted, so that each time another allocation is the first without room. A
// request is answered as ever, or refused with a *PoolError, or, where it was promised no more,
// ends early with FinishLength; nothing fails and nothing is lost.
func TestPoolSweep(t *testing.T) {
	for _, window := range []int{0, 9} {
		refused, cut, whole, engines := 0, 0, 0, 0
		for blocks := 1; blocks <= 80; blocks++ {
			synctest.Test(t, func(t *testing.T) {
				m := newFake()
				m.window, m.next = window, parrot
				ep := newEpisode(t, m, blocks)
				ep.run(func() { engines++; ep.conserved(fmt.Sprintf("%d blocks, window %d", blocks, window)) })
				for i, o := range ep.outcomes {
					want, err := foretellBy(parrot, o.request), (*PoolError)(nil)
					switch {
					case errors.As(o.refused, &err):
						refused++
					case o.refused != nil || o.result.Err != nil:
						t.Errorf("%d blocks, window %d, request %d: %v, %v", blocks, window, i, o.refused, o.result.Err)
					case slices.Equal(o.answer, want):
						whole++
					case o.request.SureTokens > 0 && o.result.Finish == FinishLength &&
						len(o.answer) >= o.request.SureTokens && slices.Equal(o.answer, want[:len(o.answer)]):
						cut++
					default:
						t.Errorf("%d blocks, window %d, request %d: %v, %+v, want %v", blocks, window, i, o.answer, o.result, want)
					}
				}
			})
		}
		t.Logf("window %d: %d engines; %d requests answered, %d cut, %d refused", window, engines, whole, cut, refused)
		if refused == 0 || cut == 0 || whole == 0 {
			t.Errorf("window %d: the sweep does not meet every end: %d, %d, %d", window, refused, cut, whole)
		}
	}
}
