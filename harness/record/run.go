package record

import (
	"cmp"
	"slices"
	"time"

	"loadstone/harness/load"
)

// A Run is one run of one scenario: a sample of its latencies, and one line in a benchmark file.
type Run struct {
	Scenario   string
	Index      int
	Level      load.Level // of a load that has several; the zero Level otherwise
	Cache      load.Cache // what the agents' caches held when the clock started
	Records    []Record
	Rest       *Rest         // of a long load: the requests after the Records, which are written away; nil none
	Warmup     []Record      // requests that filled caches, came before the steady state or were asked again: in no summary, but in the server's log
	Elapsed    time.Duration // under load; what comes between repetitions does not count
	PeakPool   float64       // highest utilisation of the KV pool seen, -1 unknown
	Steady     Steady        // of a load: where its steady state begins
	Violations []Violation   // what a Checker found among all its requests, those of warm-up and Rest included, and answers that were another's
	Again      Again         // how they compare with those given alone
	Samples    []Sample      // what the server said of itself meanwhile; none where it says nothing
	Counters   *Counters     // the server's own count beside the client's; nil where it does not count
}

// Summary describes the run by itself.
func (r Run) Summary() Summary {
	s := r.Tally().Summary(r.Scenario, r.Elapsed, r.PeakPool)
	s.Counters = r.Counters
	return s
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

// Pool summarises several runs of one scenario, at least one, as one: their requests together, their times under load added up.
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

// Span is the time from the first request's being due to the last one's end.
func Span(records []Record) time.Duration {
	if len(records) == 0 {
		return 0
	}
	first, last := ends(records)
	return last - first
}

// Span is that of the requests that were measured, those of the Rest among them.
func (r *Run) Span() time.Duration {
	if r.Rest == nil || len(r.Records) == 0 {
		return Span(r.Records)
	}
	first, last := ends(r.Records)
	return max(last, r.Rest.last) - min(first, r.Rest.first)
}

func ends(records []Record) (first, last time.Duration) {
	first, last = records[0].Due, records[0].End
	for i := range records {
		first, last = min(first, records[i].Due), max(last, records[i].End)
	}
	return first, last
}

// MostInFlight is how many requests at most were sent and had not ended at once.
func MostInFlight(records []Record) int {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for i := range records {
		changes = append(changes, change{records[i].Sent, +1}, change{records[i].End, -1})
	}
	// One that ends when another is sent makes way for it.
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), a.by-b.by) })
	n, most := 0, 0
	for _, c := range changes {
		n += c.by
		most = max(most, n)
	}
	return most
}
