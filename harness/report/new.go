package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// New makes a report of runs. loads are what was put on the server, by the names that the runs have
// as their scenario. There is a result for each load and each of its levels that has a run, in the
// order of the loads and from the lowest level to the highest; within one, runs keep their order.
// Runs of other scenarios come after, with what they say of themselves.
//
// Where meta does not say how many runs there were, or what a good answer must hold, the runs do.
// Hold judges the limits of meta's workload afterwards.
func New(meta Meta, loads []load.Load, runs []record.Run) *Report {
	r := &Report{Meta: meta}
	known := map[string]bool{}
	for i := range loads {
		known[loads[i].Name] = true
		r.addResults(loads[i].Name, &loads[i], runs)
	}
	for _, run := range runs {
		if !known[run.Scenario] {
			known[run.Scenario] = true
			r.addResults(run.Scenario, nil, runs)
		}
		for _, v := range run.Violations {
			r.Violations = append(r.Violations, v.String())
		}
	}
	if r.Workload.Runs == 0 {
		for _, run := range runs {
			r.Workload.Runs = max(r.Workload.Runs, run.Index+1)
		}
	}
	if r.Workload.Goodput == "" && len(runs) > 0 {
		r.Workload.Goodput = runs[0].Goodput.String()
	}
	return r
}

// addResults adds those of one scenario, one for each level. l is its load, nil where that is not
// known.
func (r *Report) addResults(scenario string, l *load.Load, runs []record.Run) {
	byLevel := map[load.Level][]record.Run{}
	for _, run := range runs {
		if run.Scenario == scenario {
			byLevel[run.Level] = append(byLevel[run.Level], run)
		}
	}
	var all []Result
	for level, own := range byLevel {
		one := Result{Level: level, Cache: own[0].Cache}
		one.fill(own)
		if l != nil {
			one.describe(l)
		} else {
			one.Agents = maxAgents(one.Records)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Result) int { return cmp.Compare(a.Level.Value, b.Level.Value) })
	r.Results = append(r.Results, all...)
}

// describe says what the load asked for at the result's level.
func (r *Result) describe(l *load.Load) {
	at := l.At(r.Level)
	r.Asked = at.Identity()
	r.Cache, r.Agents, r.About = l.Cache, max(at.Concurrency, at.Together), l.About
	switch {
	case l.Reserve > 0 && r.Pooled.PeakPool < 0: // nobody knows what the round reserved
		r.About = fmt.Sprintf("%d new agents at once; the server does not tell how large its KV pool is",
			l.Together)
	case r.About == "":
		r.About = at.Shape()
	}
	if l.Trace == nil {
		r.PromptTokens, r.MaxTokens = int(l.Prompt.A), int(l.Answer.A)
	}
}

// fill puts into a result what its runs, at least one, came to.
func (r *Result) fill(runs []record.Run) {
	r.Pooled = record.Pool(runs)
	r.Made = runs[0].Asked
	for _, run := range runs {
		if !run.Asked.Equal(r.Made) { // the server was another one then
			r.Made = nil
		}
		r.Runs = append(r.Runs, run.Summary())
		r.Records = append(r.Records, run.Records...)
		r.Warmup = append(r.Warmup, run.Warmup...)
		r.Samples = append(r.Samples, run.Samples...)
		r.Again = r.Again.Add(run.Again)
		r.Skipped += run.Skipped
	}
}

// NewWorkload describes a load that is tried at some levels, or as it is where there are none. Reps
// is 1, and Runs is left for New to count.
func NewWorkload(l *load.Load, levels []load.Level) Workload {
	w := Workload{Reps: 1, PromptTokens: int(l.Prompt.A), MaxTokens: int(l.Answer.A),
		Seed:    l.Seeds.Text,
		Goodput: l.Goodput.String(), Shape: l.Shape()}
	if len(levels) > 0 {
		var values []string
		for _, level := range levels {
			values = append(values, fmt.Sprint(level.Value))
		}
		w.Shape = fmt.Sprintf("sweep over %s %s", levels[0].Kind, strings.Join(values, ", "))
	}
	return w
}
