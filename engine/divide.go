package engine

import "slices"

// minPart is how many prompt tokens a principal may have in a step, whatever the others want of it.
const minPart = 32

// divide sets the chunk of every running sequence, and its draft. prompts is how many prompt tokens
// the step may have, and rows how many sequences may decode in it.
//
// If several principals have running sequences, each is to get what it would get beside one other
// request. So if all streams together would make the step too long (see pace.limits), the
// principals with the most streams let theirs take turns. Prompt tokens go first to principals
// that have no stream in the step, and in equal parts to the principals: none gets more than the
// one that wants fewest, or minPart, because the others wait for the end of the step.
func (s *sched) divide(prompts, rows int, d drafting) {
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
	budget += s.limitStreams(rows)
	ahead := s.giveDrafts(d)
	budget -= ahead
	if len(s.prefill) == 0 {
		return
	}
	if budget == s.stepTokens {
		prompts = max(prompts, 1)
	}
	if prompts > 0 {
		prompts += int(d.prompts * float64(ahead))
	}
	s.dividePrompts(min(max(budget, 1), prompts))
}

// limitStreams leaves streams out of the step until at most rows sequences decode, each time one of
// the principal that has the most streams in it, and of its streams the one that has waited least.
// A principal's last stream stays, unless the principal has prompts, which then have its part of
// the step. It returns how many it left out.
func (s *sched) limitStreams(rows int) (left int) {
	decoding := 0
	for _, q := range s.running {
		decoding += q.chunk
	}
	if decoding > rows {
		left = s.leaveOut(decoding - rows)
	}
	for _, q := range s.running {
		if q.chunk == 0 && !q.restoring && q.decoding() {
			q.waited++
		} else {
			q.waited = 0
		}
	}
	return left
}

// An ownStreams has the streams of one principal that are in the step.
type ownStreams struct {
	byAge  []*sequence // some of the first may have been left out
	byWait []*sequence // the one that has waited least first
	prompt bool        // the principal has a prompt to compute
}

// before reports whether a principal leaves a stream out sooner than another: it has more, or as
// many and the oldest. place says where in s.running a stream is.
func (o *ownStreams) before(other *ownStreams, place map[*sequence]int) bool {
	if len(o.byWait) != len(other.byWait) {
		return len(o.byWait) > len(other.byWait)
	}
	return place[o.oldest()] < place[other.oldest()]
}

func (o *ownStreams) oldest() *sequence {
	for o.byAge[0].chunk == 0 {
		o.byAge = o.byAge[1:]
	}
	return o.byAge[0]
}

// leaveOut leaves up to n streams out of the step, and returns how many it did.
func (s *sched) leaveOut(n int) (left int) {
	all, place := map[string]*ownStreams{}, map[*sequence]int{}
	for i, q := range s.running {
		o := all[q.principal()]
		if o == nil {
			o = new(ownStreams)
			all[q.principal()] = o
		}
		switch {
		case q.prefilling():
			o.prompt = true
		case q.chunk == 1 && q.decoding():
			o.byAge, place[q] = append(o.byAge, q), i
		}
	}
	for _, o := range all {
		o.byWait = slices.Clone(o.byAge)
		slices.SortStableFunc(o.byWait, func(a, b *sequence) int { return a.waited - b.waited })
	}
	for ; left < n; left++ {
		var next *ownStreams
		for _, o := range all {
			if k := len(o.byWait); (k > 1 || k == 1 && o.prompt) && (next == nil || o.before(next, place)) {
				next = o
			}
		}
		if next == nil {
			break
		}
		next.byWait[0].chunk = 0
		next.byWait = next.byWait[1:]
	}
	return left
}

// dividePrompts divides a budget of prompt tokens between the principals whose prompts are in
// s.prefill, and then between their prompts.
func (s *sched) dividePrompts(budget int) {
	clear(s.filling)
	if onePrincipal(s.prefill) {
		s.divideBudget(s.prefill, budget)
		return
	}
	var groups [][]*sequence // by principal
	for _, q := range s.prefill {
		i := slices.IndexFunc(groups, func(g []*sequence) bool {
			return g[0].principal() == q.principal()
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], q)
	}
	fewest := slices.MinFunc(groups, func(a, b []*sequence) int { return wanted(a) - wanted(b) })
	part := max(wanted(fewest), minPart)
	s.streams.count(s.running, (*sequence).decodesNow)
	for _, first := range []bool{true, false} {
		var these [][]*sequence
		for _, g := range groups {
			if s.streams.has(g[0].principal()) != first {
				these = append(these, g)
			}
		}
		// Those that want least first, so that what they leave goes to the others.
		slices.SortStableFunc(these, func(a, b []*sequence) int { return wanted(a) - wanted(b) })
		for i, g := range these {
			n := min(wanted(g), part, (budget+len(these)-i-1)/(len(these)-i))
			budget -= n - s.divideBudget(g, n)
		}
	}
}

// onePrincipal reports whether all sequences are one principal's, as they are where nothing else is
// configured.
func onePrincipal(list []*sequence) bool {
	for _, q := range list {
		if q.principal() != list[0].principal() {
			return false
		}
	}
	return true
}

// wanted returns how many prompt tokens a principal's sequences have left.
func wanted(g []*sequence) (n int) {
	for _, q := range g {
		n += q.rest()
	}
	return n
}

// divideBudget divides a budget between one principal's prompts: the oldest first, but up to half
// of it is first offered to prompts that it would finish. It returns what is left.
func (s *sched) divideBudget(prompts []*sequence, budget int) int {
	if budget == 0 {
		return 0
	}
	short := budget / 2
	s.fills(prompts[0])
	for _, q := range prompts[1:] {
		if q.rest() <= short && s.fills(q) {
			q.chunk = q.rest()
			short -= q.chunk
			budget -= q.chunk
		}
	}
	for _, q := range prompts {
		if q.chunk == 0 && budget > 0 && s.fills(q) {
			q.chunk = min(q.rest(), budget)
			budget -= q.chunk
		}
	}
	return budget
}

// fills has a sequence fill its next block in this step, unless another one does that already and
// has the same before it. Then it returns false: the sequence waits, and has the block from the
// other one as soon as it is full (see catchUp). The other one has tokens in this step, so nobody
// waits for what does not move; and the oldest prompt waits for nobody of its principal.
func (s *sched) fills(q *sequence) bool {
	size := s.store.BlockTokens
	i := q.computed / size
	if (i+1)*size >= q.prompt {
		return true // the last token of a prompt is always computed
	}
	sum := s.store.Sum(&q.claim, i, q.tokens[i*size:(i+1)*size])
	if other := s.filling[sum]; other != nil && other != q {
		return false
	}
	s.filling[sum] = q
	return true
}
