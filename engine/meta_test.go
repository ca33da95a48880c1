package engine

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/ref/oracle"
	"loadstone/metal"
)

// The metamorphic test: one list of operations must get the same answers, token for token, from
// engines that are set up as differently as possible, because the answer to a request depends on
// its tokens and its seed alone. The fake model's answers depend on every token before them as
// its paged memory has it, and are known without an engine.

// roomyPool is the KVBytes, counted in tokens, of setups in which everything has room.
const roomyPool = 1 << 12

// setups are engines, each with one thing taken to its extreme.
var setups = []struct {
	name     string
	cfg      Config // KVBytes counts tokens; MaxQueue is 1000, MaxBatch 8 where it is 0
	roomy    bool   // nothing may be refused
	badHash  bool   // all blocks have one hash
	forgetty bool   // every memory is evicted after each operation
	disk     bool   // memories are kept on disk
	portion  int    // bytes that are copied there at a time; times the bytes of a token if above 1
	// The engine ends, by a crash or not, between any two steps, and clients ask again for the
	// rest.
	restarts bool
	share    float64 // of the pool, for each of the two principals; 0: no bound
}{
	{name: "roomy", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 64}, roomy: true},
	{name: "batch of one", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, MaxBatch: 1,
		StepTokens: 64},
		roomy: true},
	{name: "one token a step", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 1},
		roomy: true},
	{name: "odd chunks", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, MaxBatch: 5,
		StepTokens: 7},
		roomy: true},
	{name: "blocks of 1", cfg: Config{KVBytes: roomyPool, BlockTokens: 1, StepTokens: 16},
		roomy: true},
	{name: "blocks of 32", cfg: Config{KVBytes: roomyPool, BlockTokens: 32, StepTokens: 24},
		roomy: true},
	{name: "tiny pool", cfg: Config{KVBytes: 200, BlockTokens: 4, StepTokens: 16}},
	{name: "tiny pool, blocks of 1", cfg: Config{KVBytes: 150, BlockTokens: 1, StepTokens: 9}},
	{name: "tiny pool, blocks of 32", cfg: Config{KVBytes: 256, BlockTokens: 32, StepTokens: 16}},
	{name: "every hash equal", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 16},
		badHash: true},
	{name: "disk",
		cfg:   Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 16, SaveAfter: time.Hour},
		roomy: true, disk: true, portion: 1 << 20},
	{name: "disk, tiny pool",
		cfg:  Config{KVBytes: 200, BlockTokens: 4, StepTokens: 16, SaveAfter: time.Hour},
		disk: true, portion: 6},
	{name: "disk, tiny pool, one token a step",
		cfg:  Config{KVBytes: 170, BlockTokens: 4, StepTokens: 1, SaveAfter: time.Hour},
		disk: true, portion: 6},
	{name: "disk, eager",
		cfg:  Config{KVBytes: 200, BlockTokens: 1, StepTokens: 16, SaveAfter: 1, DiskBytes: 6000},
		disk: true, portion: 1},
	{name: "disk, at once",
		cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 16, SaveAfter: time.Hour,
			SaveWithin: 1},
		roomy: true, disk: true, portion: 5},
	{name: "disk, tiny pool, at once",
		cfg: Config{KVBytes: 200, BlockTokens: 4, StepTokens: 7, SaveAfter: time.Hour,
			SaveWithin: 1},
		disk: true, portion: 2},
	{name: "disk, tiny pool, never of itself",
		cfg: Config{KVBytes: 200, BlockTokens: 4, StepTokens: 16, SaveAfter: time.Hour,
			SaveWithin: time.Hour},
		disk: true, portion: 6},
	{name: "restarts, at once", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 64,
		SaveAfter: time.Hour, SaveWithin: 1},
		roomy: true, disk: true, portion: 3, restarts: true},
	{name: "disk, no pool",
		cfg:      Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 16, SaveAfter: time.Hour},
		forgetty: true, disk: true, portion: 9},
	{name: "restarts", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 64,
		SaveAfter: 1},
		roomy: true, disk: true, portion: 1 << 20, restarts: true},
	{name: "shares", cfg: Config{KVBytes: 400, BlockTokens: 4, StepTokens: 16}, share: 0.5},
	{name: "shares, disk",
		cfg:  Config{KVBytes: 400, BlockTokens: 4, StepTokens: 16, SaveAfter: 1},
		disk: true, portion: 6, share: 0.4},
	{name: "no memory", cfg: Config{KVBytes: roomyPool, BlockTokens: 4, StepTokens: 16},
		forgetty: true},
}

// A submission is a request and what is known of it.
type submission struct {
	op      op
	request Request
	want    foretold
	stream  *Stream
	cancel  context.CancelFunc
	id      uint64
	got     []int32
	probs   [][]Logprob
	ended   bool // the stream is closed
	left    bool // its client has cancelled
	killed  bool // with its engine
}

// read takes what there is of the answer.
func (a *submission) read() {
	for !a.ended {
		select {
		case tok, open := <-a.stream.Tokens():
			if !open {
				a.ended = true
				break
			}
			a.take(tok)
		default:
			if a.stream.result.Finish == "" {
				return
			}
			for tok := range a.stream.Tokens() { // a goroutine hands over what was kept
				a.take(tok)
			}
			a.ended = true
		}
	}
}

func (a *submission) take(t Token) {
	a.got, a.probs = append(a.got, t.ID), append(a.probs, t.Logprobs)
}

// determined reports whether what is left of an answer follows from the tokens before it.
func determined(r *Request) bool {
	s := &r.Sampling
	return s.Temperature == 0 && r.Mask == nil && s.Presence == 0 && s.Frequency == 0
}

// A trial is an engine under a list of operations. The trial makes the engine's iterations, so it
// is deterministic.
type trial struct {
	*network
	e        *Engine
	model    *failing
	fails    bool       // a step is to fail, or has failed
	history  [8][]int32 // each agent's conversation as its requests say, whatever became of them
	requests []*submission
	refused  int
	setup    int
	dir      string
	began    int // requests to engines before this one
	quit     bool
	ending   bool // the engine ends
	life     int  // iterations until the next restart
	boots    int
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
	s.cfg.MaxBatch, s.cfg.MaxQueue = cmp.Or(s.cfg.MaxBatch, 8), 1000
	if s.disk {
		s.cfg.Dir = tr.dir
	}
	if tr.e, err = newEngine(s.cfg); err != nil {
		return err
	}
	if s.disk {
		tr.e.disk.portionBytes = s.portion
		if s.portion > 1 {
			tr.e.disk.portionBytes = min(s.portion*tokenBytes(m), 1<<20)
		}
	}
	if s.share > 0 {
		l := tr.e.partOfPool(int64(s.share * float64(s.cfg.KVBytes)))
		limits := map[string]kv.Limit{"": l, PrincipalID("second"): l}
		tr.e.mailbox.setShares(map[string]Share{"": {}, PrincipalID("second"): {}}, limits)
		tr.e.sched.store.SetLimits(limits)
		tr.e.sched.principals = 2
	}
	if s.badHash {
		tr.e.sched.store.SetHash(func(uint64, []int32) uint64 { return 42 })
	}
	// The clock says how long steps take, so that the size of chunks depends on the list of
	// operations alone.
	var now time.Time
	steps := rand.New(rand.NewPCG(uint64(len(tr.requests)), 3))
	tr.e.pace.clock = func() time.Time {
		now = now.Add(time.Duration(steps.IntN(1000)))
		return now
	}
	tr.began = len(tr.requests)
	tr.boots++
	// It restarts later and later, or an answer that begins anew would never end.
	tr.life = tr.boots + steps.IntN(8)
	return nil
}

// halt ends the engine: as Close does, or as a crash would.
func (tr *trial) halt(crash bool) {
	tr.ending = true
	defer func() { tr.ending = false }()
	if crash {
		for _, a := range tr.requests[tr.began:] {
			a.read()
			a.killed = !a.ended
		}
		for len(tr.e.restores) > 0 {
			tr.e.endRestore(tr.e.restores[0])
		}
	} else {
		tr.e.mailbox.close(true)
		for tr.iterate() {
		}
	}
	if w := tr.e.disk; w != nil {
		if !crash {
			w.close(func() { w.writer.Step() })
			for w.writer.Step() {
			}
		}
		w.fetches.Wait()
		w.store.Close()
	}
	tr.model.Close()
}

// restart ends the engine and has a new one answer the requests that the old one left open: the
// rest of an answer where the tokens determine it, and all of it where draws were made.
func (tr *trial) restart() error {
	var open []*submission
	for _, a := range tr.requests[tr.began:] {
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
		if n := len(a.got); determined(&r) && n < r.MaxTokens {
			r.Prompt = slices.Concat(r.Prompt, a.got)
			r.MaxTokens -= n
			want = foretold{want.ids[n:], want.probs[n:]}
		}
		if err := tr.submit(a.op, r, want); err != nil {
			return err
		}
	}
	return nil
}

// try runs ops in a setup and returns an error that says what is wrong with the answers.
func try(on *network, ops []op, setup int) (err error) {
	s := setups[setup]
	dir, err := os.MkdirTemp("", "meta-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tr := &trial{network: on, setup: setup, dir: dir}
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
	for tr.iterate() {
	}
	if s.roomy && tr.refused > 0 {
		return fmt.Errorf("%d requests were refused", tr.refused)
	}
	return tr.verdict()
}

func (tr *trial) iterate() bool {
	if tr.life--; tr.life < 0 && setups[tr.setup].restarts && !tr.quit && !tr.ending {
		if err := tr.restart(); err != nil {
			panic(err)
		}
	}
	more := tr.e.iterate()
	if !invariants { // else it has
		tr.e.sched.check()
	}
	// As if the disk took no time, so that a list of operations always does the same.
	for _, r := range tr.e.restores {
		for len(r.portions) == 0 {
			<-tr.e.mailbox.wake
		}
		more = true
	}
	if tr.e.disk != nil && setups[tr.setup].portion == 1 {
		tr.e.disk.writer.Step()
	}
	return more
}

func (tr *trial) apply(o op) error {
	text := tr.history[o.agent]
	switch o.verb {
	case "new": // a system prompt that some agents share, and more
		text = slices.Concat(tr.ids(count(o.seed%3, o.at)), tr.ids(tokens(o.seed, o.n)))
	case "more":
		text = slices.Concat(text, tr.ids(tokens(o.seed, o.n)))
	case "edit":
		text = slices.Concat(text[:min(o.at, len(text))], tr.ids(tokens(o.seed, o.n)))
	case "again": // as a client retries; a prompt that may be in the cache to its end
		if len(text) == 0 {
			return nil
		}
	case "iterate":
		for range o.at {
			tr.iterate()
		}
		return nil
	case "cancel":
		for _, a := range slices.Backward(tr.requests) {
			if a.op.agent == o.agent && !a.killed {
				a.cancel()
				a.left = true
				// AfterFunc does this in its own time.
				tr.e.mailbox.cancel(a.id, context.Canceled)
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
		if w := tr.e.disk; w != nil {
			w.flush(func() { w.writer.Step() })
			for w.writer.Step() {
			}
		}
		return nil
	case "restart", "kill":
		if !setups[tr.setup].disk || tr.quit {
			return nil
		}
		tr.halt(o.verb == "kill")
		return tr.boot()
	case "evict": // as if others needed the room
		st := tr.e.sched.store
		for c := st.Agent(o.who()); c != nil; c = st.Agent(c.Agent) {
			st.Cut(c)
		}
		return nil
	case "delete":
		agent := o.who()
		tr.e.forgetInPool(agent)
		if w := tr.e.disk; w != nil {
			w.writer.Drop(agent)
			w.store.Remove(agent, func(take func()) error { take(); return nil })
		}
		return nil
	case "quit":
		tr.quit = true
		tr.e.mailbox.close(true)
		return nil
	default:
		return errors.New("unknown verb")
	}
	if len(text) > 120 {
		text = text[:len(text)%20+1]
	}
	return tr.request(o, text)
}

func (tr *trial) request(o op, text []int32) error {
	r := Request{Prompt: text, MaxTokens: o.max,
		Sampling: Sampling{Temperature: o.temp, TopK: o.seed % 4, Seed: uint64(o.seed)}}
	if o.agent > 0 {
		r.Principal, r.Agent = o.principal(), o.who().Name
	}
	if o.seed%5 == 0 && tr.excuse == nil {
		r.Stop = []int32{int32(o.seed%fakeVocab) + tr.shift}
	}
	if o.seed%7 == 0 {
		r.SureTokens = o.max/3 + 1
	}
	if tr.excuse != nil { // draws are all or nothing
		r.Sampling = Sampling{}
	}
	if tr.varied {
		tr.vary(&r, o.seed)
	}
	want := tr.foretell(r)
	tr.history[o.agent] = slices.Concat(text, want.ids)
	return tr.submit(o, r, want)
}

// ids makes tokens of the network under test from those of the fake.
func (tr *trial) ids(tokens []int32) []int32 {
	for i := range tokens {
		tokens[i] += tr.shift
	}
	return tokens
}

func (tr *trial) submit(o op, r Request, want foretold) error {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := tr.e.Submit(ctx, r)
	if err != nil {
		cancel()
		_, full := errors.AsType[*PoolError](err)
		_, share := errors.AsType[*ShareError](err)
		if full || share || err == ErrDraining {
			tr.refused++
			return nil
		}
		return err
	}
	tr.requests = append(tr.requests, &submission{id: tr.e.mailbox.lastID, op: o, request: r,
		want: want, stream: stream, cancel: cancel})
	return nil
}

// forgetAll evicts every memory.
func (tr *trial) forgetAll() {
	for tr.e.sched.store.Evict() {
	}
}

// verdict compares the answers with what they had to be, and looks for anything left behind.
func (tr *trial) verdict() error {
	for _, a := range tr.requests {
		if err := tr.judge(a); err != nil {
			return err
		}
	}
	st := tr.e.Stats()
	if st.Used != 0 || st.Queued != 0 || st.Cached+st.Free != st.Blocks ||
		st.WindowSlotsUsed != 0 ||
		st.WindowSlotsCached+st.WindowSlotsFree != st.WindowSlots {
		return fmt.Errorf("something is left: %+v", st)
	}
	tr.halt(false)
	tr.forgetAll()
	tr.e.sched.check()
	left := tr.e.sched.store.Stats()
	if c := left.Slots; c.Free != tr.e.layout.WindowSlots || c.Used != 0 {
		return fmt.Errorf("window slots after everything was forgotten: %+v", c)
	}
	if c := left.Blocks; c.Free != tr.e.layout.Blocks || c.Used != 0 {
		return fmt.Errorf("blocks after everything was forgotten: %+v", c)
	}
	return nil
}

// judge compares an answer with what it had to be.
func (tr *trial) judge(a *submission) error {
	a.read()
	if n := kv.CommonPrefix(a.got, a.want.ids); n < len(a.got) {
		err := fmt.Errorf("want %v", a.want.ids)
		if tr.excuse != nil {
			err = tr.excuse(a.request, a.got)
		}
		if err != nil {
			return fmt.Errorf("%v: answer %v: %w", a.op, a.got, err)
		}
	}
	for i, got := range a.probs {
		if tr.excuse == nil && !slices.Equal(got, a.want.probs[i]) {
			return fmt.Errorf("%v: token %d has the log-probabilities %v, want %v", a.op, i, got,
				a.want.probs[i])
		}
	}
	if a.killed {
		return nil
	}
	if !a.ended {
		return fmt.Errorf("%v: never ended", a.op)
	}
	r := a.stream.Result()
	sure := a.request.SureTokens
	// What was kept for a client that has gone is not handed over.
	lost := sure > 0 && a.left
	whole := (r.Finish == FinishLength || r.Finish == FinishStop) && !lost
	cut := r.Finish == FinishLength && sure > 0 && sure <= len(a.got) // for lack of room
	switch {
	case whole && len(a.got) != len(a.want.ids) && !cut:
		return fmt.Errorf("%v: answer %v, want %v; %+v", a.op, a.got, a.want.ids, r)
	case r.Finish == FinishError && (!tr.fails || !strings.Contains(r.Err.Error(), "injected")):
		return fmt.Errorf("%v: %w", a.op, r.Err)
	case whole && (r.OutputTokens != len(a.got) || r.PromptTokens != len(a.request.Prompt) ||
		r.CachedTokens >= r.PromptTokens):
		return fmt.Errorf("%v: result %+v for %d tokens", a.op, r, len(a.got))
	}
	if tr.speculated != nil && whole {
		tr.speculated(r)
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
	networks := []*network{theFake, sliding(9), theFake, sliding(1), sliding(20), sliding(6)}
	// All setups take a second, most of it for the disk. So where inputs are made up, each is tried in
	// the one that it chooses; what fails there is kept, and is tried in all from then on.
	madeUp := flag.Lookup("test.fuzz").Value.String() != ""
	if madeUp {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		n := uint64(len(networks))
		on := *networks[seed%n]
		if madeUp {
			on.only = []string{setups[seed/n%uint64(len(setups))].name}
		}
		check(t, &on, generate(seed))
	})
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
	t.Run("mlx", func(t *testing.T) {
		// The one network with float32 weights; it makes much of little on purpose, see
		// TestRefMatchesMLX in server/service.
		const chaotic = 1e-2
		for seed := range uint64(2) {
			check(t, onMLX(t, "tiny", chaotic), generate(seed)[:20])
		}
	})
	for _, model := range []string{"smollm2", "gemma3-270m"} {
		t.Run(model, func(t *testing.T) {
			on := onMLX(t, model, 0)
			on.only = []string{"roomy", "batch of one", "odd chunks", "tiny pool", "restarts"}
			check(t, on, generate(2)[:8])
		})
	}
}

// The network of every family gives the same answers however it is batched, cut, evicted and
// restarted.
func TestMetamorphicFamilies(t *testing.T) {
	for _, backend := range []string{"ref", "mlx"} {
		for i, kind := range oracle.Kinds(t) {
			t.Run(backend+"/"+kind, func(t *testing.T) {
				if backend == "mlx" && !metal.Available {
					t.Skip(metal.ErrUnavailable)
				}
				on := onFamily(t, kind, backend)
				on.only = []string{"roomy", "batch of one", "odd chunks", "tiny pool", "restarts"}
				if backend == "mlx" { // which takes its time to open
					on.only = []string{"batch of one", "odd chunks", "restarts"}
				}
				lists := 1
				if kind == "mistral" && backend == "ref" { // all layers slide
					lists = 6
				}
				for seed := range lists {
					check(t, on, generate(uint64(100 + i + 20*seed))[:8])
				}
			})
		}
	}
}
