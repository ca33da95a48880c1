package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The metamorphic test: one list of operations must get the same answers, token for token, from engines that could not
// be set up more differently, because the answer to a request depends on its tokens and its seed alone. The fake model's
// answers depend on every token before them as its paged memory has it, and are known without an engine.

// setups are engines, each with one thing taken to its extreme.
var setups = []struct {
	name     string
	cfg      Config // KVBytes counts tokens
	roomy    bool   // nothing may be refused
	badHash  bool   // all blocks have one hash
	forgetty bool   // every memory is evicted after each turn
	warm     bool   // memories are kept on disk
	portion  int    // bytes that go there at a time; with a real network times what a token takes
	restarts bool   // the engine ends, by a crash or not, between any two steps, and everybody asks for the rest
}{
	{name: "roomy", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 64, MaxQueue: 1000}, roomy: true},
	{name: "batch of one", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 1, StepTokens: 64, MaxQueue: 1000}, roomy: true},
	{name: "one token a step", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 1, MaxQueue: 1000}, roomy: true},
	{name: "odd chunks", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 5, StepTokens: 7, MaxQueue: 1000}, roomy: true},
	{name: "blocks of 1", cfg: Config{KVBytes: 1 << 12, BlockTokens: 1, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000}, roomy: true},
	{name: "blocks of 32", cfg: Config{KVBytes: 1 << 12, BlockTokens: 32, MaxBatch: 8, StepTokens: 24, MaxQueue: 1000}, roomy: true},
	{name: "tiny pool", cfg: Config{KVBytes: 200, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000}},
	{name: "tiny pool, blocks of 1", cfg: Config{KVBytes: 150, BlockTokens: 1, MaxBatch: 8, StepTokens: 9, MaxQueue: 1000}},
	{name: "tiny pool, blocks of 32", cfg: Config{KVBytes: 256, BlockTokens: 32, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000}},
	{name: "every hash equal", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000}, badHash: true},
	{name: "warm", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000, SaveAfter: time.Hour}, roomy: true, warm: true, portion: 1 << 20},
	{name: "warm, tiny pool", cfg: Config{KVBytes: 200, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000, SaveAfter: time.Hour}, warm: true, portion: 6},
	{name: "warm, tiny pool, one token a step", cfg: Config{KVBytes: 170, BlockTokens: 4, MaxBatch: 8, StepTokens: 1, MaxQueue: 1000, SaveAfter: time.Hour}, warm: true, portion: 6},
	{name: "warm, eager", cfg: Config{KVBytes: 200, BlockTokens: 1, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000, SaveAfter: 1, DiskBytes: 6000}, warm: true, portion: 1},
	{name: "warm, no pool", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000, SaveAfter: time.Hour}, forgetty: true, warm: true, portion: 9},
	{name: "restarts", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 64, MaxQueue: 1000, SaveAfter: 1}, roomy: true, warm: true, portion: 1 << 20, restarts: true},
	{name: "no memory", cfg: Config{KVBytes: 1 << 12, BlockTokens: 4, MaxBatch: 8, StepTokens: 16, MaxQueue: 1000}, forgetty: true},
}

// An asked is a request and what is known of it.
type asked struct {
	op      op
	request Request
	want    []int32
	stream  *Stream
	cancel  context.CancelFunc
	id      uint64
	got     []int32
	ended   bool // the stream is closed
	left    bool // its client has cancelled
	killed  bool // with its engine
}

// read takes what there is of the answer.
func (a *asked) read() {
	for !a.ended {
		select {
		case tok, open := <-a.stream.Tokens():
			if !open {
				a.ended = true
				break
			}
			a.got = append(a.got, tok.ID)
		default:
			return
		}
	}
}

// A trial is an engine under a list of operations. Its turns are made by the trial, so it is deterministic.
type trial struct {
	*subject
	e       *Engine
	model   *failing
	fails   bool       // a step is to fail, or has failed
	history [8][]int32 // each agent's conversation as the requests say it went, whatever became of them
	asked   []*asked
	refused int
	setup   int
	dir     string
	began   int // requests asked of engines before this one
	quit    bool
	ending  bool // the engine ends
	turns   int  // until the next restart
	boots   int
}

// boot starts an engine, on what the last one left on disk.
func (tr *trial) boot() (err error) {
	s := setups[tr.setup]
	m, err := tr.open()
	if err != nil {
		return err
	}
	tr.model = &failing{Model: m}
	s.cfg.Model = tr.model
	s.cfg.KVBytes *= int64(tokenBytes(m))
	if s.warm {
		s.cfg.Dir = tr.dir
	}
	if tr.e, err = newEngine(s.cfg); err != nil {
		return err
	}
	if s.warm {
		tr.e.warm.portion = s.portion
		if s.portion > 1 {
			tr.e.warm.portion = min(s.portion*tokenBytes(m), 1<<20)
		}
	}
	if s.badHash {
		tr.e.sched.store.index.sum = func(uint64, []int32) uint64 { return 42 }
	}
	// Steps take what this says, so that how prompts are cut depends on the list of operations alone.
	var now time.Time
	steps := rand.New(rand.NewPCG(uint64(len(tr.asked)), 3))
	tr.e.pace.clock = func() time.Time {
		now = now.Add(time.Duration(steps.IntN(1000)))
		return now
	}
	tr.began = len(tr.asked)
	tr.boots++
	tr.turns = tr.boots + steps.IntN(8) // later and later, or an answer that has to begin anew would never be done
	return nil
}

// halt ends the engine: as Close does, or as a crash would.
func (tr *trial) halt(crash bool) {
	tr.ending = true
	defer func() { tr.ending = false }()
	if crash {
		for _, a := range tr.asked[tr.began:] {
			a.read()
			a.killed = !a.ended
		}
		for len(tr.e.restores) > 0 {
			tr.e.endRestore(tr.e.restores[0])
		}
	} else {
		tr.e.door.shut(true)
		for tr.turn() {
		}
	}
	if w := tr.e.warm; w != nil {
		if !crash {
			w.close(func() { w.writer.step() })
			for w.writer.step() {
			}
		}
		w.fetches.Wait()
		w.shelf.close()
	}
	tr.model.Close()
}

// restart ends the engine and has a new one answer what the old one did not: the rest of an answer where the tokens say
// it all, and all of it where draws were made.
func (tr *trial) restart() error {
	var open []*asked
	for _, a := range tr.asked[tr.began:] {
		if a.read(); !a.ended && !a.left {
			open = append(open, a)
		}
	}
	tr.halt(tr.boots%2 == 0)
	if err := tr.boot(); err != nil {
		return err
	}
	for _, a := range open {
		a.killed = true
		r := a.request
		want := a.want
		if r.Sampling.Temperature == 0 && len(a.got) < r.MaxTokens {
			r.Prompt, r.MaxTokens, want = slices.Concat(r.Prompt, a.got), r.MaxTokens-len(a.got), want[len(a.got):]
		}
		if err := tr.submit(a.op, r, want); err != nil {
			return err
		}
	}
	return nil
}

// try runs ops and says what is wrong with the answers.
func try(on *subject, ops []op, setup int) (err error) {
	s := setups[setup]
	dir, err := os.MkdirTemp("", "meta-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tr := &trial{subject: on, setup: setup, dir: dir}
	if err := tr.boot(); err != nil {
		return err
	}
	defer func() { tr.model.Close() }()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for _, o := range ops {
		if err := tr.apply(o); err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		if s.forgetty {
			tr.forgetAll()
		}
	}
	for tr.turn() {
	}
	if s.roomy && tr.refused > 0 {
		return fmt.Errorf("%d requests were refused", tr.refused)
	}
	return tr.verdict()
}

func (tr *trial) turn() bool {
	if tr.turns--; tr.turns < 0 && setups[tr.setup].restarts && !tr.quit && !tr.ending {
		if err := tr.restart(); err != nil {
			panic(err)
		}
	}
	more := tr.e.turn()
	if !invariants { // else it has
		tr.e.sched.check()
	}
	for _, r := range tr.e.restores { // as if the disk took no time, so that a list of operations always does the same
		for len(r.parts) == 0 {
			<-tr.e.door.wake
		}
		more = true
	}
	if tr.e.warm != nil && setups[tr.setup].portion == 1 {
		tr.e.warm.writer.step()
	}
	return more
}

func (tr *trial) apply(o op) error {
	text := tr.history[o.who]
	switch o.verb {
	case "new": // a system prompt that some share, and more
		text = slices.Concat(tr.ids(count(o.seed%3, o.at)), tr.ids(tokens(o.seed, o.n)))
	case "more":
		text = slices.Concat(text, tr.ids(tokens(o.seed, o.n)))
	case "edit":
		text = slices.Concat(text[:min(o.at, len(text))], tr.ids(tokens(o.seed, o.n)))
	case "again": // as a client retries; a prompt that may be in the cache to its end
		if len(text) == 0 {
			return nil
		}
	case "turns":
		for range o.at {
			tr.turn()
		}
		return nil
	case "cancel":
		for _, a := range slices.Backward(tr.asked) {
			if a.op.who == o.who && !a.killed {
				a.cancel()
				a.left = true
				// What AfterFunc does in its own time.
				tr.e.door.leave(a.id, context.Canceled)
				break
			}
		}
		return nil
	case "fail", "panic":
		tr.fails = true
		tr.model.next = func() error {
			if o.verb == "panic" {
				panic("injected")
			}
			return errors.New("injected")
		}
		return nil
	case "save":
		if w := tr.e.warm; w != nil {
			w.flush(func() { w.writer.step() })
			for w.writer.step() {
			}
		}
		return nil
	case "restart", "kill":
		if !setups[tr.setup].warm || tr.quit {
			return nil
		}
		tr.halt(o.verb == "kill")
		return tr.boot()
	case "evict": // as if others needed the room
		st := &tr.e.sched.store
		for m := st.agents[fmt.Sprint("agent", o.who)]; m != nil; m = st.agents[m.agent] {
			st.cut(m)
		}
		return nil
	case "delete":
		name := fmt.Sprint("agent", o.who)
		tr.e.forgetHot(name)
		if w := tr.e.warm; w != nil {
			w.writer.drop(name)
			w.shelf.remove(name)
		}
		return nil
	case "quit":
		tr.quit = true
		tr.e.door.shut(true)
		return nil
	default:
		return errors.New("unknown verb")
	}
	if len(text) > 120 {
		text = text[:len(text)%20+1]
	}
	return tr.ask(o, text)
}

func (tr *trial) ask(o op, text []int32) error {
	r := Request{Prompt: text, MaxTokens: o.most, Sampling: Sampling{Temperature: o.temp, TopK: o.seed % 4, Seed: uint64(o.seed)}}
	if o.who > 0 {
		r.Agent = fmt.Sprint("agent", o.who)
	}
	if o.seed%5 == 0 && tr.excuse == nil {
		r.Stop = []int32{int32(o.seed%fakeVocab) + tr.shift}
	}
	if tr.excuse != nil { // draws are all or nothing
		r.Sampling = Sampling{}
	}
	want := tr.foretell(r)
	tr.history[o.who] = slices.Concat(text, want)
	return tr.submit(o, r, want)
}

// ids makes a subject's tokens of the fake's.
func (tr *trial) ids(tokens []int32) []int32 {
	for i := range tokens {
		tokens[i] += tr.shift
	}
	return tokens
}

func (tr *trial) submit(o op, r Request, want []int32) error {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := tr.e.Submit(ctx, r)
	if err != nil {
		cancel()
		if _, full := errors.AsType[*PoolError](err); full || err == ErrDraining {
			tr.refused++
			return nil
		}
		return err
	}
	tr.asked = append(tr.asked, &asked{id: tr.e.door.last, op: o, request: r, want: want, stream: stream, cancel: cancel})
	return nil
}

// forgetAll evicts every memory.
func (tr *trial) forgetAll() {
	st := &tr.e.sched.store
	for e := st.used.Front(); e != nil; e = st.used.Front() {
		st.cut(e.Value.(*memory))
	}
}

// verdict compares what was answered with what had to be, and looks for anything left behind.
func (tr *trial) verdict() error {
	for _, a := range tr.asked {
		if err := tr.judge(a); err != nil {
			return err
		}
	}
	if st := tr.e.Stats(); st.Used != 0 || st.Queued != 0 || st.Cached+st.Free != st.Blocks || st.LocalUsed != 0 || st.LocalCached+st.LocalFree != st.Locals {
		return fmt.Errorf("something is left: %+v", st)
	}
	tr.halt(false)
	tr.forgetAll()
	tr.e.sched.check()
	if l := &tr.e.sched.store.local; l.tally[byNobody] != tr.e.layout.locals || l.used != 0 {
		return fmt.Errorf("%d of %d locals are free and %d used after everything was forgotten", l.tally[byNobody], tr.e.layout.locals, l.used)
	}
	if free := len(tr.e.sched.store.pool.free); free != tr.e.layout.blocks {
		return fmt.Errorf("%d of %d blocks are free after everything was forgotten", free, tr.e.layout.blocks)
	}
	return nil
}

// judge compares an answer with what it had to be.
func (tr *trial) judge(a *asked) error {
	a.read()
	if n := common(a.got, a.want); n < len(a.got) {
		err := fmt.Errorf("want %v", a.want)
		if tr.excuse != nil {
			err = tr.excuse(a.request, a.got)
		}
		if err != nil {
			return fmt.Errorf("%v: answer %v: %w", a.op, a.got, err)
		}
	}
	if a.killed {
		return nil
	}
	if !a.ended {
		return fmt.Errorf("%v: never ended", a.op)
	}
	r := a.stream.Result()
	whole := r.Finish == FinishLength || r.Finish == FinishStop
	switch {
	case whole && len(a.got) != len(a.want):
		return fmt.Errorf("%v: answer %v, want %v; %+v", a.op, a.got, a.want, r)
	case r.Finish == FinishError && (!tr.fails || !strings.Contains(r.Err.Error(), "injected")):
		return fmt.Errorf("%v: %w", a.op, r.Err)
	case whole && (r.OutputTokens != len(a.got) || r.PromptTokens != len(a.request.Prompt) || r.CachedTokens >= r.PromptTokens):
		return fmt.Errorf("%v: result %+v for %d tokens", a.op, r, len(a.got))
	}
	return nil
}

func tokens(seed, n int) []int32 {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(fakeVocab)
	}
	return ids
}

// TestMetamorphicKept runs the lists in testdata/meta.
func TestMetamorphicKept(t *testing.T) {
	files, err := filepath.Glob("testdata/meta/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ops, err := parseOps(string(text))
			if err != nil {
				t.Fatal(err)
			}
			check(t, theFake, ops)
			check(t, sliding(9), ops)
		})
	}
}

func FuzzMetamorphic(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	subjects := []*subject{theFake, sliding(9), theFake, sliding(1), sliding(20), sliding(6)}
	f.Fuzz(func(t *testing.T, seed uint64) { check(t, subjects[seed%uint64(len(subjects))], generate(seed)) })
}

// The networks that users run, with shorter lists.
func TestMetamorphicReal(t *testing.T) {
	t.Run("ref", func(t *testing.T) {
		lists := uint64(3)
		if invariants { // which take their time
			lists = 1
		}
		for seed := range lists {
			check(t, onRef(t, "f32"), generate(seed)[:20])
		}
	})
	// Each token's vectors are quantised by themselves, so this is as exact.
	formats := []string{"f16", "q8", "q4"}
	if invariants {
		formats = formats[2:]
	}
	for _, kv := range formats {
		t.Run("ref "+kv, func(t *testing.T) { check(t, onRef(t, kv), generate(1)[:20]) })
	}
	t.Run("metal", func(t *testing.T) {
		// The one network with float32 weights; it makes much of little on purpose, see TestRefMatchesMLX in server/service.
		const chaotic = 1e-2
		for seed := range uint64(2) {
			check(t, onMetal(t, "tiny", chaotic), generate(seed)[:20])
		}
	})
	for _, model := range []string{"smollm2", "gemma3-270m"} {
		t.Run(model, func(t *testing.T) {
			on := onMetal(t, model, 0)
			on.only = []string{"roomy", "batch of one", "odd chunks", "tiny pool", "restarts"}
			check(t, on, generate(2)[:8])
		})
	}
}
