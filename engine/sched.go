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

	restoring bool // it computes nothing until Resume
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

func newSched(blocks, blockTokens, maxBatch, stepTokens int) *sched {
	return &sched{
		maxBatch:   maxBatch,
		stepTokens: stepTokens,
		store:      newStore(blocks, blockTokens),
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
	if need(q.prompt, q.most, s.store.index.blockTokens) > len(s.store.pool.blocks) {
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
			s.grow(q)
			s.batch.add(q)
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
		if grow+m.idle > s.store.pool.available() {
			i++
			continue
		}
		if !s.pass(i) {
			return
		}
		s.queue.pop(i)
		s.start(q, m, grow)
	}
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
func (s *sched) start(q *sequence, m match, grow int) {
	q.cached = len(m.blocks)*s.store.index.blockTokens + m.part
	q.computed = q.cached
	q.miss = s.store.miss(q.agent, q.tokens, q.cached)
	q.restoring = s.restorable(q)
	q.reserved = grow
	var c copyKV
	q.blocks, c = s.store.take(q.agent, m, grow)
	if m.part > 0 && !m.move {
		q.reserved--
	}
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
func (s *sched) restorable(q *sequence) bool {
	return s.warm != nil && q.agent != "" && q.cached < q.prompt-1 && q.cached%s.store.index.blockTokens == 0 &&
		s.store.agents[q.agent].behind() && s.warm(q.agent)
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

// Claim makes room for the next n tokens of a sequence that restores and returns its blocks. Fill must follow, or
// Abandon.
func (s *sched) Claim(q *sequence, n int) []int32 {
	s.between("Claim")
	q.chunk = n
	s.grow(q)
	return q.blocks
}

// Fill records that the KV of the claimed tokens is in their blocks.
func (s *sched) Fill(q *sequence) {
	s.between("Fill")
	s.advance(q)
	q.cached += q.chunk
	q.restored += q.chunk
	q.chunk = 0
}

// Resume ends a restore, whatever it yielded. miss says why it was not more, as Result.Miss does.
func (s *sched) Resume(q *sequence, miss string) {
	s.between("Resume")
	q.restoring = false
	q.miss = miss
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
		b := s.store.share(q.last(), q.tokens[q.computed:q.computed+size])
		if b == none {
			return
		}
		q.blocks = append(q.blocks, b)
		q.computed += size
		q.cached += size
		q.reserved--
	}
}

// last is the last block of a sequence that ends on a block's end.
func (q *sequence) last() int32 {
	if len(q.blocks) == 0 {
		return root
	}
	return q.blocks[len(q.blocks)-1]
}

// grow makes room for the sequence's chunk.
func (s *sched) grow(q *sequence) {
	for q.computed+q.chunk > len(q.blocks)*s.store.index.blockTokens {
		q.blocks = append(q.blocks, s.store.alloc())
		q.reserved--
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

// advance counts the chunk as computed and seals the blocks it filled.
func (s *sched) advance(q *sequence) {
	size := s.store.index.blockTokens
	for i := q.computed / size; i < (q.computed+q.chunk)/size; i++ {
		parent := root
		if i > 0 {
			parent = q.blocks[i-1]
		}
		q.blocks[i] = s.store.seal(parent, q.blocks[i], q.tokens[i*size:(i+1)*size])
	}
	q.computed += q.chunk
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
	if why != FinishError {
		s.store.keep(q.agent, q.tokens[:q.computed], q.blocks, !q.decoding())
	}
	for _, b := range q.blocks {
		s.store.release(b)
	}
	s.store.pool.unreserve(q.reserved)
	q.reserved = 0
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

// Stats fills in everything but what only the engine knows: Queued, Draining and the refusals.
func (s *sched) Stats() Stats {
	st := s.stats
	p := &s.store.pool
	st.Blocks = len(p.blocks)
	st.Used, st.Cached, st.Free = p.split()
	st.PeakUsed = p.peak
	st.BlockTokens = s.store.index.blockTokens
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
