package generate

// A stopMatcher finds one stop string in a text that comes byte by byte, by the algorithm of Knuth,
// Morris and Pratt (1977). So no stop string, however repetitive, costs more than the text is long.
type stopMatcher struct {
	stop    string
	border  []int // [i]: length of the longest proper prefix of stop that is a suffix of stop[:i+1]
	matched int   // length of the longest prefix of stop that is a suffix of the text so far
}

func newStopMatcher(stop string) stopMatcher {
	border := make([]int, len(stop))
	for i, k := 1, 0; i < len(stop); i++ {
		for k > 0 && stop[i] != stop[k] {
			k = border[k-1]
		}
		if stop[i] == stop[k] {
			k++
		}
		border[i] = k
	}
	return stopMatcher{stop: stop, border: border}
}

// next takes the next byte and reports whether the stop string is complete with it.
func (m *stopMatcher) next(c byte) bool {
	for m.matched > 0 && m.stop[m.matched] != c {
		m.matched = m.border[m.matched-1]
	}
	if m.stop[m.matched] == c {
		m.matched++
	}
	return m.matched == len(m.stop)
}
