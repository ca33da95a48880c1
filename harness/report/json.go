package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// format names the layout of results.json. A field may be added to it; one that changes or goes makes another format.
const format = "loadstone-results/1"

// resultsJSON is the file.
type resultsJSON struct {
	Format string `json:"format"`
	*Report
	Targets []Verdict `json:"targets"`
	Invalid []string  `json:"invalid"` // why what was measured may be the client's own doing; none: it is sound
}

// WriteJSON writes everything that the tables show, for programs. Times are whole nanoseconds; one that was not measured is
// null, and a percentile that falls on a failed request is "never", which jq and SQL on JSON sort after every number.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(resultsJSON{format, r, r.Judge(), append([]string{}, r.Doubts()...)})
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
	case l.Duration == never:
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

	Intervals map[string][2]latency `json:"ci95_ns"` // by percentile; one that is missing is of a sample too small for it
}

func newDistJSON(d stats.Dist) distJSON {
	of := func(t time.Duration) latency { return latency{t, d.N > 0} }
	j := distJSON{d.N, of(d.P50), of(d.P90), of(d.P95), of(d.P99), of(d.P999), of(d.Min), of(d.Max), of(d.Mean), map[string][2]latency{}}
	for _, q := range stats.Quantiles {
		if ci, ok := d.Interval(q); ok {
			j.Intervals["p"+strconv.FormatFloat(100*q, 'g', 4, 64)] = [2]latency{of(ci.Lo), of(ci.Hi)}
		}
	}
	return j
}

// summaryJSON is a summary in a file of results. Only what cannot be made again from the records is read back.
type summaryJSON struct {
	Run      int            `json:"run,omitempty"` // counted from 1; 0 all of them
	Requests int            `json:"requests"`
	Outcomes map[string]int `json:"outcomes"`
	Elapsed  time.Duration  `json:"elapsed_ns"`
	PeakPool *float64       `json:"peak_pool_ratio"`

	Counters *record.Counters `json:"counters,omitempty"`

	ReqPerS      float64  `json:"req_per_s"`
	TokPerS      float64  `json:"tok_per_s"`
	Goodput      *float64 `json:"goodput_req_per_s"` // null where no request had an objective
	GoodRate     *float64 `json:"good_ratio"`
	HitRate      *float64 `json:"hit_ratio"`
	ErrorRate    float64  `json:"error_ratio"`
	PromptTokens int      `json:"prompt_tokens"`
	CachedTokens int      `json:"cached_tokens"`
	OutputTokens int      `json:"output_tokens"`
	Pieces       int      `json:"pieces,omitempty"` // of answers without usage
	Resent       int      `json:"resent,omitempty"` // requests sent again because the server had closed their connection

	Times map[string]distJSON `json:"times"` // by the names of dists
}

// dists are the distributions of a summary by the names they have in files.
var dists = []struct {
	name, about string
	of          func(*record.Summary) stats.Dist
}{
	{"ttft", "due to first token", func(s *record.Summary) stats.Dist { return s.TTFT }},
	{"content", "due to first token after reasoning", func(s *record.Summary) stats.Dist { return s.Content }},
	{"itl", "between two tokens", func(s *record.Summary) stats.Dist { return s.ITL }},
	{"gap", "between two chunks", func(s *record.Summary) stats.Dist { return s.Gap }},
	{"tpot", "a token after the first, mean of an answer", func(s *record.Summary) stats.Dist { return s.TPOT }},
	{"e2e", "due to end", func(s *record.Summary) stats.Dist { return s.E2E }},
	{"lag", "due to sent", func(s *record.Summary) stats.Dist { return s.Lag }},
	{"server", "the server's own total", func(s *record.Summary) stats.Dist { return s.Server }},
	{"queue", "of it, waiting", func(s *record.Summary) stats.Dist { return s.Queue }},
	{"prefill", "of it, reading the prompt", func(s *record.Summary) stats.Dist { return s.Prefill }},
	{"decode", "of it, making the answer", func(s *record.Summary) stats.Dist { return s.Decode }},
	{"network", "client's time beyond the server's", func(s *record.Summary) stats.Dist { return s.Network }},
}

func newSummaryJSON(run int, s *record.Summary) summaryJSON {
	j := summaryJSON{Run: run, Requests: s.Requests, Outcomes: map[string]int{}, Elapsed: s.Elapsed, ReqPerS: s.RequestsPerSec,
		TokPerS: s.TokensPerSec, ErrorRate: s.ErrorRate, PromptTokens: s.PromptTokens, CachedTokens: s.CachedTokens,
		OutputTokens: s.OutputTokens, Pieces: s.Pieces, Resent: s.Resent, Counters: s.Counters, Times: map[string]distJSON{}}
	for o, n := range s.Outcomes {
		j.Outcomes[string(o)] = n
	}
	if s.PeakPool >= 0 {
		j.PeakPool = &s.PeakPool
	}
	if s.Judged > 0 {
		j.Goodput, j.GoodRate = &s.Goodput, &s.GoodRate
	}
	if s.HitRate >= 0 {
		j.HitRate = &s.HitRate
	}
	for _, d := range dists {
		j.Times[d.name] = newDistJSON(d.of(s))
	}
	return j
}

// plainScenario is a Scenario without its methods.
type plainScenario Scenario

// MarshalJSON leaves the requests out and puts their summaries in.
func (s Scenario) MarshalJSON() ([]byte, error) {
	runs := make([]summaryJSON, len(s.Runs))
	for i := range s.Runs {
		runs[i] = newSummaryJSON(i+1, &s.Runs[i])
	}
	return json.Marshal(struct {
		Name string `json:"scenario"`
		plainScenario
		All  summaryJSON   `json:"all"`
		Runs []summaryJSON `json:"by_run"`
	}{s.Pooled.Scenario, plainScenario(s), newSummaryJSON(0, &s.Pooled), runs})
}

// UnmarshalJSON reads what the records do not say; of each run, how long its load was, the pool's peak and what
// the server counted.
func (s *Scenario) UnmarshalJSON(text []byte) error {
	type measured struct {
		Elapsed  time.Duration    `json:"elapsed_ns"`
		PeakPool *float64         `json:"peak_pool_ratio"`
		Counters *record.Counters `json:"counters"`
	}
	var j struct {
		Name string `json:"scenario"`
		*plainScenario
		All  measured   `json:"all"`
		Runs []measured `json:"by_run"`
	}
	j.plainScenario = (*plainScenario)(s)
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	summary := func(m measured) record.Summary {
		sum := record.Summary{Scenario: j.Name, Elapsed: m.Elapsed, PeakPool: -1, Counters: m.Counters}
		if m.PeakPool != nil {
			sum.PeakPool = *m.PeakPool
		}
		return sum
	}
	s.Pooled, s.Runs = summary(j.All), nil
	for _, m := range j.Runs {
		s.Runs = append(s.Runs, summary(m))
	}
	return nil
}

// Read makes a report from what was stored: results.json (nil: there is none), the raw records and the server's samples.
// Every figure is computed from the records anew.
func Read(results io.Reader, records []record.Record, samples []record.Sample) (*Report, error) {
	r := &Report{}
	if results != nil {
		file := resultsJSON{Report: r}
		if err := json.NewDecoder(results).Decode(&file); err != nil {
			return nil, err
		}
		if file.Format != format {
			return nil, fmt.Errorf("its format is %q, want %q", file.Format, format)
		}
	}
	var unplaced []record.Record
	for _, rec := range records {
		s := r.at(rec.Scenario, rec.Level)
		if s == nil && rec.Warmup {
			unplaced = append(unplaced, rec)
			continue
		}
		if s == nil {
			r.Scenarios = append(r.Scenarios, Scenario{Level: rec.Level, Cache: rec.Cache, Pooled: record.Summary{Scenario: rec.Scenario, PeakPool: -1}})
			s = &r.Scenarios[len(r.Scenarios)-1]
		}
		if rec.Warmup {
			s.Warmup = append(s.Warmup, rec)
		} else {
			s.Records = append(s.Records, rec)
		}
	}
	for _, sample := range samples {
		if s := r.at(sample.Scenario, sample.Level); s != nil {
			s.Samples = append(s.Samples, sample)
		}
	}
	r.judgeRecords()
	for i := range r.Scenarios {
		r.Scenarios[i].summarize()
		if results == nil {
			r.Scenarios[i].Agents = mostAgents(r.Scenarios[i].Records)
		}
	}
	if len(r.Scenarios) == 0 {
		return nil, fmt.Errorf("no measured request among %s", Plural(len(records), "record"))
	}
	r.Scenarios[0].Warmup = append(r.Scenarios[0].Warmup, unplaced...)
	if r.Load.Runs == 0 {
		s := &r.Scenarios[0].Pooled
		r.Load.Runs, r.Load.Reps = s.Runs, s.Reps/max(s.Runs, 1)
	}
	return r, r.holdAgain()
}

// judgeRecords holds every request to the objective that the report names, which may be another one than they were measured
// with.
func (r *Report) judgeRecords() {
	o, err := limit.ParseObjective(r.Load.Goodput)
	if err != nil {
		return // there is none, and what the records say of themselves stays
	}
	for i := range r.Scenarios {
		for j := range r.Scenarios[i].Records {
			r.Scenarios[i].Records[j].Judge(o)
		}
	}
}

// SetGoodput holds every request to another objective. An error is a limit of the load that cannot be read.
func (r *Report) SetGoodput(o load.Objective) error {
	r.Load.Goodput = o.String()
	r.judgeRecords()
	for i := range r.Scenarios {
		r.Scenarios[i].summarize()
	}
	return r.holdAgain()
}

// holdAgain judges anew by limits that the load has.
func (r *Report) holdAgain() error {
	if len(r.Load.Expect) == 0 && r.Load.Search == "" {
		return nil
	}
	return r.Hold()
}

// summarize computes the summaries of a scenario that was read. How long each run was is kept where it is known, else
// taken from the records.
func (s *Scenario) summarize() {
	byRun := map[int][]record.Record{}
	for _, rec := range s.Records {
		byRun[rec.Run] = append(byRun[rec.Run], rec)
	}
	known := s.Runs
	s.Runs = nil
	var all time.Duration
	for i, run := range slices.Sorted(maps.Keys(byRun)) {
		elapsed, peak := underLoad(byRun[run]), -1.0
		var counters *record.Counters
		for _, sample := range s.Samples {
			if sample.Run == run {
				peak = max(peak, sample.Pool)
			}
		}
		if i < len(known) {
			elapsed, peak, counters = cmp.Or(known[i].Elapsed, elapsed), known[i].PeakPool, known[i].Counters
		}
		all += elapsed
		s.Pooled.PeakPool = max(s.Pooled.PeakPool, peak)
		s.Runs = append(s.Runs, record.Summarize(s.Pooled.Scenario, byRun[run], elapsed, peak))
		s.Runs[i].Counters = counters
	}
	counters := s.Pooled.Counters
	s.Pooled = record.Summarize(s.Pooled.Scenario, s.Records, cmp.Or(s.Pooled.Elapsed, all), s.Pooled.PeakPool)
	s.Pooled.Counters = counters
}

// underLoad is how long the repetitions of one run took, without what came between them.
func underLoad(records []record.Record) time.Duration {
	return total(spans(records, func(r *record.Record) int { return r.Rep }, ended))
}

// mostAgents is how many agents took part in one repetition.
func mostAgents(records []record.Record) int {
	type rep struct{ run, rep int }
	agents := map[rep]map[string]bool{}
	most := 0
	for _, r := range records {
		key := rep{r.Run, r.Rep}
		if agents[key] == nil {
			agents[key] = map[string]bool{}
		}
		agents[key][r.Agent] = true
		most = max(most, len(agents[key]))
	}
	return most
}
