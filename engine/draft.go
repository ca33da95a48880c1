package engine

import (
	"math"
	"time"
)

// Copy speculation. Agents' answers repeat much of what is in their context: a file with small
// changes, the output of a tool, a key of a JSON object. So a sequence that decodes is given a
// draft, the tokens that followed the last time its last few tokens came, and the step computes
// the rows of the draft beside the one row that is certain. Each row is drawn from as ever, in
// order, as long as the tokens drawn are those of the draft; the rows behind the first other token
// are of no use. This is prompt lookup decoding (Saxena, 2023), a form of speculative decoding
// (Leviathan et al., 2023) whose draft costs nothing to make.
//
// Since a row's logits are the same whatever else a step of up to draftRows holds, and a sampler uses
// one number of its source for each token, the answer is bitwise the one without drafts.
//
// A draft never leaves the block that the certain token is in, so that it needs no memory of its
// own, and nothing is to be given back where it was wrong: the KV of its tokens lies behind the
// sequence's end, where the next step writes.

const (
	draftKey = 3  // tokens that must have come before
	maxDraft = 15 // tokens

	// draftRows is how many rows a step with drafts may have, those of all streams together. Up to
	// so many, the sums of every backend are in one order, those of unquantised weights on MLX too.
	draftRows = 16
)

// A drafter makes the drafts of one sequence and knows how good they have been.
type drafter struct {
	// ends says where each run of draftKey tokens ended last, by hash, counted from 1. It is as
	// long as the sequence may get, so few of them lose their place to another.
	ends    []int32
	indexed int // how many tokens of the sequence are in ends

	// right is how likely the next token of a draft is right if those before it were, as a mean
	// over the last ones with weights that fall by a sixteenth; by how many tokens before the draft
	// were the same.
	right [3]float64
	same  int   // the one of right that the last draft is noted in
	next  int32 // what a draft that was not worth its cost would have begun with; noToken: none
}

// alike are the least numbers of equal tokens of each entry of drafter.right.
var alike = [3]int{draftKey, 6, 12}

// newDrafter returns the drafter of a sequence that begins with tokens and may get so long. It
// takes a few nanoseconds for each token.
func newDrafter(tokens []int32, limit int) *drafter {
	size := 1 << 8
	for size < limit && size < 1<<20 {
		size *= 2
	}
	d := &drafter{ends: make([]int32, size), right: [3]float64{0.4, 0.6, 0.8}, next: noToken}
	d.index(tokens)
	return d
}

// index takes in the tokens that it has not seen, except the last run, which is to be looked up.
func (d *drafter) index(tokens []int32) {
	for i := max(d.indexed, draftKey); i < len(tokens); i++ {
		d.ends[d.hash(tokens[i-draftKey:i])] = int32(i)
	}
	d.indexed = max(d.indexed, len(tokens))
}

func (d *drafter) hash(key []int32) uint32 {
	h := uint64(0)
	for _, t := range key {
		h = (h ^ uint64(uint32(t))) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return uint32(h) & uint32(len(d.ends)-1)
}

// find returns what followed the last time the tokens ended as they do, at most n tokens, and nil
// if they never did. What it returns is a part of tokens.
func (d *drafter) find(tokens []int32, n int) []int32 {
	if len(tokens) <= draftKey || n < 1 {
		return nil
	}
	d.index(tokens)
	at := int(d.ends[d.hash(tokens[len(tokens)-draftKey:])])
	same, longest := 0, alike[len(alike)-1]
	for same < min(at, longest) && tokens[at-1-same] == tokens[len(tokens)-1-same] {
		same++
	}
	if same < draftKey { // there was none, or another run has the same hash
		return nil
	}
	for d.same = 0; d.same+1 < len(alike) && same >= alike[d.same+1]; {
		d.same++
	}
	return tokens[at:min(at+n, len(tokens))]
}

// draft returns the draft for a sequence that has these tokens: at most n of them, each right with
// a probability of at least worth.
func (d *drafter) draft(tokens []int32, n int, worth float64) []int32 {
	found := d.find(tokens, min(n, maxDraft))
	d.next = noToken
	if len(found) == 0 {
		return nil
	}
	k, right := 0, d.right[d.same]
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
	d.right[d.same] += (was - d.right[d.same]) / 16
}

// drafting says what drafts a step may have.
type drafting struct {
	rows  int     // tokens of all drafts together
	worth float64 // how likely a token must be right, at least
}

// A draftPace knows what the rows of drafts have cost lately, and says from that which are worth it.
type draftPace struct {
	row   time.Duration // what each row of a draft adds to a step; 0: not known
	plain int           // steps since the last one without drafts
}

// maxPlain is how many steps may have drafts until one without is due, whose time says what the
// streams cost alone.
const maxPlain = 32

// limits returns what drafts a step of so many streams may have that takes so long without them and
// can have so many rows. Beside the streams' tokens, one for each, a drafted token must be worth its
// part of the time:
// with n streams in a step of time t, a row of time r that gives p tokens is worth it if p/r is
// more than n/t.
func (p *draftPace) limits(streams int, alone time.Duration, rows int) drafting {
	rows = min(rows, draftRows) - streams
	if rows <= 0 || streams == 0 || alone == 0 || p.plain >= maxPlain {
		return drafting{}
	}
	row := p.row
	if row == 0 {
		row = alone / time.Duration(4*streams)
	}
	worth := float64(row) * float64(streams) / float64(alone)
	return drafting{rows: rows, worth: math.Max(worth, 0.02)}
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

// giveDrafts gives drafts to the sequences that decode in the step. A step that computes prompts has
// none: those take the time that there is.
func (s *sched) giveDrafts(d drafting) {
	prompts := false
	for _, q := range s.running {
		q.draft = nil
		prompts = prompts || q.chunk > 0 && !q.decoding()
	}
	if prompts {
		return
	}
	for _, q := range s.running {
		if q.chunk == 0 || q.drafter == nil {
			continue
		}
		// A step gives one token more than its draft has, so the draft has one less than are left.
		left := q.prompt + q.max - len(q.tokens) - 1
		inBlock := s.store.BlockTokens - 1 - q.computed%s.store.BlockTokens
		q.draft = q.drafter.draft(q.tokens, min(left, inBlock, d.rows), d.worth)
		d.rows -= len(q.draft)
	}
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
