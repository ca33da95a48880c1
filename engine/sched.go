package engine

import (
	"slices"

	"loadstone/engine/internal/kv"
)

// A sched decides what each step computes. It is a state machine without lock, clock, goroutine or
// model: the same calls give the same batches, so that any situation can be written down as a
// transcript (testdata/sched).
//
//	Add, Cancel   between steps, any number; Claim, Resume and Abandon too
//	Plan          admits sequences and says what the next step computes; nil if nothing runs
//	...           the caller makes the batch's copies and runs the model
//	Commit, Fail  takes the drawn tokens, or that the step failed; says which sequences end
//
// Admission. A sequence starts when there is a place in the batch and the pool can promise every
// block that its prompt and its longest answer can take, less those it shares. So it never runs out
// of memory, and none is ever preempted. A sequence whose caller is content with less (see
// Request.SureTokens) is promised less, grows into what is available, and ends where nothing is.
// Agents take turns (see queue). A sequence that does not fit yet may be passed by others that do,
// at most maxPassed times; then nothing passes it until it has started. That time must come,
// because running sequences end, and everything they leave can be evicted. The search looks at no
// more than lookahead lines, which bounds the cost of a full queue.
//
// A step. Every sequence that decodes gets its one token, always. The rest of stepTokens, or as
// much of it as Plan's caller allows (see pace), goes to prompts, the oldest first, so that the
// mean wait is short. But up to half of it is first offered to prompts that it would finish, so
// that a short question does not wait behind a long document. What several prompts begin with is
// computed for one of them, and the others wait for it. If prompts are allowed anything,
// they get at least one token, even where decoding takes all of stepTokens; if nothing decodes
// they are always allowed that. So a prompt delays a decoding sequence by at most one step of
// stepTokens, and the oldest prompt moves in every step that has prompts.
type sched struct {
	maxBatch   int
	stepTokens int

	noDrafts bool // see Config.NoDrafts

	principals int // who may send requests, as far as is known; see Engine.SetShares

	store      *kv.Store
	queue      queue
	running    []*sequence             // by age
	restorable func(*kv.Identity) bool // whether there is a memory on disk for it; nil: for none
	batch      batch
	planned    bool // between Plan and Commit

	counters counters
	match    []int32              // scratch of admit
	prefill  []*sequence          // scratch of divide
	filling  map[uint64]*sequence // by Store.Sum, who fills a block in the planned step; see fills
	streams  streamCounts         // scratch of demand, parts and dividePrompts
	events   []event              // what Commit and Fail return, reused
}

// counters count what the scheduler has done; see Stats.
type counters struct {
	steps, promptTokens, cachedTokens, outputTokens uint64
	drafted, accepted                               uint64
	admitted, finished, cancelled, failed           uint64
}

// An event says what a step, or Cancel, did to a sequence: it got a token, or ended, or both.
type event struct {
	seq    *sequence
	row    int    // of the batch, of which the token was drawn
	token  int32  // noToken: none
	finish Finish // "": the sequence goes on
}

// noToken stands for no token. Given to Commit, it says that none could be drawn.
const noToken int32 = -1

// noRow is the row of an event whose token was not drawn.
const noRow = -1

func newSched(l kv.Layout, maxBatch, stepTokens int) *sched {
	return &sched{
		maxBatch:   maxBatch,
		stepTokens: stepTokens,
		store:      kv.NewStore(l),
		queue:      newQueue(),
		streams:    streamCounts{places: make(map[string]int)},
		filling:    make(map[uint64]*sequence),
	}
}

// Add queues a sequence, which must fit into the empty pool. The sequence is the scheduler's
// until an event says that it has ended.
func (s *sched) Add(q *sequence) {
	s.mustBeBetween("Add")
	if !s.store.Fits(extentOf(q.prompt, q.max, q.sure, s.stepTokens)) {
		panic("engine: a sequence that can never fit")
	}
	s.queue.push(q)
}

// Cancel ends a sequence, queued or running, and gives its blocks back. It returns false if there
// is none of that id.
func (s *sched) Cancel(id uint64) (event, bool) {
	s.mustBeBetween("Cancel")
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

// Plan returns what the next step computes: a token of each sequence that decodes, up to prompts
// tokens of prompts, and drafts; nil if nothing runs. If several principals run something, at most
// rows sequences decode, and at least one of each principal. A batch without sequences, because all
// that run are restoring, is not a step: Plan again. The batch is valid until the next Plan.
func (s *sched) Plan(prompts, rows int, d drafting) *batch {
	s.mustBeBetween("Plan")
	s.batch.reset()
	s.admit()
	if len(s.running) == 0 {
		return nil
	}
	s.divide(prompts, rows, d)
	for _, q := range s.running {
		if q.chunk > 0 {
			s.store.Grow(&q.claim, q.computed+q.chunk+len(q.draft))
			s.batch.add(q)
		}
	}
	s.planned = len(s.batch.seqs) > 0
	return &s.batch
}

// catchUp takes over the blocks that others have computed since the sequence was admitted: of many
// that arrive together with one system prompt, the first computes it. The sequence may have
// computed the beginning of one of them itself, in what the first had left of a step.
func (s *sched) catchUp(q *sequence) {
	size := s.store.BlockTokens
	for {
		i := q.computed / size
		end := (i + 1) * size
		if end >= q.prompt || !s.store.Share(&q.claim, i, q.tokens[i*size:end]) {
			return
		}
		q.cached += end - q.computed
		q.computed = end
		s.keepBranch(q)
		s.store.Slide(&q.claim, q.computed)
	}
}

// Commit records that the planned step has run. next has a token for each of the batch's rows, or
// noToken where none could be drawn; such a sequence ends with FinishError and is not remembered.
// The rows of a draft mean something up to the first that another token was drawn from. The events
// are in the batch's order and valid until the next step.
func (s *sched) Commit(next []int32) []event {
	s.ran("Commit")
	if len(next) != len(s.batch.rows) {
		panic("engine: Commit needs a token for each row")
	}
	row := 0
	for _, q := range s.batch.seqs {
		if row == len(s.batch.sampling) || s.batch.sampling[row] != q {
			s.advance(q)
			continue
		}
		rows := 1 + len(q.draft)
		s.take(q, next[row:row+rows], row)
		row += rows
	}
	return s.events
}

// take gives a sequence the tokens that were drawn from its rows, of which the first is the given
// one of the batch.
func (s *sched) take(q *sequence, drawn []int32, row int) {
	s.noteDraft(q, drawn[0])
	for i, token := range drawn {
		if token == noToken {
			s.events = append(s.events, s.end(q, noToken, FinishError))
			return
		}
		s.advance(q)
		ev := s.append(q, token)
		ev.row = row + i
		s.events = append(s.events, ev)
		if ev.finish != "" || i == len(q.draft) || !s.verify(q, i, token) {
			return
		}
		q.chunk = 1 // the draft's token is the sequence's now, and its KV is computed
	}
}

// Fail records that the planned step has failed. Every sequence that was in it, or began with one
// of its copies, ends with FinishError and is not remembered, because what the model has written
// is unknown. Other sequences, and the blocks they share with these, are untouched.
func (s *sched) Fail() []event {
	s.ran("Fail")
	for _, q := range s.batch.seqs {
		s.events = append(s.events, s.end(q, noToken, FinishError))
	}
	for _, q := range s.batch.copiers {
		if q.chunk == 0 { // else it has ended already, with those above
			s.events = append(s.events, s.end(q, noToken, FinishError))
		}
	}
	return s.events
}

// advance counts the chunk as computed, seals the blocks it filled, and moves the window on.
func (s *sched) advance(q *sequence) {
	size := s.store.BlockTokens
	for i := q.computed / size; i < (q.computed+q.chunk)/size; i++ {
		s.store.Seal(&q.claim, i, q.tokens[i*size:(i+1)*size])
	}
	q.computed += q.chunk
	s.keepBranch(q)
	s.store.Slide(&q.claim, q.computed)
}

// keepBranch keeps the blocks that a sequence shares with others, once they are computed, because
// more requests with the same beginning may come.
func (s *sched) keepBranch(q *sequence) {
	n := q.branch * s.store.BlockTokens
	if q.branch == 0 || q.computed < n || q.restoring {
		return
	}
	s.store.KeepPrefix(&q.who, &q.claim, q.tokens[:n])
	q.branch = 0
}

// append gives a sequence its next token.
func (s *sched) append(q *sequence, token int32) event {
	if len(q.tokens) == q.prompt {
		s.counters.promptTokens += uint64(q.prompt)
		s.counters.cachedTokens += uint64(q.cached)
	}
	if slices.Contains(q.stop, token) {
		return s.end(q, noToken, FinishStop)
	}
	q.tokens = append(q.tokens, token)
	s.counters.outputTokens++
	// A token that the pool has no room for is the last one, as if it were the max-th.
	if len(q.tokens) == q.prompt+q.max || !s.store.Extend(&q.claim, len(q.tokens)) {
		return s.end(q, token, FinishLength)
	}
	return event{seq: q, token: token}
}

// end gives back everything a sequence has, after its agent's memory has taken what it keeps.
func (s *sched) end(q *sequence, token int32, why Finish) event {
	s.unclaim(q)
	defer s.leaveDrafter(q)
	if why != FinishError {
		left := kv.Ended{
			Tokens:    q.tokens[:q.computed],
			Blocks:    q.claim.Blocks,
			TurnStart: s.turnStart(q),
			Partial:   !q.decoding(),
		}
		if q.decoding() {
			left.Last = q.tokens[q.computed:]
		}
		s.store.Keep(&q.who, left)
	}
	s.store.End(&q.claim)
	if i := slices.Index(s.running, q); i >= 0 {
		s.running = slices.Delete(s.running, i, i+1)
	}
	switch why {
	case FinishCancelled:
		s.counters.cancelled++
	case FinishError:
		s.counters.failed++
	default:
		s.counters.finished++
	}
	return event{seq: q, token: token, finish: why}
}

// turnStart returns the token to which a user may return after this request, to change the question
// or to have it answered again: where the request began, or if that is more than a window ago, the
// last token of its prompt.
func (s *sched) turnStart(q *sequence) int {
	if q.computed-q.cached < s.store.Window {
		return q.cached
	}
	return min(q.prompt, q.computed) - 1
}

// stepsToNextEnd returns about how many steps it takes at most until one of the running sequences
// ends, 0 when none runs.
func (s *sched) stepsToNextEnd() int {
	steps := 0
	for i, q := range s.running {
		n := q.max - (len(q.tokens) - q.prompt)
		if !q.decoding() {
			n += q.rest() / s.stepTokens
		}
		if i == 0 || n < steps {
			steps = n
		}
	}
	return steps
}

func (s *sched) mustBeBetween(call string) {
	if s.planned {
		panic("engine: " + call + " between Plan and Commit")
	}
}

// ran ends the planned step.
func (s *sched) ran(call string) {
	if !s.planned {
		panic("engine: " + call + " without Plan")
	}
	s.planned = false
	s.events = s.events[:0]
	s.counters.steps++
}
