package record

import "time"

// A Rest is what became of a run's requests beyond those whose records are kept: they are written
// to a file, checked and counted in a tally, so that a longer run takes no more memory.
type Rest struct {
	Tally    Tally // its Goodput is that of the run
	Requests int

	seconds     float64       // the sum of their times in flight
	first, last time.Duration // when the first was due and the last ended
}

// Add takes a batch of records.
func (r *Rest) Add(batch []Record) {
	for i := range batch {
		one := &batch[i]
		if r.Requests == 0 {
			r.first, r.last = one.Due, one.End
		}
		r.Requests++
		r.Tally.Add(one)
		r.seconds += (one.End - one.Sent).Seconds()
		r.first, r.last = min(r.first, one.Due), max(r.last, one.End)
	}
}
