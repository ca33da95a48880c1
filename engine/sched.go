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
