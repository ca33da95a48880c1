package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// Read makes a report from what was stored: results.json (nil: there is none), the raw records and
// the server's samples. Every figure is computed from the records anew.
func Read(results io.Reader, records []record.Record, samples []record.Sample) (*Report, error) {
	r := &Report{}
	if results != nil {
		if err := r.readHead(results); err != nil {
			return nil, err
		}
	}
	unplaced := r.place(records, len(r.Results) == 0) // the head of one that did not end has none
	for _, sample := range samples {
		if s := r.At(sample.Scenario, sample.Level); s != nil {
			s.Samples = append(s.Samples, sample)
		}
	}
	if len(r.Results) == 0 {
		return nil, fmt.Errorf("no measured request among %s", table.Plural(len(records), "record"))
	}
	objective := r.Workload.objective()
	for i := range r.Results {
		r.Results[i].summarize(objective)
	}
	r.Results[0].Warmup = append(r.Results[0].Warmup, unplaced...)
	if r.Workload.Runs == 0 {
		s := &r.Results[0].Pooled
		r.Workload.Runs, r.Workload.Reps = s.Runs, s.Reps/max(s.Runs, 1)
	}
	return r, r.holdAgain()
}

// readHead reads results.json.
func (r *Report) readHead(results io.Reader) error {
	file := resultsJSON{Report: r}
	if err := json.NewDecoder(results).Decode(&file); err != nil {
		return err
	}
	if !slices.Contains(Formats(), file.Format) {
		return fmt.Errorf("its format is %q, want %q", file.Format, format)
	}
	if r.System.Backend == "metal" { // as it was called before
		r.System.Backend = "mlx"
	}
	return nil
}

// place gives every record to its result, which it makes where there is none. It returns the
// records of a warm-up that belong to no result. With count it counts the agents of each result.
func (r *Report) place(records []record.Record, count bool) (unplaced []record.Record) {
	for _, rec := range records {
		s := r.At(rec.Scenario, rec.Level)
		if s == nil && rec.Warmup {
			unplaced = append(unplaced, rec)
			continue
		}
		if s == nil {
			r.Results = append(r.Results, Result{Level: rec.Level, Cache: rec.Cache,
				Pooled: record.Summary{Scenario: rec.Scenario, PeakPool: -1}})
			s = &r.Results[len(r.Results)-1]
		}
		if rec.Warmup {
			s.Warmup = append(s.Warmup, rec)
		} else {
			s.Records = append(s.Records, rec)
		}
	}
	if count {
		for i := range r.Results {
			r.Results[i].Agents = maxAgents(r.Results[i].Records)
		}
	}
	return unplaced
}

// summarize computes the summaries of a result that was read. How long each run was is kept where
// it is known, else taken from the records.
func (r *Result) summarize(objective load.Objective) {
	byRun := map[int][]record.Record{}
	for _, rec := range r.Records {
		byRun[rec.Run] = append(byRun[rec.Run], rec)
	}
	samples := map[int][]record.Sample{}
	for _, s := range r.Samples {
		samples[s.Run] = append(samples[s.Run], s)
	}
	known := r.Runs
	r.Runs = nil
	var all time.Duration
	for i, index := range slices.Sorted(maps.Keys(byRun)) {
		run := record.Run{Scenario: r.Pooled.Scenario, Index: index, Goodput: objective,
			Records: byRun[index],
			Elapsed: underLoad(byRun[index]), PeakPool: record.PeakPool(samples[index])}
		if i < len(known) {
			run.Elapsed = cmp.Or(known[i].Elapsed, run.Elapsed)
			run.PeakPool, run.Counters = known[i].PeakPool, known[i].Counters
			run.Window, run.Held = known[i].Window, known[i].Held
		}
		all += run.Elapsed
		r.Pooled.PeakPool = max(r.Pooled.PeakPool, run.PeakPool)
		r.Runs = append(r.Runs, run.Summary())
	}
	pooled := record.Run{Scenario: r.Pooled.Scenario, Goodput: objective, Records: r.Records,
		Elapsed: cmp.Or(r.Pooled.Elapsed, all), PeakPool: r.Pooled.PeakPool,
		Counters: r.Pooled.Counters}
	r.Pooled = pooled.Summary()
}

// underLoad is how long the repetitions of one run took, without what came between them.
func underLoad(records []record.Record) time.Duration {
	return total(spans(records, func(r *record.Record) int { return r.Rep }, end))
}

// maxAgents is how many agents took part in one repetition.
func maxAgents(records []record.Record) int {
	type rep struct{ run, rep int }
	agents := map[rep]map[string]bool{}
	n := 0
	for _, r := range records {
		key := rep{r.Run, r.Rep}
		if agents[key] == nil {
			agents[key] = map[string]bool{}
		}
		agents[key][r.Agent] = true
		n = max(n, len(agents[key]))
	}
	return n
}
