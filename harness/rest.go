package harness

import "time"

// keptRecords is how many records of a run stay in memory: enough for every chart, some 25 MiB.
const keptRecords = 20_000

// A Rest is what became of a run's requests beyond those whose records are kept: they are written away and checked in
// batches, and counted in a tally, so that a run takes no more memory the longer it is.
type Rest struct {
	Tally      Tally
	Requests   int
	Violations []Violation // what Check found among them; at most a hundred

	seconds     float64       // that they were in flight, together
	first, last time.Duration // due and end
}

// add takes a batch of records.
func (r *Rest) add(batch []Record) {
	const shown = 100
	found := Check(batch, -1)
	r.Violations = append(r.Violations, found[:min(len(found), shown-min(len(r.Violations), shown))]...)
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

// without is a ledger from which the rest's requests are taken: what is left has records.
func (l Ledger) without(r *Rest) Ledger {
	if r != nil {
		l.Begun, l.Ended, l.Seconds = l.Begun-r.Requests, l.Ended-r.Requests, l.Seconds-r.seconds
	}
	return l
}

// A keeper holds a run's records: the first in full, and every later batch only until it was written and counted, which
// happens beside the load.
type keeper struct {
	keep  int                  // 0 is keptRecords
	write func([]Record) error // unless nil, is given every batch

	kept, batch []Record
	full, empty chan []Record // to and from the goroutine that deals with the batches
	done        chan struct{}
	rest        *Rest
	err         error // of write
}

// batchSize is small enough for the load not to feel one's being dealt with.
const batchSize = 1000

func (k *keeper) add(r Record) {
	limit := k.keep
	if limit == 0 {
		limit = keptRecords
	}
	if len(k.kept) < limit {
		k.kept = append(k.kept, r)
		return
	}
	if k.rest == nil {
		k.rest = &Rest{}
		k.full, k.empty, k.done = make(chan []Record, 1), make(chan []Record, 3), make(chan struct{})
		k.empty <- make([]Record, 0, batchSize)
		k.empty <- make([]Record, 0, batchSize)
		k.batch = make([]Record, 0, batchSize)
		go k.deal()
	}
	if k.batch = append(k.batch, r); len(k.batch) == batchSize {
		k.full <- k.batch
		k.batch = <-k.empty
	}
}

func (k *keeper) deal() {
	defer close(k.done)
	for batch := range k.full {
		k.rest.add(batch)
		if k.write != nil && k.err == nil {
			k.err = k.write(batch)
		}
		clear(batch) // their texts are not needed any more
		k.empty <- batch[:0]
	}
}

// close deals with the last batch. Only then rest and err may be looked at.
func (k *keeper) close() {
	if k.rest == nil {
		return
	}
	if len(k.batch) > 0 {
		k.full <- k.batch
	}
	close(k.full)
	<-k.done
}

// Tally is that of all requests that were measured.
func (r Run) Tally() *Tally {
	var t Tally
	for i := range r.Records {
		t.Add(&r.Records[i])
	}
	if r.Rest != nil {
		t.Merge(&r.Rest.Tally)
	}
	return &t
}
