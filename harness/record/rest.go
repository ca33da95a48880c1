package record

import "time"

// A Rest is what became of a run's requests beyond those whose records are kept: they are written away, checked and
// counted in a tally, so that a run takes no more memory the longer it is.
type Rest struct {
	Tally    Tally
	Requests int

	seconds     float64       // that they were in flight, together
	first, last time.Duration // due and end
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
