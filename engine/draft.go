package engine

import (
	"math"
	"time"

	"loadstone/engine/internal/kv"
)

// Copy speculation. Agents' answers repeat much of what is in their context: a file with small
// changes, the output of a tool, a key of a JSON object. So a sequence that decodes is given a
// draft, the tokens that followed the last time its last few tokens came, and the step computes
// the rows of the draft beside the one row that is certain. Each row is drawn from as ever, in
// order, as long as the tokens drawn are those of the draft; the rows behind the first other token
// are of no use. This is prompt lookup decoding (Saxena, 2023), a form of speculative decoding
// (Leviathan et al., 2023) whose draft costs nothing to make. Where a request's mask knows what
// follows (see Request.Ahead), that is the draft.
//
// Since a row's logits are the same whatever else a step of up to draftRows holds, and a sampler
// uses one number of its source for each token, the answer is bitwise the one without drafts.
//
// A token that is the only one which may come needs no row: it is the sequence's at once (see
// sched.Force), and its KV is computed along with the sequence's next token.
//
// Neither leaves the block that the first of a sequence's uncomputed tokens is in, so that they
// need no memory of their own, and nothing is to be given back where a draft was wrong: the KV of
// its tokens lies behind the sequence's end, where the next step writes.

const (
	draftKey = 3  // tokens that must have come before
	maxDraft = 15 // tokens

	// draftRows is how many rows a step with drafts may have, those of all streams together. Up to
	// so many, the sums of every backend are in one order, those of unquantised weights on MLX too.
	draftRows = 16
)

// A drafter makes the drafts of one sequence and knows how good they have been. It is kept with the
// agent's memory (see kv.Chain.Drafts), so that the agent's next request begins with it.
type drafter struct {
	index copyIndex

	// right is how often the next token of a draft was right where those before it were: a mean over
	// the latest ones, with weights that fall by a sixteenth each. The entries are by how many tokens
	// before the draft were equal (see alike); the last one is of drafts that a mask makes.
	right [len(alike) + 1]float64
	kind  int   // the entry of right for the last draft
	next  int32 // what a draft that was not worth its cost would have begun with; noToken: none
}

// alike are the least numbers of equal tokens of each entry of drafter.right but the last.
var alike = [...]int{draftKey, 6, 12}

// byMask is the entry of drafter.right of drafts that a mask makes.
const byMask = len(alike)

func newDrafter() *drafter {
	return &drafter{right: [...]float64{0.4, 0.6, 0.8, 0.8}, next: noToken}
}

// draft returns the draft for a sequence that has these tokens: at most n of them, each right with
// a probability of at least worth. likely is what the sequence's mask lets follow.
func (d *drafter) draft(tokens, likely []int32, n int, worth float64) []int32 {
	n = min(n, maxDraft)
	found, same := d.index.find(tokens, n)
	for d.kind = 0; d.kind+1 < len(alike) && same >= alike[d.kind+1]; {
		d.kind++
	}
	if likely = likely[:max(min(len(likely), n), 0)]; kv.CommonPrefix(found, likely) < len(likely) {
		found, d.kind = likely, byMask
	}
	d.next = noToken
	if len(found) == 0 {
		return nil
	}
	k, right := 0, d.right[d.kind]
	for p := right; k < len(found) && p >= worth; p *= right {
		k++
	}
	if k == 0 {
		d.next = found[0]
	}
	return found[:k]
}

// drew notes which token came where a draft, or one that was not made, had another or the same.
func (d *drafter) drew(drafted, token int32) {
	was := 0.0
	if drafted == token {
		was = 1
	}
	d.right[d.kind] += (was - d.right[d.kind]) / 16
}

// drafting says what drafts a step may have.
type drafting struct {
	rows    int     // tokens of all drafts together, and of those that are certain
	worth   float64 // how likely a token must be right, at least
	prompts float64 // prompt tokens that the step may have in addition for each row
}

// A draftPace knows what the rows of drafts have cost lately, and says which are worth it.
type draftPace struct {
	row   time.Duration // what each row of a draft adds to a step; 0: not known
	plain int           // steps since the last one without drafts
}

// maxPlain is how many steps may have drafts until one without is due, whose time says what the
// streams cost alone.
const maxPlain = 32

// limits returns what drafts a step of so many streams may have that takes so long without them,
// can have so many rows, and has so much time to spare. Beside the streams' tokens, one for each, a
// drafted token must be worth its part of the time: with n streams in a step of time t, a row of
// time r that gives p tokens is worth it if p/r is more than n/t.
func (p *draftPace) limits(streams int, alone time.Duration, rows int, spare time.Duration,
) drafting {
	rows = min(rows, draftRows) - streams
	if rows <= 0 || streams == 0 || alone == 0 || p.plain >= maxPlain {
		return drafting{}
	}
	row := p.cost(streams, alone)
	worth := float64(row) * float64(streams) / float64(alone)
	rows = int(min(time.Duration(rows), spare/row))
	return drafting{rows: rows, worth: math.Max(worth, 0.02)}
}

// cost returns what a row adds to a step of so many streams.
func (p *draftPace) cost(streams int, alone time.Duration) time.Duration {
	if p.row > 0 {
		return p.row
	}
	return max(alone/time.Duration(4*streams), 1)
}

// took notes how long a step with so many rows of drafts took, and how long one without takes.
func (p *draftPace) took(rows int, d, alone time.Duration) {
	if rows == 0 {
		p.plain = 0
		return
	}
	p.plain++
	row := max((d-alone)/time.Duration(rows), 1)
	if p.row == 0 {
		p.row = row
	}
	p.row += (row - p.row) / 16
}

// giveDrafts gives the streams of the step what may be computed ahead: first the tokens that they
// have already, then drafts. Where there are several principals, each has an equal part of that. It
// returns how many rows that is.
func (s *sched) giveDrafts(d drafting) (rows int) {
	left := s.parts(d.rows)
	for _, q := range s.running {
		if q.draft = nil; q.chunk == 0 || !q.decoding() {
			continue
		}
		part := left(q)
		n := min(q.rest()-1, s.roomInBlock(q), *part)
		q.chunk += n
		*part, rows = *part-n, rows+n
	}
	if s.noDrafts || d.rows == 0 {
		return rows
	}
	for _, q := range s.running {
		if q.chunk == 0 || !q.decoding() || q.chunk < q.rest() {
			continue
		}
		// A step gives one token more than its draft has, so the draft has one less than are left.
		more := q.prompt + q.max - len(q.tokens) - 1
		part := left(q)
		if n := min(more, s.roomInBlock(q), *part); n > 0 {
			q.draft = s.drafterOf(q).draft(q.tokens, q.likely, n, d.worth)
			*part, rows = *part-len(q.draft), rows+len(q.draft)
		}
	}
	return rows
}

// roomInBlock returns how many tokens may follow a sequence's chunk in the block that the chunk
// begins in.
func (s *sched) roomInBlock(q *sequence) int {
	size := s.store.BlockTokens
	return size - q.computed%size - q.chunk
}

// parts divides rows between the principals that have streams in the step. It returns what says how
// many of them a sequence's principal has left.
func (s *sched) parts(rows int) func(q *sequence) *int {
	if onePrincipal(s.running) {
		return func(*sequence) *int { return &rows }
	}
	left := make(map[string]*int)
	s.streams.count(s.running, (*sequence).decodesNow)
	for _, c := range s.streams.counts {
		n := rows / len(s.streams.counts)
		left[c.principal] = &n
	}
	return func(q *sequence) *int { return left[q.principal()] }
}

// drafterOf returns a sequence's drafter, which it gets when it first needs one. It takes a few
// nanoseconds for each token that the drafter has not seen.
func (s *sched) drafterOf(q *sequence) *drafter {
	if q.drafter == nil {
		q.drafter = newDrafter()
	}
	return q.drafter
}

// takeDrafter gives a sequence that starts the drafter that its agent's last request has left.
func (s *sched) takeDrafter(q *sequence) {
	c := s.store.Agent(q.who.Agent)
	if c == nil || c.Drafts == nil || c.Root != q.who.Root {
		return
	}
	q.drafter, c.Drafts = c.Drafts.(*drafter), nil
	q.drafter.index.forget(kv.CommonPrefix(c.Tokens, q.tokens))
}

// leaveDrafter leaves a sequence's drafter with the memory that its agent has now.
func (s *sched) leaveDrafter(q *sequence) {
	c := s.store.Agent(q.who.Agent)
	if q.drafter == nil || c == nil || c.Root != q.who.Root {
		return
	}
	q.drafter.index.forget(kv.CommonPrefix(c.Tokens, q.tokens))
	c.Drafts = q.drafter
}

// noteDraft counts a sequence's draft, or where there was none notes whether the one that was not
// worth its cost would have been right.
func (s *sched) noteDraft(q *sequence, token int32) {
	q.drafted += len(q.draft)
	s.counters.drafted += uint64(len(q.draft))
	if d := q.drafter; d != nil && len(q.draft) == 0 && d.next != noToken {
		d.drew(d.next, token)
		d.next = noToken
	}
}

// verify notes whether token i of a sequence's draft was drawn, and reports it.
func (s *sched) verify(q *sequence, i int, token int32) bool {
	right := q.draft[i] == token
	q.drafter.drew(q.draft[i], token)
	if right {
		q.accepted++
		s.counters.accepted++
	}
	return right
}

// Force gives a sequence that decodes a token which needs no drawing, because its mask leaves no
// other. It counts as one of a draft that was right.
func (s *sched) Force(q *sequence, token int32) event {
	s.mustBeBetween("Force")
	ev := s.append(q, token)
	if ev.token != noToken {
		q.drafted, q.accepted = q.drafted+1, q.accepted+1
		s.counters.drafted++
		s.counters.accepted++
	}
	ev.row = noRow
	return ev
}
