package engine

// streamCounts counts streams, which are sequences that decode, by principal. The scheduler has one
// and reuses it, so that a step allocates nothing for it.
type streamCounts struct {
	counts []streamCount  // of principals that have any, in the order of their oldest stream
	places map[string]int // by principal: where it is in counts
}

type streamCount struct {
	principal string
	n         int
}

// count counts anew those of the sequences that are streams.
func (c *streamCounts) count(sequences []*sequence, isStream func(*sequence) bool) {
	c.counts = c.counts[:0]
	clear(c.places)
	for _, q := range sequences {
		if !isStream(q) {
			continue
		}
		i, ok := c.places[q.principal()]
		if !ok {
			i = len(c.counts)
			c.places[q.principal()] = i
			c.counts = append(c.counts, streamCount{principal: q.principal()})
		}
		c.counts[i].n++
	}
}

// has reports whether a principal has a stream.
func (c *streamCounts) has(principal string) bool {
	_, ok := c.places[principal]
	return ok
}

// fewest returns how many streams the principal has that has fewest, 0 if there are none.
func (c *streamCounts) fewest() (n int) {
	for i := range c.counts {
		if i == 0 || c.counts[i].n < n {
			n = c.counts[i].n
		}
	}
	return n
}
