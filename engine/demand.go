package engine

import "slices"

// A demand says what the running sequences want of the next step; see pace.limits.
type demand struct {
	decoding, prefilling int  // sequences
	several              bool // they are of several principals

	// The rest is set if there are several.
	fair         int  // streams, if each principal had as many as the one that has fewest
	besidePrompt int  // fair, less one principal's if it were to have a prompt in place of them
	both         int  // streams of principals that have prompts as well
	starts       bool // a principal has a prompt to compute and no stream
	startTokens  int  // of such prompts, to be computed
}

func (s *sched) demand() (d demand) {
	for _, q := range s.running {
		switch {
		case q.decoding():
			d.decoding++
		case q.prefilling():
			d.prefilling++
		}
	}
	if d.several = !onePrincipal(s.running); !d.several {
		return d
	}
	s.streams.count(s.running, (*sequence).decoding)
	for _, q := range s.running {
		if q.prefilling() && !s.streams.has(q.principal()) {
			d.starts = true
			d.startTokens += q.rest()
		}
	}
	fewest, principals := s.streams.fewest(), len(s.streams.counts)
	d.fair = fewest * principals
	if d.besidePrompt = d.fair; !d.starts && principals > 1 {
		d.besidePrompt -= fewest
	}
	for _, c := range s.streams.counts {
		if slices.ContainsFunc(s.running, func(q *sequence) bool {
			return q.prefilling() && q.principal() == c.principal
		}) {
			d.both += c.n
		}
	}
	return d
}
