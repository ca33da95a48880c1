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
	budget += s.takeTurns(rows)
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

// takeTurns leaves streams out of the step until at most rows sequences decode, each time one of
// the principal that has the most streams in it, and of its streams the one that has waited least.
// A principal's last stream stays, unless the principal has prompts, which then have its part of
// the step. It returns how many it left out.
func (s *sched) takeTurns(rows int) (left int) {
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

// A turns has the streams of a principal that are in the step.
type turns struct {
	byAge  []*sequence // some of the first may have been left out
	byWait []*sequence // the one that has waited least first
	prompt bool        // the principal has a prompt to compute
}

// before reports whether a principal leaves a stream out sooner than another: it has more, or as
// many and the oldest. place says where in s.running a stream is.
func (t *turns) before(o *turns, place map[*sequence]int) bool {
	if len(t.byWait) != len(o.byWait) {
		return len(t.byWait) > len(o.byWait)
	}
	return place[t.oldest()] < place[o.oldest()]
}

func (t *turns) oldest() *sequence {
	for t.byAge[0].chunk == 0 {
		t.byAge = t.byAge[1:]
	}
	return t.byAge[0]
}

// leaveOut leaves up to n streams out of the step, and returns how many it did.
func (s *sched) leaveOut(n int) (left int) {
	all, place := map[string]*turns{}, map[*sequence]int{}
	for i, q := range s.running {
		t := all[q.who.Agent.Principal]
		if t == nil {
			t = new(turns)
			all[q.who.Agent.Principal] = t
		}
		switch {
		case q.prefilling():
			t.prompt = true
		case q.chunk == 1 && q.decoding():
			t.byAge, place[q] = append(t.byAge, q), i
		}
	}
	for _, t := range all {
		t.byWait = slices.Clone(t.byAge)
		slices.SortStableFunc(t.byWait, func(a, b *sequence) int { return a.waited - b.waited })
	}
	for ; left < n; left++ {
		var next *turns
		for _, t := range all {
			if k := len(t.byWait); (k > 1 || k == 1 && t.prompt) && (next == nil || t.before(next, place)) {
				next = t
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

// streams holds how many sequences of a principal decode in the step.
type streams struct {
	principal string
	n         int
	prompt    bool // it has a prompt to compute; set by load alone
}

func (s *sched) streams() []streams {
	s.counts = s.counts[:0]
	clear(s.countOf)
	for _, q := range s.running {
		if q.chunk == 0 || !q.decoding() {
			continue
		}
		i, ok := s.countOf[q.who.Agent.Principal]
		if !ok {
			i = len(s.counts)
			s.countOf[q.who.Agent.Principal] = i
			s.counts = append(s.counts, streams{principal: q.who.Agent.Principal})
		}
		s.counts[i].n++
	}
	return s.counts
}

// hasStream reports whether a principal was among those of the last call of streams.
func (s *sched) hasStream(principal string) bool {
	_, has := s.countOf[principal]
	return has
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
			return g[0].who.Agent.Principal == q.who.Agent.Principal
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], q)
	}
	fewest := slices.MinFunc(groups, func(a, b []*sequence) int { return wanted(a) - wanted(b) })
	part := max(wanted(fewest), minPart)
	s.streams()
	for _, first := range []bool{true, false} {
		var these [][]*sequence
		for _, g := range groups {
			if !s.hasStream(g[0].who.Agent.Principal) == first {
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
		if q.who.Agent.Principal != list[0].who.Agent.Principal {
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
