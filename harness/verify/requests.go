package verify

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// derived is one run, whose requests are made again from its load's seeds.
type derived struct {
	result  *report.Result
	run     int
	at      []int // its records among all
	records []record.Record

	n     int // requests that were made again
	found []harness.Deviation
	err   error
}

// checkRequests makes the requests again from the seeds.
func (v *verification) checkRequests() {
	runs := v.derivable()
	deriveAll(runs, v.report.Stopped == "")
	n := v.tellDerived(runs)
	warm, found := harness.WarmedUp(v.records)
	for _, d := range found {
		v.differs(recordsFile, place(d.Record), "%s", d.About)
	}
	n += warm
	v.check("requests", n, "%d of %d made again from the seeds; what they ask, how much and when "+
		"is the same", n, len(v.records))
}

// derivable returns the runs whose requests can be made again, and notes those whose cannot.
func (v *verification) derivable() (runs []*derived) {
	key := func(scenario string, level load.Level, run int) string {
		return fmt.Sprintf("%q %v %d", scenario, level, run)
	}
	byRun := map[string][]int{}
	for i := range v.records {
		r := &v.records[i]
		k := key(r.Scenario, r.Level, r.Run)
		byRun[k] = append(byRun[k], i)
	}
	for i := range v.report.Results {
		r := &v.report.Results[i]
		if r.Made == nil {
			v.note("%s: its %s cannot be made again, since prompts were written or recorded, or "+
				"the results are of an earlier version", r.Name(),
				table.Plural(r.Pooled.Requests, "request"))
			continue
		}
		for _, run := range indexes(r) {
			d := &derived{result: r, run: run, at: byRun[key(r.Pooled.Scenario, r.Level, run)]}
			for _, i := range d.at {
				d.records = append(d.records, v.records[i])
			}
			runs = append(runs, d)
		}
	}
	return runs
}

// deriveAll makes the requests of all runs again, on all processors. complete says that the
// measurement came to its end.
func deriveAll(runs []*derived, complete bool) {
	var working sync.WaitGroup
	next := make(chan *derived)
	for range min(runtime.GOMAXPROCS(0), len(runs)) {
		working.Go(func() {
			for d := range next {
				of := harness.Derivation{Scenario: d.result.Pooled.Scenario, Level: d.result.Level,
					Run: d.run, Complete: complete}
				d.n, d.found, d.err = of.Derive(d.result.Made, d.records)
			}
		})
	}
	for _, d := range runs {
		next <- d
	}
	close(next)
	working.Wait()
}

// tellDerived adds what differs in the runs, and returns how many requests were made again. Rules
// that this version does not know are noted once for each result.
func (v *verification) tellDerived(runs []*derived) (n int) {
	noted := map[string]bool{}
	for _, d := range runs {
		n += d.n
		name := d.result.Name()
		at := fmt.Sprintf("%s, run %d", name, d.run+1)
		if _, ok := errors.AsType[*harness.FormError](d.err); ok {
			if !noted[name] {
				noted[name] = true
				v.note("%s: %v", name, d.err)
			}
			continue
		}
		if d.err != nil {
			v.differs(resultsFile, at, "%v", d.err)
			continue
		}
		for _, one := range d.found[:min(len(d.found), maxFound)] {
			if one.Record >= 0 {
				v.differs(recordsFile, place(d.at[one.Record]), "%s: %s", at, one.About)
			} else {
				v.differs(recordsFile, at, "%s", one.About)
			}
		}
	}
	return n
}
