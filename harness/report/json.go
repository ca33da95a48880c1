package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/limit"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// format names the layout of results.json. A field may be added to it; one that changes or goes
// makes another format. Format 1 has the figures of a summary as fields of their own, with other
// spellings.
const format, format1 = "loadstone-results/2", "loadstone-results/1"

// Formats lists the formats of results.json that this version reads. It writes the first.
func Formats() []string { return []string{format, format1} }

// resultsJSON is the file.
type resultsJSON struct {
	Format string `json:"format"`
	*Report
	Targets []limit.Outcome `json:"targets"`
	Invalid []string        `json:"invalid"` // why the measurement is invalid; none: it is sound
}

// WriteJSON writes everything that the tables show, for programs. Times are whole nanoseconds; one
// that was not measured is null, and a percentile that falls on a failed request is "never", which
// jq and SQL on JSON sort after every number.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(resultsJSON{format, r, r.Outcomes(), append([]string{}, r.Invalid()...)})
}

// latency is a time in a file of results.
type latency struct {
	time.Duration
	known bool
}

func (l latency) MarshalJSON() ([]byte, error) {
	switch {
	case !l.known:
		return []byte("null"), nil
	case l.Duration == stats.Never:
		return []byte(`"never"`), nil
	}
	return json.Marshal(int64(l.Duration))
}

type distJSON struct {
	N    int     `json:"n"`
	P50  latency `json:"p50_ns"`
	P90  latency `json:"p90_ns"`
	P95  latency `json:"p95_ns"`
	P99  latency `json:"p99_ns"`
	P999 latency `json:"p99.9_ns"`
	Min  latency `json:"min_ns"`
	Max  latency `json:"max_ns"`
	Mean latency `json:"mean_ns"`

	// Intervals are by percentile; one that is missing is of a sample too small for it.
	Intervals map[string][2]latency `json:"ci95_ns"`
}

func newDistJSON(d stats.Dist) distJSON {
	of := func(t time.Duration) latency { return latency{t, d.N > 0} }
	j := distJSON{N: d.N, P50: of(d.P50), P90: of(d.P90), P95: of(d.P95), P99: of(d.P99),
		P999: of(d.P999),
		Min:  of(d.Min), Max: of(d.Max), Mean: of(d.Mean), Intervals: map[string][2]latency{}}
	for _, q := range stats.Quantiles {
		if ci, ok := d.Interval(q); ok {
			j.Intervals["p"+strconv.FormatFloat(100*q, 'g', 4, 64)] = [2]latency{of(ci.Lo),
				of(ci.Hi)}
		}
	}
	return j
}

// summaryJSON is a summary in a file of results. Only what cannot be made again from the records is
// read back.
type summaryJSON struct {
	Run      int            `json:"run,omitempty"` // counted from 1; 0 all of them
	Requests int            `json:"requests"`
	Outcomes map[string]int `json:"outcomes"`
	Elapsed  time.Duration  `json:"elapsed_ns"`

	// Notes are how many requests have a note of each kind.
	Notes map[record.Note]int `json:"notes,omitempty"`

	Counters *record.Counters `json:"counters,omitempty"`
	Window   *record.Window   `json:"ledger,omitempty"`
	Held     *record.Held     `json:"held,omitempty"`
	// Figures are those that are one number, by name; null: not measured.
	Figures map[string]*float64 `json:"figures"`
	Times   map[string]distJSON `json:"times"` // by the names of figure.AllTimes
}

func newSummaryJSON(run int, s *record.Summary) summaryJSON {
	j := summaryJSON{Run: run, Requests: s.Requests, Outcomes: map[string]int{}, Elapsed: s.Elapsed,
		Counters: s.Counters, Window: s.Window, Held: s.Held, Notes: s.Notes,
		Figures: map[string]*float64{}, Times: map[string]distJSON{}}
	for o, n := range s.Outcomes {
		j.Outcomes[string(o)] = n
	}
	for _, f := range figure.Scalars() {
		j.Figures[f.Name] = nil
		if v, ok := f.Value(s); ok && !math.IsInf(v, 0) {
			j.Figures[f.Name] = &v
		}
	}
	for _, t := range figure.AllTimes {
		j.Times[t.Name] = newDistJSON(t.Of(s))
	}
	return j
}

// plainResult is a Result without its methods.
type plainResult Result

// MarshalJSON leaves the requests out and puts their summaries in.
func (r Result) MarshalJSON() ([]byte, error) {
	runs := make([]summaryJSON, len(r.Runs))
	for i := range r.Runs {
		runs[i] = newSummaryJSON(i+1, &r.Runs[i])
	}
	return json.Marshal(struct {
		Name string `json:"scenario"`
		plainResult
		All  summaryJSON   `json:"all"`
		Runs []summaryJSON `json:"by_run"`
	}{r.Pooled.Scenario, plainResult(r), newSummaryJSON(0, &r.Pooled), runs})
}

// measuredJSON is what is read back of a summary: what its records do not say.
type measuredJSON struct {
	Elapsed  time.Duration       `json:"elapsed_ns"`
	Figures  map[string]*float64 `json:"figures"`
	PeakPool *float64            `json:"peak_pool_ratio"` // of format 1
	Counters *record.Counters    `json:"counters"`
	Window   *record.Window      `json:"ledger"`
	Held     *record.Held        `json:"held"`
}

func (m *measuredJSON) summary(scenario string) record.Summary {
	s := record.Summary{Scenario: scenario, Elapsed: m.Elapsed, PeakPool: -1, Counters: m.Counters,
		Window: m.Window, Held: m.Held}
	for _, peak := range []*float64{m.PeakPool, m.Figures["peak-pool-ratio"]} {
		if peak != nil {
			s.PeakPool = *peak
		}
	}
	return s
}

// UnmarshalJSON reads what the records do not say; of each run that is how long its load was, the
// pool's peak and what the server counted.
func (r *Result) UnmarshalJSON(text []byte) error {
	var j struct {
		Name string `json:"scenario"`
		*plainResult
		All  measuredJSON   `json:"all"`
		Runs []measuredJSON `json:"by_run"`
	}
	j.plainResult = (*plainResult)(r)
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	r.Pooled, r.Runs = j.All.summary(j.Name), nil
	for _, m := range j.Runs {
		r.Runs = append(r.Runs, m.summary(j.Name))
	}
	return nil
}
