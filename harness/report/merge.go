package report

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stub"
	"loadstone/harness/table"
)

// together is the part of a run's time that all its parts must share. What is not loaded at the
// same time is another load.
const together = 0.9

// Merge makes one report of the parts of a load that several load generators put on one server at
// the same time, at least one. The clocks of their machines are taken to agree.
//
// It refuses what is not parts of one load: other loads, parts that failed, the same part twice,
// and parts that overlap or asked the same questions. Parts that are shares of one load (see
// load.Share) must be all of them; together they are that load.
//
// A run is then all parts' runs of that number and level, and its rate that of their requests from
// the first due to the last end. Of what the server says of itself the first part's samples stay.
// The server's own count is left out: it cannot be told apart by part, and each part has compared
// it with its own requests alone.
func Merge(parts []*Report) (*Report, error) {
	whole := *parts[0]
	if err := checkShares(parts); err != nil {
		return nil, err
	}
	for i, p := range parts {
		if err := p.comparable(parts[0], i+1); err != nil {
			return nil, err
		}
		for j, earlier := range parts[:i] {
			if err := p.apartFrom(earlier, i+1, j+1); err != nil {
				return nil, err
			}
		}
		if p.Epoch.Before(whole.Epoch) {
			whole.Epoch = p.Epoch
		}
		if p.Start.Before(whole.Start) {
			whole.Start = p.Start
		}
	}
	whole.Results, whole.Generator, whole.Violations, whole.Stopped = nil, Generator{}, nil, ""
	whole.Proof, whole.Workload.Part = nil, ""
	for i := range parts[0].Results {
		s, err := mergeResult(parts, parts[0].Results[i].Pooled.Scenario, parts[0].Results[i].Level,
			whole.Epoch)
		if err != nil {
			return nil, err
		}
		whole.Results = append(whole.Results, s)
	}
	for i, p := range parts {
		if len(p.Results) != len(whole.Results) {
			return nil, fmt.Errorf("part %d has %s, the first one %s", i+1,
				table.Plural(len(p.Results), "level"), table.Plural(len(whole.Results), "level"))
		}
		whole.Generator.Busy = max(whole.Generator.Busy, p.Generator.Busy)
		whole.Generator.Calibration = append(whole.Generator.Calibration,
			p.Generator.Calibration...)
	}
	whole.Generator.Calibration = worstCalibration(whole.Generator.Calibration)
	return &whole, whole.holdAgain()
}

// checkShares refuses parts of which some are shares of a load, and not all of them.
func checkShares(parts []*Report) error {
	have := map[load.Share]int{}
	for i, p := range parts {
		s, err := load.ParseShare(p.Workload.Part)
		first, _ := load.ParseShare(parts[0].Workload.Part)
		switch before, twice := have[s]; {
		case err != nil:
			return fmt.Errorf("part %d: %w", i+1, err)
		case s.Of != first.Of:
			return fmt.Errorf("part %d is %s of a load, and the first one %s", i+1,
				cmp.Or(p.Workload.Part, "all"), cmp.Or(parts[0].Workload.Part, "all"))
		case s.Of > 0 && twice:
			return fmt.Errorf("parts %d and %d are both %v of the load", before, i+1, s)
		case s.Of > 0 && p.Workload.Seed != parts[0].Workload.Seed:
			return fmt.Errorf("part %d has the seed %d and the first one %d, so they are no "+
				"shares of one load", i+1, p.Workload.Seed, parts[0].Workload.Seed)
		}
		have[s] = i + 1
	}
	for s := range have {
		for k := range s.Of {
			if missing := (load.Share{Part: k, Of: s.Of}); have[missing] == 0 {
				return fmt.Errorf("%v of the load is missing", missing)
			}
		}
	}
	return nil
}

// comparable refuses part i, counted from 1, of a load whose first part is given.
func (r *Report) comparable(first *Report, i int) error {
	switch {
	case r.Workload.Shape == "":
		return fmt.Errorf("part %d is not a load of loadstone run: the repetitions of bench wait "+
			"for their own answers, "+
			"not for another's", i)
	case r.Epoch.IsZero():
		return fmt.Errorf("part %d does not say when it was measured: its results.json is "+
			"missing or too old", i)
	case r.Stopped != "":
		return fmt.Errorf("part %d is incomplete: %s", i, table.OneLine(r.Stopped))
	case len(r.Violations) > 0:
		return fmt.Errorf("part %d is not a sound measurement: %s, the first: %s", i,
			table.Plural(len(r.Violations), "violation"), table.OneLine(r.Violations[0]))
	case r.System.Model != first.System.Model || r.System.Commit != first.System.Commit:
		return fmt.Errorf("part %d measured %s, the first one %s", i, r.server(), first.server())
	case r.Workload.Body != first.Workload.Body:
		return fmt.Errorf("unlike loads: body is %q in the first part and %q in part %d",
			first.Workload.Body, r.Workload.Body, i)
	case r.Workload.API != first.Workload.API:
		return fmt.Errorf("unlike loads: api is %q in the first part and %q in part %d",
			first.Workload.API, r.Workload.API, i)
	case r.Workload.Goodput != first.Workload.Goodput:
		return &GoodputError{i, r.Workload.Goodput, first.Workload.Goodput}
	}
	return nil
}

// apartFrom refuses part i that is part j as well, or has requests of it, or asked its questions.
func (r *Report) apartFrom(earlier *Report, i, j int) error {
	known := earlier.moments()
	all, common := 0, 0
	for m := range r.moments() {
		if all++; known[m] {
			common++
		}
	}
	switch {
	case common > 0 && common == all && len(known) == all:
		return fmt.Errorf("parts %d and %d are the same measurement", j, i)
	case common > 0:
		return fmt.Errorf("parts %d and %d overlap: %s are in both", j, i,
			table.Plural(common, "request"))
	case r.Workload.Part == "" && r.Workload.Seed != 0 && r.Workload.Seed == earlier.Workload.Seed:
		return fmt.Errorf("parts %d and %d have the same seed, %d, so they asked the same "+
			"questions, whose answers one finds in the cache of the other: give each a seed of "+
			"its own", j, i, r.Workload.Seed)
	}
	return nil
}

// A moment tells a request from all others: no two are sent and end in the same nanoseconds.
type moment struct {
	scenario, agent string
	level           load.Level
	turn            int
	sent, end       int64 // since 1970
}

func (r *Report) moments() map[moment]bool {
	all := map[moment]bool{}
	for i := range r.Results {
		for j := range r.Results[i].Records {
			q := &r.Results[i].Records[j]
			all[moment{q.Scenario, q.Agent, q.Level, q.Turn, r.Epoch.Add(q.Sent).UnixNano(),
				r.Epoch.Add(q.End).UnixNano()}] = true
		}
	}
	return all
}

// A GoodputError is a part of a load that was held to another objective than the first one.
// SetGoodput judges it anew.
type GoodputError struct {
	Part        int // counted from 1
	Goodput     string
	FirstPartIs string
}

func (e *GoodputError) Error() string {
	return fmt.Sprintf("part %d counts %q as good, the first one %q", e.Part, e.Goodput,
		e.FirstPartIs)
}

// mergeResult puts the parts of one level on one clock, which began at epoch.
func mergeResult(parts []*Report, scenario string, level load.Level, epoch time.Time) (Result,
	error) {
	var whole Result
	loaded := map[int][]span{} // of each run, by part
	for i, p := range parts {
		own := p.At(scenario, level)
		if own == nil {
			return Result{}, fmt.Errorf("part %d has no %s", i+1, name(scenario, level))
		}
		if err := sameLoad(parts[0].At(scenario, level), own, i+1); err != nil {
			return Result{}, err
		}
		late := p.Epoch.Sub(epoch)
		if i == 0 {
			whole = *own
			whole.Again, whole.Skipped, whole.Made = record.Again{}, 0, nil
			whole.Agents, whole.Records, whole.Warmup, whole.Runs, whole.Samples = 0, nil, nil, nil,
				nil
			whole.Pooled = record.Summary{Scenario: scenario, PeakPool: -1}
			for _, s := range own.Samples {
				s.At += late
				whole.Samples = append(whole.Samples, s)
			}
		}
		if p.Workload.Part == "" || i == 0 { // every share says how many agents the load has
			whole.Agents += own.Agents
		}
		whole.Again = whole.Again.Add(own.Again)
		whole.Skipped += own.Skipped
		records := shifted(own.Records, late)
		whole.Records = append(whole.Records, records...)
		whole.Warmup = append(whole.Warmup, shifted(own.Warmup, late)...)
		for run, s := range spans(records, func(r *record.Record) int { return r.Run }, end) {
			loaded[run] = append(loaded[run], s)
		}
	}
	slices.SortStableFunc(whole.Records, func(a, b record.Record) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Due, b.Due))
	})
	var apart []error
	for _, run := range slices.Sorted(maps.Keys(loaded)) {
		apart = append(apart, sameTime(whole.Name(), run, loaded[run], len(parts)))
	}
	if len(parts) > 1 && parts[0].Workload.Part == "" {
		whole.Asked = whole.Asked.With("parts", strconv.Itoa(len(parts)))
	}
	whole.summarize(parts[0].Workload.objective())
	return whole, errors.Join(apart...)
}

// sameLoad refuses part i where it is known to have put another load on the server.
func sameLoad(first, own *Result, i int) error {
	if len(first.Asked) == 0 || len(own.Asked) == 0 {
		return nil
	}
	var unlike []string
	for _, d := range first.Asked.Differences(own.Asked) {
		unlike = append(unlike, fmt.Sprintf("%s is %s in the first part and %s in part %d", d.Key,
			cmp.Or(d.A, "not given"), cmp.Or(d.B, "not given"), i))
	}
	if len(unlike) > 0 {
		return fmt.Errorf("unlike loads of %s: %s", own.Name(), strings.Join(unlike, "; "))
	}
	return nil
}

// sameTime refuses the parts of a run that did not load the server at the same time.
func sameTime(name string, run int, parts []span, want int) error {
	if len(parts) != want {
		return fmt.Errorf("%s, run %d: only %d of %d parts have it", name, run+1, len(parts), want)
	}
	all, shared := parts[0], parts[0]
	for _, p := range parts[1:] {
		all = span{min(all.from, p.from), max(all.to, p.to)}
		shared = span{max(shared.from, p.from), min(shared.to, p.to)}
	}
	part := float64(shared.to-shared.from) / float64(all.to-all.from)
	if part < together {
		return fmt.Errorf("%s, run %d: of %s only %.0f %% are loaded by all parts, want %.0f %%: "+
			"begin them at the same time, with a duration, and one run each",
			name, run+1, table.Duration(all.to-all.from), 100*max(0, part), 100*together)
	}
	return nil
}

// shifted are the records on a clock that began earlier by so much.
func shifted(records []record.Record, by time.Duration) []record.Record {
	later := slices.Clone(records)
	for i := range later {
		later[i].Shift(by)
	}
	return later
}

// worstCalibration has the largest error for each number of streams.
func worstCalibration(all []stub.Calibration) []stub.Calibration {
	slices.SortStableFunc(all, func(a, b stub.Calibration) int {
		return cmp.Or(cmp.Compare(a.Streams, b.Streams), cmp.Compare(b.TTFT, a.TTFT))
	})
	return slices.CompactFunc(all, func(a, b stub.Calibration) bool { return a.Streams == b.Streams })
}
