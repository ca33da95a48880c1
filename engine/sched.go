package engine

import "slices"

// A sched decides what each step does. It is a state machine without lock, clock, goroutine or model: the same calls
// give the same batches, so that any situation can be written down as a transcript (testdata/sched).
//
//	Add, Cancel   between steps, any number; so Claim, Fill, Resume and Abandon for who restores
//	Plan          admits who fits and says what the next step computes; nil when there is nothing to do
//	...           the caller makes the batch's copies and runs the model
//	Commit, Fail  takes the tokens that were drawn, or that the step failed, and says whom it ends
//
// Admission. A sequence starts when there is a place in the batch and the pool can promise every block that its prompt
// and its longest answer can take, less those it shares. So it never dies of memory, and none is ever preempted. Turns
// go round by agent (see queue). A head that does not fit yet may be passed by others that do, at most patience times;
// then nobody passes until it has started, which must come, because those who run end and leave nothing that cannot be
// evicted. The search looks at no more than lookahead heads, which bounds the cost of a full queue.
//
// A step. Every sequence that decodes gets its one token, always. The rest of stepTokens, or what Plan's caller allows of
// it (see pace), goes to prompts, the oldest first, so the mean wait is short; but up to half of it is first offered to
// prompts that it finishes on the spot, so a short question is not stuck behind a long document. If prompts are allowed
// anything they get at least one token, even where decoding takes all of stepTokens, and if nobody decodes they are
// always allowed that. A prompt's chunk therefore delays a decoding sequence by at most one step of stepTokens, and the
// oldest prompt moves in every step that has prompts.
type sched struct {
	maxBatch   int
	stepTokens int

	store   store
	queue   queue
	running []*sequence             // by age
	warm    func(agent string) bool // whether an agent's memory can be restored; nil: nobody's
	batch   batch
	planned bool // between Plan and Commit

	stats   Stats       // counters only; the gauges are made when asked for
	match   []int32     // scratch of admit
	prefill []*sequence // scratch of divide
	events  []event     // what Commit and Fail return, reused
}

const (
	patience  = 16
	lookahead = 8
)

// A sequence is a request as the scheduler sees it.
type sequence struct {
	id     uint64
	agent  string
	prompt int     // tokens of the prompt
	most   int     // most tokens of the answer
	stop   []int32 // ids that end it

	tokens   []int32 // the prompt, then the answer so far
	blocks   []int32 // table: ceil(computed/blockTokens) of them, and during a step those of its chunk too
	computed int     // tokens whose KV is in blocks
	reserved int     // blocks it may still claim
	chunk    int     // tokens in the planned step

	// Of sliding layers; see locals.
	low    int // the first block whose local it has pinned, and it has those of all after it
	stay   int // the first block whose local it will have pinned to its end
	locals int // locals it may still claim
	branch int // blocks that others begin with as well and that are to be remembered when they are computed; 0: none

	restoring bool // it computes nothing until Resume
	claimed   int  // tokens that blocks were claimed for, behind those computed, while it is restoring
	from      int  // the first of these blocks with a local; those between low and the first claimed one are pinned too
	restored  int  // tokens whose KV was restored

	passed int    // how many started before it when its turn had come
	cached int    // tokens of the prompt that were never computed
	miss   string // see Result.Miss
}

// An event tells what a step, or Cancel, did to a sequence: it got a token, or ended, or both.
type event struct {
	seq    *sequence
	token  int32  // noToken: none
	finish Finish // "": it goes on
}

// noToken in place of a token says that there is none: to Commit, that none could be drawn.
const noToken int32 = -1

func newSched(l layout, maxBatch, stepTokens int) *sched {
	return &sched{
		maxBatch:   maxBatch,
		stepTokens: stepTokens,
		store:      newStore(l),
		queue:      newQueue(),
	}
}

// need is how many blocks a prompt and its longest answer take. The KV of the very last token is never computed.
func need(prompt, most, blockTokens int) int {
	return (prompt + most - 1 + blockTokens - 1) / blockTokens
}

// decoding reports whether the prompt is computed.
func (s *sequence) decoding() bool { return s.computed >= s.prompt }

// rest is how many known tokens are not computed yet.
func (s *sequence) rest() int { return len(s.tokens) - s.computed }

// Add queues a sequence. It must be able to fit into the empty pool. The sequence is the scheduler's until an event
// says that it ended.
func (s *sched) Add(q *sequence) {
	s.between("Add")
	if need(q.prompt, q.most, s.store.index.blockTokens) > len(s.store.pool.blocks) || s.mostLocals(q, 0) >= len(s.store.local.all) {
		panic("engine: a sequence that can never fit")
	}
	s.queue.push(q)
}

// Cancel ends a sequence, queued or running, and gives its blocks back. It reports false if there is none of that id.
func (s *sched) Cancel(id uint64) (event, bool) {
	s.between("Cancel")
	q, ok := s.queue.remove(id)
	if !ok {
		i := slices.IndexFunc(s.running, func(q *sequence) bool { return q.id == id })
		if i < 0 {
			return event{}, false
		}
		q = s.running[i]
	}
	return s.end(q, noToken, FinishCancelled), true
}

// Plan says what the next step computes: a token of each sequence that decodes and as many prompt tokens as allowed; nil
// when nothing runs. A batch without sequences, because all who run are restoring, is no step: Plan again. The batch is valid until
// the next Plan.
func (s *sched) Plan(prompts int) *batch {
	s.between("Plan")
	s.batch.reset()
	s.admit()
	if len(s.running) == 0 {
		return nil
	}
	s.divide(prompts)
	for _, q := range s.running {
		if q.chunk > 0 {
			s.grow(q, q.computed+q.chunk, 0)
			s.batch.add(q, s.store.local.of)
		}
	}
	s.planned = len(s.batch.seqs) > 0
	return &s.batch
}

// load is how many of the running sequences decode, and how many have prompts to compute.
func (s *sched) load() (decoding, prefilling int) {
	for _, q := range s.running {
		switch {
		case q.restoring:
		case q.decoding():
			decoding++
		default:
			prefilling++
		}
	}
	return
}

// admit starts every sequence that may start now.
func (s *sched) admit() {
	for i := 0; i < min(len(s.queue.turns), lookahead) && len(s.running) < s.maxBatch; {
		q := s.queue.head(i)
		m := s.store.match(q.agent, q.tokens, s.match[:0])
		s.match = m.blocks
		grow := need(q.prompt, q.most, s.store.index.blockTokens) - len(m.blocks)
		if m.move {
			grow--
		}
		restoring := s.restorable(q, m)
		price, locals := s.price(q, m, restoring)
		if grow+m.idle > s.store.pool.available() || price+locals > s.store.local.available() {
			i++
			continue
		}
		if !s.pass(i) {
			return
		}
		s.queue.pop(i)
		q.restoring = restoring
		s.start(q, m, grow, locals)
	}
}

// price is what it costs to pin the locals of a match, and how many more have to be promised to the sequence.
func (s *sched) price(q *sequence, m match, restoring bool) (price, locals int) {
	l := &s.store.local
	if l.window == 0 {
		return 0, 0
	}
	q.stay = l.low(q.prompt + q.most - 1)
	pinned := m.blocks[m.low:]
	for i, b := range pinned {
		price += l.price(b, m.low+i >= q.stay)
	}
	n := len(pinned)
	if m.move {
		price += l.price(m.tail, len(m.blocks) >= q.stay)
		n++
	}
	most := s.mostLocals(q, m.tokens(l.blockTokens))
	if restoring { // it keeps what it begins with until the restore has come to its end
		most = min(need(q.prompt, q.most, l.blockTokens)-m.low, max(most, n+l.span()))
	}
	return price, most - n
}

// mostLocals is how many locals a sequence may have pinned at once from when computed tokens of it are.
func (s *sched) mostLocals(q *sequence, computed int) int {
	l := &s.store.local
	if l.window == 0 {
		return 0
	}
	chunk := 1
	if computed < q.prompt {
		chunk = min(q.prompt-computed, s.stepTokens)
	}
	return min(need(q.prompt, q.most, l.blockTokens)-l.low(computed), l.atOnce(chunk))
}

// pass lets head i start before those whose turn comes earlier, unless one of them has been passed often enough.
func (s *sched) pass(i int) bool {
	for j := range i {
		if s.queue.head(j).passed == patience {
			return false
		}
	}
	for j := range i {
		s.queue.head(j).passed++
	}
	return true
}

// start gives a sequence what it shares and the promise of what it may need.
func (s *sched) start(q *sequence, m match, grow, locals int) {
	q.cached = m.tokens(s.store.index.blockTokens)
	q.computed = q.cached
	q.miss = s.store.miss(q.agent, q.tokens, q.cached)
	q.reserved, q.locals, q.low, q.branch = grow, locals, m.low, m.branch
	var c copyKV
	q.blocks, c = s.store.take(q.agent, m, grow, locals, q.stay)
	if m.part > 0 && !m.move {
		q.reserved--
		if s.store.local.window > 0 {
			q.locals--
		}
	}
	s.remember(q)
	if c.dst != none {
		s.batch.copies = append(s.batch.copies, c)
		s.batch.copiers = append(s.batch.copiers, q)
	}
	s.running = append(s.running, q)
	s.batch.admitted = append(s.batch.admitted, q)
	s.stats.Admitted++
}

// restorable reports whether a sequence that is about to start should first be given what its agent has on disk: when
// the pool has less of that than there was. A prompt that leaves the cache within a block leaves the disk there as well.
func (s *sched) restorable(q *sequence, m match) bool {
	return s.warm != nil && q.agent != "" && m.tokens(s.store.index.blockTokens) < q.prompt-1 && m.part == 0 &&
		s.store.agents[q.agent].behind() && s.warm(q.agent)
}

// remember keeps the blocks that a sequence begins with as others do, because more may come who do: a system prompt whose
// locals nobody holds is of no use to them.
func (s *sched) remember(q *sequence) {
	n := q.branch * s.store.index.blockTokens
	if q.branch == 0 || q.computed < n || q.restoring {
		return
	}
	if s.store.local.window > 0 && q.low <= s.store.local.low(n) {
		s.store.keepAnonymous(slices.Clone(q.tokens[:n]), slices.Clone(q.blocks[:q.branch]))
	}
	q.branch = 0
}

// slide lets go of the locals that are no longer in a sequence's window, and of what it cannot need any more of those it
// was promised.
func (s *sched) slide(q *sequence) {
	l := &s.store.local
	if l.window == 0 {
		return
	}
	for low := l.low(q.computed); q.low < low; q.low++ {
		l.unpin(q.blocks[q.low], q.low >= q.stay)
	}
	most := s.mostLocals(q, q.computed) - (len(q.blocks) - q.low)
	l.pay(most - q.locals)
	q.locals = most
}

// divide sets the chunk of every running sequence.
func (s *sched) divide(prompts int) {
	budget := s.stepTokens
	s.prefill = s.prefill[:0]
	for _, q := range s.running {
		q.chunk = 0
		switch {
		case q.restoring:
		case q.decoding():
			q.chunk = 1
			budget--
		default:
			s.catchUp(q)
			s.prefill = append(s.prefill, q)
		}
	}
	if len(s.prefill) == 0 {
		return
	}
	if budget == s.stepTokens {
		prompts = max(prompts, 1)
	}
	budget = min(max(budget, 1), prompts)

	short := budget / 2
	for _, q := range s.prefill[1:] {
		if q.rest() <= short {
			q.chunk = q.rest()
			short -= q.chunk
			budget -= q.chunk
		}
	}
	for _, q := range s.prefill {
		if q.chunk == 0 {
			q.chunk = min(q.rest(), budget)
			budget -= q.chunk
		}
	}
}

// Claim makes room for the next n tokens of a sequence that restores and returns its blocks and the first of them that is
// new. Those from block from on get locals; from is the same in all calls, no more than a window before the last token
// that will be restored. What was claimed must be filled before Resume, or the sequence be given up with Abandon.
func (s *sched) Claim(q *sequence, n, from int) (blocks []int32, first int) {
	s.between("Claim")
	first = len(q.blocks)
	q.claimed += n
	q.from = from
	s.grow(q, q.computed+q.claimed, from)
	return q.blocks, first
}

// Resume ends a restore, whatever it yielded. miss says why it was not more, as Result.Miss does. What was restored is of
// use when all locals in the window at its end are there; else it is given back.
func (s *sched) Resume(q *sequence, miss string) {
	s.between("Resume")
	l, first, end := &s.store.local, len(q.blocks), q.computed+q.claimed
	if q.claimed > 0 {
		first = q.computed / s.store.index.blockTokens
	}
	if l.low(end) < q.from && q.from > first {
		s.unclaim(q)
	}
	if q.claimed > 0 && q.from > first { // there is a gap behind what it began with, and all of that is out of the window
		for ; q.low < first; q.low++ {
			l.unpin(q.blocks[q.low], q.low >= q.stay)
			q.locals++
			l.pay(1)
		}
		q.low = q.from
	}
	q.chunk, q.claimed = q.claimed, 0
	q.cached += q.chunk
	q.restored += q.chunk
	q.restoring = false
	q.miss = miss
	s.advance(q)
	q.chunk = 0
}

// unclaim gives back the blocks of a restore.
func (s *sched) unclaim(q *sequence) {
	if q.claimed == 0 {
		return
	}
	first := q.computed / s.store.index.blockTokens // it began at a block's end
	for i := first; i < len(q.blocks); i++ {
		if s.store.local.window > 0 && i >= q.from {
			s.store.local.unpin(q.blocks[i], i >= q.stay)
			s.store.local.pay(1)
			q.locals++
		}
		s.store.release(q.blocks[i])
		s.store.pool.reserve(1)
		q.reserved++
	}
	q.blocks = q.blocks[:first]
	q.claimed = 0
}

// Abandon ends a sequence because what was written to its claimed blocks is unknown.
func (s *sched) Abandon(q *sequence) event {
	s.between("Abandon")
	return s.end(q, noToken, FinishError)
}

// catchUp takes over the blocks that others have computed since the sequence was admitted: of many that arrive together
// with one system prompt, the first computes it.
func (s *sched) catchUp(q *sequence) {
	size := s.store.index.blockTokens
	for q.computed%size == 0 && q.computed+size < q.prompt {
		b := s.store.share(q.last(), q.tokens[q.computed:q.computed+size], len(q.blocks) >= q.stay)
		if b == none {
			return
		}
		q.blocks = append(q.blocks, b)
		q.computed += size
		q.cached += size
		q.reserved--
		if s.store.local.window > 0 {
			q.locals--
		}
		s.remember(q)
		s.slide(q)
	}
}

// last is the last block of a sequence that ends on a block's end.
func (q *sequence) last() int32 {
	if len(q.blocks) == 0 {
		return root
	}
	return q.blocks[len(q.blocks)-1]
}

// grow makes room for a sequence's first n tokens, in sliding layers too from block from on.
func (s *sched) grow(q *sequence, n, from int) {
	for n > len(q.blocks)*s.store.index.blockTokens {
		i, b := len(q.blocks), s.store.alloc()
		q.blocks = append(q.blocks, b)
		q.reserved--
		if s.store.local.window > 0 && i >= from {
			s.store.allocLocal(b, i >= q.stay)
			if q.locals--; q.locals < 0 {
				panic("engine: a sequence takes more locals than it was promised")
			}
		}
	}
}

// Commit records that the planned step was run. next has a token for each of the batch's rows, or noToken where none
// could be drawn; such a sequence ends with FinishError and is not remembered. The events are in the batch's order and
// valid until the next step.
func (s *sched) Commit(next []int32) []event {
	s.commit("Commit")
	if len(next) != len(s.batch.rows) {
		panic("engine: Commit needs a token for each row")
	}
	row := 0
	for _, q := range s.batch.seqs {
		asked := row < len(s.batch.askers) && s.batch.askers[row] == q
		if asked && next[row] == noToken {
			s.events = append(s.events, s.end(q, noToken, FinishError))
			row++
			continue
		}
		s.advance(q)
		if asked {
			s.events = append(s.events, s.append(q, next[row]))
			row++
		}
	}
	return s.events
}

// Fail records that the planned step failed. Every sequence that was in it, or began with one of its copies, ends with
// FinishError and is not remembered, because what the model wrote is unknown. Others, and what they share, are untouched.
func (s *sched) Fail() []event {
	s.commit("Fail")
	for _, q := range s.batch.seqs {
		s.events = append(s.events, s.end(q, noToken, FinishError))
	}
	for _, q := range s.batch.copiers {
		if q.chunk == 0 { // else it was among those
			s.events = append(s.events, s.end(q, noToken, FinishError))
		}
	}
	return s.events
}

// advance counts the chunk as computed, seals the blocks it filled, and moves the window on.
func (s *sched) advance(q *sequence) {
	size := s.store.index.blockTokens
	for i := q.computed / size; i < (q.computed+q.chunk)/size; i++ {
		parent := root
		if i > 0 {
			parent = q.blocks[i-1]
		}
		q.blocks[i] = s.store.seal(parent, q.blocks[i], q.tokens[i*size:(i+1)*size], i >= q.low, i >= q.stay)
	}
	q.computed += q.chunk
	s.remember(q)
	s.slide(q)
}

// append gives a sequence its next token.
func (s *sched) append(q *sequence, token int32) event {
	if len(q.tokens) == q.prompt {
		s.stats.PromptTokens += uint64(q.prompt)
		s.stats.CachedTokens += uint64(q.cached)
	}
	if slices.Contains(q.stop, token) {
		return s.end(q, noToken, FinishStop)
	}
	q.tokens = append(q.tokens, token)
	s.stats.OutputTokens++
	if len(q.tokens) == q.prompt+q.most {
		return s.end(q, token, FinishLength)
	}
	return event{seq: q, token: token}
}

// end gives back all that a sequence has, after its agent's memory took what it keeps.
func (s *sched) end(q *sequence, token int32, why Finish) event {
	s.unclaim(q)
	if why != FinishError {
		var last []int32
		if q.decoding() {
			last = q.tokens[q.computed:]
		}
		s.store.keep(q.agent, q.tokens[:q.computed], last, q.blocks, s.turn(q), !q.decoding())
	}
	for i, b := range q.blocks {
		if i >= q.low {
			s.store.local.unpin(b, i >= q.stay)
		}
		s.store.release(b)
	}
	s.store.pool.unreserve(q.reserved)
	s.store.local.pay(-q.locals)
	q.reserved, q.locals = 0, 0
	if i := slices.Index(s.running, q); i >= 0 {
		s.running = slices.Delete(s.running, i, i+1)
	}
	switch why {
	case FinishCancelled:
		s.stats.Cancelled++
	case FinishError:
		s.stats.Failed++
	default:
		s.stats.Finished++
	}
	return event{seq: q, token: token, finish: why}
}

// turn is where a user may come back to after this request, to change the question or to have it answered again: where it
// began, or if that is more than a window ago, its last token.
func (s *sched) turn(q *sequence) int {
	if q.computed-q.cached < s.store.local.window {
		return q.cached
	}
	return min(q.prompt, q.computed) - 1
}

// Stats fills in everything but what only the engine knows: Queued, Draining and the refusals.
func (s *sched) Stats() Stats {
	st := s.stats
	p := &s.store.pool
	st.Blocks = len(p.blocks)
	st.Used, st.Cached, st.Free = p.split()
	st.PeakUsed = p.peak
	l := &s.store.local
	st.Locals = len(l.all) - 1
	st.LocalUsed, st.LocalCached, st.LocalFree = l.split()
	st.LocalPeakUsed = l.peak
	if l.window > 0 {
		st.LocalsEach = l.atOnce(s.stepTokens)
	}
	st.BlockTokens = s.store.index.blockTokens
	st.KVBytesPerToken, st.KVLocalBytesPerToken = l.tokenBytes, l.localBytes
	st.Bytes.add(p.purposes(), int64(l.blockTokens)*int64(l.tokenBytes))
	st.Bytes.add(l.purposes(), int64(l.blockTokens)*int64(l.localBytes))
	st.Running = len(s.running)
	st.Agents = len(s.store.agents)
	st.Evictions = s.store.evictions
	return st
}

// soonest is about how many steps it takes at most until one of the running sequences ends, 0 when none runs.
func (s *sched) soonest() int {
	steps := 0
	for i, q := range s.running {
		n := q.most - (len(q.tokens) - q.prompt)
		if !q.decoding() {
			n += q.rest() / s.stepTokens
		}
		if i == 0 || n < steps {
			steps = n
		}
	}
	return steps
}

func (s *sched) between(call string) {
	if s.planned {
		panic("engine: " + call + " between Plan and Commit")
	}
}

func (s *sched) commit(call string) {
	if !s.planned {
		panic("engine: " + call + " without Plan")
	}
	s.planned = false
	s.events = s.events[:0]
	s.stats.Steps++
}
