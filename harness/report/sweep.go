package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// keepsUp is the part of the offered rate that has to be answered for the server to count as
// keeping up with it.
const keepsUp = 0.95

// A Sweep is one load at several levels, and the knee of its throughput: up to there more load
// gives more answers, beyond it only longer waiting.
type Sweep struct {
	Name   string
	Kind   string  // of the levels: "rate" or "concurrency"
	Points []Point // ascending by level, at least two
	Knee   int     // index of a point, -1 where even the first is beyond it
	Open   bool    // the last level is the knee: it may lie higher still
	Method string  // how the knee was found
}

// A Point is what was measured at one level, a rate or a number of agents.
type Point struct {
	Level    float64
	Name     string  // of the result
	Agents   int     // at a time; 0 unknown
	Offered  float64 // requests a second that fell due; by chance it is not exactly the rate
	ReqPerS  float64
	TokPerS  float64
	Goodput  float64 // requests a second that met the load's objective; -1: there is none
	E2E      stats.Dist
	PeakPool float64
	Text     string // all of that for the reader, in several lines
}

func newPoint(s *Result, level float64) Point {
	p := Point{Level: level, Name: s.Name(), Agents: s.Agents, Offered: offered(s.Records),
		ReqPerS: s.Pooled.RequestsPerSec, TokPerS: s.Pooled.TokensPerSec, Goodput: -1,
		E2E: s.Pooled.E2E, PeakPool: s.Pooled.PeakPool}
	p.Text = fmt.Sprintf("%s\n%s req/s, %s tok/s\np50 %s, p95 %s, p99 %s",
		p.Name, table.Rate(p.ReqPerS), table.Rate(p.TokPerS),
		Quantile(p.E2E, 0.50), Quantile(p.E2E, 0.95), Quantile(p.E2E, 0.99))
	if s.Pooled.Judged > 0 {
		p.Goodput = s.Pooled.Goodput
		p.Text += "\ngoodput " + Goodput(s.Pooled)
	}
	return p
}

// offered is the rate at which requests fell due, pauses between runs and repetitions left out.
func offered(records []record.Record) float64 {
	type rep struct{ run, rep int }
	due := spans(records,
		func(r *record.Record) rep { return rep{r.Run, r.Rep} },
		func(r *record.Record) time.Duration { return r.Due })
	took := total(due)
	if took <= 0 {
		return 0
	}
	return float64(len(records)-len(due)) / took.Seconds()
}

// Sweeps are the loads that were run at several levels. Without any, the results that differ by
// their number of agents are one, where there are at least two of them.
func (r *Report) Sweeps() []Sweep {
	var all []Sweep
	for i := range r.Results {
		s := &r.Results[i]
		if s.Level.Kind == "" || s.Pooled.Requests == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(w Sweep) bool {
			return w.Name == s.Pooled.Scenario && w.Kind == s.Level.Kind
		})
		if at < 0 {
			at = len(all)
			all = append(all, Sweep{Name: s.Pooled.Scenario, Kind: s.Level.Kind})
		}
		all[at].Points = append(all[at].Points, newPoint(s, s.Level.Value))
	}
	if len(all) == 0 {
		all = append(all, Sweep{Name: "the scenarios", Kind: "concurrency",
			Points: r.capacity().Points})
	}
	all = slices.DeleteFunc(all, func(w Sweep) bool { return len(w.Points) < 2 })
	for i := range all {
		slices.SortFunc(all[i].Points, func(a, b Point) int {
			return cmp.Compare(a.Level, b.Level)
		})
		all[i].findKnee()
	}
	return all
}

// findKnee marks the knee. An open loop offers a rate: the knee is the highest up to which every
// rate was answered. A closed loop offers what the server takes: the knee is the lowest concurrency
// whose throughput is near the best.
func (w *Sweep) findKnee() {
	w.Knee = -1
	if w.Kind == "rate" {
		w.Method = fmt.Sprintf("the highest rate up to which requests were answered at %.0f %% "+
			"or more "+
			"of the rate at which they fell due", 100*keepsUp)
		for i, p := range w.Points {
			if p.ReqPerS < keepsUp*p.Offered {
				break
			}
			w.Knee = i
		}
	} else {
		w.Method = fmt.Sprintf("the lowest concurrency with %.0f %% of the highest throughput "+
			"measured", 100*kneeShare)
		best := 0.0
		for _, p := range w.Points {
			best = max(best, p.ReqPerS)
		}
		w.Knee = slices.IndexFunc(w.Points, func(p Point) bool {
			return p.ReqPerS >= kneeShare*best
		})
	}
	w.Open = w.Knee == len(w.Points)-1
}

// level prints a level of the sweep.
func (w *Sweep) level(v float64) string {
	if w.Kind == "rate" {
		return table.Three(v) + " req/s"
	}
	return table.Plural(int(v), "agent")
}

// Text says in a sentence where the knee is.
func (w *Sweep) Text() string {
	last := w.Points[len(w.Points)-1]
	switch {
	case w.Knee < 0:
		return fmt.Sprintf("The knee lies below %s, the lowest level measured.",
			w.level(w.Points[0].Level))
	case w.Open:
		return fmt.Sprintf("No knee up to %s (%s req/s answered): it lies beyond what was "+
			"measured.",
			w.level(last.Level), table.Rate(last.ReqPerS))
	}
	k := w.Points[w.Knee]
	name, q := "p95", 0.95
	if !stats.Supports(k.E2E.N, q) || !stats.Supports(last.E2E.N, q) {
		name, q = "p50", 0.50
	}
	return fmt.Sprintf("The knee is at %s: %s req/s answered, %s %s; at %s it is %s req/s and %s.",
		w.level(k.Level), table.Rate(k.ReqPerS), name, Quantile(k.E2E, q),
		w.level(last.Level), table.Rate(last.ReqPerS), Quantile(last.E2E, q))
}

// advice is what a sweep says of capacity.
func (w *Sweep) advice() []string {
	advice := []string{w.Text()}
	if w.Knee < 0 {
		return advice
	}
	bound := "at the knee"
	if w.Open {
		bound = "at the highest level measured, a lower bound of what it bears"
	}
	return append(advice, fmt.Sprintf("Add capacity when the sustained rate passes %s req/s "+
		"(%.0f %% of what was answered %s): beyond it waiting grows much faster than the load.",
		table.Rate(headroom*w.Points[w.Knee].ReqPerS), 100*headroom, bound))
}
