package record

import (
	"cmp"
	"slices"
	"time"

	"loadstone/harness/load"
)

// A Run is one run of one scenario: a sample of its latencies, and one line in a benchmark file.
type Run struct {
	Scenario string
	Index    int            // of the run, 0-based
	Level    load.Level     // of a load that has several; the zero Level otherwise
	Cache    load.Cache     // what the agents' caches held when the clock started
	Goodput  load.Objective // what a good answer must hold; the zero Objective: none is judged

	Records []Record
	// Rest is what became of the requests after the Records, of a long load; nil: there are none.
	Rest   *Rest
	Warmup []Record // in no summary, but in the server's log; see Place.Warmup

	Elapsed  time.Duration // under load; what comes between repetitions does not count
	PeakPool float64       // highest utilisation of the KV pool seen, -1 unknown
	Steady   Steady        // of a load: where its steady state begins

	// Violations are what a Checker found among all its requests, those of Warmup and Rest
	// included, and answers that were another agent's.
	Violations []Violation
	Again      Again     // how answers compare with those that were given alone
	Skipped    int       // recorded calls that were not sent, since they exceed the server's context
	Samples    []Sample  // what the server said of itself meanwhile; none where it says nothing
	Counters   *Counters // the server's own count beside the client's; nil where it does not count

	// What proves the run afterwards, see package verify; nil: not known.
	Window *Window
	Held   *Held
	Asked  *Asked
}

// Summary describes the run by itself.
func (r Run) Summary() Summary {
	s := r.Tally().Summary(r.Scenario, r.Elapsed, r.PeakPool)
	s.Counters, s.Window, s.Held = r.Counters, r.Window, r.Held
	return s
}

// Tally is that of all requests that were measured.
func (r Run) Tally() *Tally {
	t := Tally{Goodput: r.Goodput}
	for i := range r.Records {
		t.Add(&r.Records[i])
	}
	if r.Rest != nil {
		t.Merge(&r.Rest.Tally)
	}
	return &t
}

// Pool summarises several runs of one scenario, at least one, as one: their requests together,
// their times under load added up.
func Pool(runs []Run) Summary {
	var all Tally
	var elapsed time.Duration
	peak := -1.0
	var counters *Counters
	for _, r := range runs {
		counters = counters.Add(r.Counters)
		all.Merge(r.Tally())
		elapsed += r.Elapsed
		peak = max(peak, r.PeakPool)
	}
	s := all.Summary(runs[0].Scenario, elapsed, peak)
	s.Counters = counters
	return s
}

// Span is the time from when the first request was due to the end of the last one; 0 of none.
func Span(records []Record) time.Duration {
	if len(records) == 0 {
		return 0
	}
	first, last := ends(records)
	return last - first
}

// Span is that of all requests that were measured, those of the Rest included.
func (r *Run) Span() time.Duration {
	if r.Rest == nil || len(r.Records) == 0 {
		return Span(r.Records)
	}
	first, last := ends(r.Records)
	return max(last, r.Rest.last) - min(first, r.Rest.first)
}

// ends are when the first of some records was due and when the last ended.
func ends(records []Record) (first, last time.Duration) {
	first, last = records[0].Due, records[0].End
	for i := range records {
		first, last = min(first, records[i].Due), max(last, records[i].End)
	}
	return first, last
}

// MaxInFlight is the largest number of requests that were sent and had not ended at one moment.
func MaxInFlight(records []Record) int {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for i := range records {
		changes = append(changes, change{records[i].Sent, +1}, change{records[i].End, -1})
	}
	// A request that ends in the moment in which another is sent ends first.
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.at, b.at), a.by-b.by)
	})
	n, top := 0, 0
	for _, c := range changes {
		n += c.by
		top = max(top, n)
	}
	return top
}
