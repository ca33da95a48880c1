// Package page draws a report as one page of HTML that needs nothing else: no network, no fonts, no
// scripts but its own.
package page

import (
	"fmt"
	"html/template"
	"io"

	"loadstone/harness/gate"
	"loadstone/harness/limit"
	"loadstone/harness/report"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// An Earlier is a measurement that is set beside a report's own.
type Earlier struct {
	Comparison *gate.Comparison // of that measurement, the base, with the report's own; or nil
	Report     *report.Report   // whose curves stand behind; nil where its requests are not at hand
}

// page is what the template draws.
type page struct {
	*report.Report
	report.Statements
	Style         template.CSS
	Script        template.JS
	Title         string
	Date          string
	Runs          string // "10 runs of 10 repetitions"
	Targets       []targetCard
	Met           int  // how many targets are met
	Own           bool // the targets are the load's own limits
	Open          bool // of Answers: rounding cannot be told from corruption
	P99Needs      int
	Strips        stripChart
	Distributions []*distribution
	Timelines     []*timeline
	Agents        []*agents // of the results that have jobs
	Busiest       int       // index of the timeline that is shown first
	Breakdowns    []breakdown
	Seen          bool        // the breakdowns are by the client's clock
	Gauges        []gaugePair // of the results of which either gauge is known
	PoolKnown     bool
	PoolLimit     string // above which the server refuses new work
	Sweeps        []sweepChart
	TabStyle      template.CSS
	Data          map[string]chartData // by result
	Forest        *forest              // beside an earlier measurement; nil: none
}

// A breakdown is where a result's requests spent their time.
type breakdown struct {
	Scenario string
	report.Breakdown
}

// chartData is what the pointer and the keyboard read in a result's charts.
type chartData struct {
	Dots   []dot     `json:"dots"`
	Server []instant `json:"server"`
	Bars   []bar     `json:"bars"`
	Swim   *laneData `json:"swim,omitempty"`
}

// Write writes a report as a page, with an earlier measurement beside it where one is given.
func Write(w io.Writer, r *report.Report, earlier *Earlier) error {
	p := &page{
		Report: r, Statements: r.Statements(), Style: template.CSS(style),
		Script: template.JS(script),
		Title:  r.Model(), Date: r.Date("2 January 2006, 15:04 MST"), Runs: runs(r),
		Own: r.Limits != nil, Open: r.Again().Open > 0, P99Needs: stats.Wanted(0.99),
		Strips:    newStrips(r),
		PoolLimit: fmt.Sprintf("%.0f %%", 100*r.System.PoolLimit()), Data: map[string]chartData{},
	}
	var before *report.Report
	if earlier != nil {
		before = earlier.Report
		if earlier.Comparison != nil {
			p.Forest = newForest(earlier.Comparison)
		}
	}
	for _, o := range r.Outcomes() {
		p.Targets = append(p.Targets, newTargetCard(o))
		if o.Standing == limit.Met {
			p.Met++
		}
	}
	for _, d := range []*distribution{
		newDistribution(r, before, "e2e", "End to end", r.Limits == nil, report.Latencies),
		newDistribution(r, before, "ttft", "First token", false, report.TTFTs),
		newDistribution(r, before, "itl", "Between pieces", false, report.Gaps),
	} {
		if d != nil {
			p.Distributions = append(p.Distributions, d)
		}
	}
	p.drawResults()
	for _, s := range r.Sweeps() {
		p.Sweeps = append(p.Sweeps, newSweepChart(s))
	}
	p.TabStyle = tabStyle(max(len(p.Timelines), len(p.Distributions), len(p.Agents)))
	return templates.ExecuteTemplate(w, "report", p)
}

// drawResults draws what there is one of for each result.
func (p *page) drawResults() {
	busiest := 0
	p.Seen = true
	for i := range p.Results {
		s := &p.Results[i]
		work, swim := newAgents(s, i)
		if work != nil {
			p.Agents = append(p.Agents, work)
		}
		if t := newTimeline(s, i, p.System.PoolLimit()); t != nil {
			if work != nil {
				t.Lanes = nil // the agents' own show more
			}
			p.Timelines = append(p.Timelines, t)
			if t.Max >= busiest {
				busiest, p.Busiest = t.Max, i
			}
			data := chartData{Dots: t.Dots, Server: t.Server, Swim: swim}
			if t.Lanes != nil {
				data.Bars = t.Lanes.Bars
			}
			p.Data[t.Scenario] = data
		}
		if g := newGaugePair(i, s, p.System.PoolLimit()); g.Hit.Known || g.Pool.Known {
			p.Gauges = append(p.Gauges, g)
			p.PoolKnown = p.PoolKnown || g.Pool.Known
		}
		b := breakdown{s.Name(), s.Breakdown()}
		p.Breakdowns = append(p.Breakdowns, b)
		p.Seen = p.Seen && (b.N == 0 || b.Seen)
	}
}

func runs(r *report.Report) string {
	if r.Workload.Reps <= 1 {
		return table.Plural(r.Workload.Runs, "run")
	}
	return table.Plural(r.Workload.Runs, "run") + " of " +
		table.Plural(r.Workload.Reps, "repetition")
}
