package report

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stub"
)

// together is the part of a run's time that all its parts must share. What is not loaded at the same time is another load.
const together = 0.9

// Merge makes one report of the parts of a load that several load generators put on one server at the same time, at least
// one. The clocks of their machines are taken to agree.
//
// A run is then all parts' runs of that number and level, and its rate that of their requests from the first due to the
// last end. Of what the server says of itself the first part's samples stay; its own count cannot be told apart by part,
// each of which has compared it with its own requests alone, and is left out.
func Merge(parts []*Report) (*Report, error) {
	whole := *parts[0]
	for i, p := range parts {
		switch {
		case p.Load.Shape == "":
			return nil, fmt.Errorf("part %d is no load of loadstone run: the repetitions of bench wait for their own answers, not for another's", i+1)
		case p.Epoch.IsZero():
			return nil, fmt.Errorf("part %d does not say when it was measured: its results.json is missing or too old", i+1)
		case p.System.Model != whole.System.Model || p.System.Commit != whole.System.Commit:
			return nil, fmt.Errorf("part %d measured %s, the first one %s", i+1, p.subject(), whole.subject())
		case p.Load.Goodput != whole.Load.Goodput:
			return nil, fmt.Errorf("part %d counts %q as good, the first one %q; report -goodput judges it anew", i+1, p.Load.Goodput, whole.Load.Goodput)
		}
		if p.Epoch.Before(whole.Epoch) {
			whole.Epoch = p.Epoch
		}
		if p.Start.Before(whole.Start) {
			whole.Start = p.Start
		}
	}
	whole.Scenarios, whole.Client, whole.Violations, whole.Stopped = nil, Client{}, nil, ""
	for i := range parts[0].Scenarios {
		s, err := mergeScenario(parts, parts[0].Scenarios[i].Pooled.Scenario, parts[0].Scenarios[i].Level, whole.Epoch)
		if err != nil {
			return nil, err
		}
		whole.Scenarios = append(whole.Scenarios, s)
	}
	for i, p := range parts {
		if len(p.Scenarios) != len(whole.Scenarios) {
			return nil, fmt.Errorf("part %d has %s, the first one %s", i+1, Plural(len(p.Scenarios), "level"), Plural(len(whole.Scenarios), "level"))
		}
		whole.Violations = append(whole.Violations, p.Violations...)
		whole.Stopped = strings.Trim(whole.Stopped+"; "+p.Stopped, "; ")
		whole.Client.Busy = max(whole.Client.Busy, p.Client.Busy)
		whole.Client.Floors = append(whole.Client.Floors, p.Client.Floors...)
	}
	whole.Client.Floors = worstFloors(whole.Client.Floors)
	return &whole, whole.holdAgain()
}

// mergeScenario puts the parts of one level on one clock, which began at epoch.
func mergeScenario(parts []*Report, name string, level load.Level, epoch time.Time) (Scenario, error) {
	var whole Scenario
	loaded := map[int][]span{} // of each run, by part
	for i, p := range parts {
		own := p.at(name, level)
		if own == nil {
			return Scenario{}, fmt.Errorf("part %d has no %s", i+1, strings.TrimSpace(name+" "+level.String()))
		}
		late := p.Epoch.Sub(epoch)
		if i == 0 {
			whole = *own
			whole.Again = record.Again{}
			whole.Agents, whole.Records, whole.Warmup, whole.Runs, whole.Samples = 0, nil, nil, nil, nil
			whole.Pooled = record.Summary{Scenario: name, PeakPool: -1}
			for _, s := range own.Samples {
				s.At += late
				whole.Samples = append(whole.Samples, s)
			}
		}
		whole.Agents += own.Agents
		whole.Again = whole.Again.Add(own.Again)
		records := shifted(own.Records, late)
		whole.Records = append(whole.Records, records...)
		whole.Warmup = append(whole.Warmup, shifted(own.Warmup, late)...)
		for run, s := range spans(records, func(r *record.Record) int { return r.Run }, ended) {
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
	whole.summarize()
	return whole, errors.Join(apart...)
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
		return fmt.Errorf("%s, run %d: of %s only %.0f %% are loaded by all parts, want %.0f %%: begin them at the same time, with a duration, and one run each",
			name, run+1, duration(all.to-all.from), 100*max(0, part), 100*together)
	}
	return nil
}

// shifted are the records on a clock that began so much earlier.
func shifted(records []record.Record, by time.Duration) []record.Record {
	later := slices.Clone(records)
	for i := range later {
		r := &later[i]
		r.Chunks = slices.Clone(r.Chunks)
		for j := range r.Chunks {
			r.Chunks[j] += by
		}
		for _, t := range []*time.Duration{&r.Due, &r.Sent, &r.FirstByte, &r.FirstContent, &r.End} {
			if *t >= 0 {
				*t += by
			}
		}
	}
	return later
}

// worstFloors has the largest error of each number of streams.
func worstFloors(floors []stub.Calibration) []stub.Calibration {
	slices.SortStableFunc(floors, func(a, b stub.Calibration) int {
		return cmp.Or(cmp.Compare(a.Streams, b.Streams), cmp.Compare(b.TTFT, a.TTFT))
	})
	return slices.CompactFunc(floors, func(a, b stub.Calibration) bool { return a.Streams == b.Streams })
}
