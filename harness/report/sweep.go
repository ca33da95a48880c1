package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// keepsUp is the part of the offered rate that has to be answered for the subject to count as keeping up with it.
const keepsUp = 0.95

// A Sweep is one load at several levels, and the knee of its throughput: up to there more load gives more answers, beyond
// it only longer waiting.
type Sweep struct {
	Name   string
	Kind   string // of the levels: "rate" or "concurrency"
	Points []SweepPoint
	Knee   int    // index of a point, -1 where even the first is beyond it
	Open   bool   // the last level is the knee: it may lie higher still
	Method string // how the knee was found
}

// A SweepPoint is one level.
type SweepPoint struct {
	Level   float64
	Offered float64 // requests a second that fell due, of an open loop; by chance it is not just the level
	ReqPerS float64
	Goodput float64 // of them, those that met the load's objective; -1 there is none
	TokPerS float64
	E2E     stats.Dist
	text    string
}

// sweeps finds the loads that were run at several levels. Without any, the standard scenarios are one: 1, 5 and 10 agents.
func (r *Report) sweeps() []Sweep {
	var all []Sweep
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Level.Kind == "" || s.Pooled.Requests == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(w Sweep) bool { return w.Name == s.Pooled.Scenario && w.Kind == s.Level.Kind })
		if at < 0 {
			at = len(all)
			all = append(all, Sweep{Name: s.Pooled.Scenario, Kind: s.Level.Kind})
		}
		all[at].Points = append(all[at].Points, newSweepPoint(s, s.Level.Value))
	}
	if len(all) == 0 {
		w := Sweep{Name: "the standard scenarios", Kind: "concurrency"}
		for _, l := range r.capacity().Levels {
			if s := r.find(l.Scenario); s != nil {
				w.Points = append(w.Points, newSweepPoint(s, float64(l.Agents)))
			}
		}
		all = append(all, w)
	}
	all = slices.DeleteFunc(all, func(w Sweep) bool { return len(w.Points) < 2 })
	for i := range all {
		slices.SortFunc(all[i].Points, func(a, b SweepPoint) int { return cmp.Compare(a.Level, b.Level) })
		all[i].findKnee()
	}
	return all
}

func newSweepPoint(s *Scenario, level float64) SweepPoint {
	p := SweepPoint{Level: level, ReqPerS: s.Pooled.RequestsPerSec, TokPerS: s.Pooled.TokensPerSec, E2E: s.Pooled.E2E}
	p.Offered, p.Goodput = offered(s.Records), -1
	p.text = fmt.Sprintf("%s\n%s req/s, %s tok/s\np50 %s, p95 %s, p99 %s", s.Name(), rate(p.ReqPerS), rate(p.TokPerS),
		quantile(p.E2E, 0.50), quantile(p.E2E, 0.95), quantile(p.E2E, 0.99))
	if s.Pooled.Judged > 0 {
		p.Goodput = s.Pooled.Goodput
		p.text += "\ngoodput " + goodput(s.Pooled)
	}
	return p
}

// offered is the rate at which requests fell due, pauses between runs and repetitions left out.
func offered(records []record.Record) float64 {
	type rep struct{ run, rep int }
	due := spans(records, func(r *record.Record) rep { return rep{r.Run, r.Rep} }, func(r *record.Record) time.Duration { return r.Due })
	took := total(due)
	if took <= 0 {
		return 0
	}
	return float64(len(records)-len(due)) / took.Seconds()
}

// findKnee marks the knee. An open loop offers a rate: the knee is the highest up to which every rate was answered. A
// closed one takes what it gets: the knee is the lowest concurrency whose throughput is near the best.
func (w *Sweep) findKnee() {
	w.Knee = -1
	if w.Kind == "rate" {
		w.Method = fmt.Sprintf("the highest rate up to which requests were answered at %.0f %% or more of the rate at which they fell due", 100*keepsUp)
		for i, p := range w.Points {
			if p.ReqPerS < keepsUp*p.Offered {
				break
			}
			w.Knee = i
		}
	} else {
		w.Method = fmt.Sprintf("the lowest concurrency with %.0f %% of the highest throughput measured", 100*kneeShare)
		best := 0.0
		for _, p := range w.Points {
			best = max(best, p.ReqPerS)
		}
		w.Knee = slices.IndexFunc(w.Points, func(p SweepPoint) bool { return p.ReqPerS >= kneeShare*best })
	}
	w.Open = w.Knee == len(w.Points)-1
}

// level prints a level of the sweep.
func (w *Sweep) level(v float64) string {
	if w.Kind == "rate" {
		return table.Three(v) + " req/s"
	}
	return Plural(int(v), "agent")
}

// Text says in a sentence where the knee is.
func (w *Sweep) Text() string {
	last := w.Points[len(w.Points)-1]
	switch {
	case w.Knee < 0:
		return fmt.Sprintf("The knee lies below %s, the lowest level measured.", w.level(w.Points[0].Level))
	case w.Open:
		return fmt.Sprintf("No knee up to %s (%s req/s answered): it lies beyond what was measured.", w.level(last.Level), rate(last.ReqPerS))
	}
	k := w.Points[w.Knee]
	name, q := "p95", 0.95
	if !stats.Supports(k.E2E.N, q) || !stats.Supports(last.E2E.N, q) {
		name, q = "p50", 0.50
	}
	return fmt.Sprintf("The knee is at %s: %s req/s answered, %s %s; at %s it is %s req/s and %s.", w.level(k.Level), rate(k.ReqPerS),
		name, quantile(k.E2E, q), w.level(last.Level), rate(last.ReqPerS), quantile(last.E2E, q))
}

// sweepChart draws a sweep twice over the same axis of levels: throughput, and latency.
type sweepChart struct {
	Sweep
	Summary       string
	Width, Height float64
	Left, Right   float64
	Top, Bottom   float64
	X             []tick
	Throughput    []tick // its axis
	Latency       []tick
	Rate          string // paths
	Goodput       string // "" where there is no objective
	Offered       string // what a subject that keeps up would answer; "" closed loop
	P50, P95      string
	Marks         []sweepMark
	KneeX         float64
	Levels        string // name of the axis
}

type sweepMark struct {
	X, Rate, P50, P95 float64
	Lo, Hi            float64 // interval of p95
	Interval          bool
	Never             bool // p95 falls on a request without an answer
	Few               bool // requests, so that p95 is only indicated
	Knee              bool
	Text              string
}

func newSweepChart(w Sweep) sweepChart {
	c := sweepChart{Sweep: w, Summary: w.Text(), Width: 560, Height: 320, Left: 58, Right: 540, Top: 42, Bottom: 270,
		Levels: map[string]string{"rate": "requests offered a second", "concurrency": "agents at a time"}[w.Kind]}
	first, last := w.Points[0].Level, w.Points[len(w.Points)-1].Level
	at := func(level float64) float64 { return px(c.Left + (c.Right-c.Left-10)*level/last) }
	if last/first >= 16 { // levels of a geometric sweep stand evenly
		at = func(level float64) float64 {
			return px(c.Left + 12 + (c.Right-c.Left-22)*math.Log(level/first)/math.Log(last/first))
		}
	}
	most, lo, hi := 0.0, never, time.Duration(0)
	for _, p := range w.Points {
		most = max(most, p.ReqPerS)
		for _, d := range []time.Duration{p.E2E.P50, p.E2E.P95} {
			if p.E2E.N > 0 && d != never {
				lo, hi = min(lo, d), max(hi, d)
			}
		}
	}
	if hi == 0 {
		lo, hi = time.Millisecond, time.Second // nothing was answered
	}
	most = max(most*1.06, 1e-9)
	up := func(v float64) float64 { return px(c.Bottom - (c.Bottom-c.Top)*min(1, v/most)) }
	y := newLogAxis(lo*9/10, hi*11/10, c.Bottom, c.Top)
	c.Throughput, c.Latency = linearTicks(most, 5, "", up), y.ticks()
	var answered, good, offered, p50, p95 strings.Builder
	op := byte('M')
	lastX := math.Inf(-1)
	for i, p := range w.Points {
		m := sweepMark{X: at(p.Level), Rate: up(p.ReqPerS), P50: px(y.at(p.E2E.P50)), P95: px(y.at(p.E2E.P95)), Never: p.E2E.P95 == never, Few: !stats.Supports(p.E2E.N, 0.95), Knee: i == w.Knee && !w.Open, Text: p.text}
		if v, ok := newInterval(p.E2E, 0.95, y); ok {
			m.Lo, m.Hi, m.Interval = v.Lo, v.Hi, true
		}
		if m.Knee {
			c.KneeX = m.X
		}
		writePoint(&answered, op, m.X, m.Rate)
		if p.Goodput >= 0 {
			writePoint(&good, op, m.X, up(p.Goodput))
		}
		writePoint(&p50, op, m.X, m.P50)
		writePoint(&p95, op, m.X, m.P95)
		if w.Kind == "rate" && p.Offered <= most {
			writePoint(&offered, op, m.X, up(p.Offered))
		}
		op = 'L'
		if m.X-lastX >= 34 || i == len(w.Points)-1 {
			if i == len(w.Points)-1 && m.X-lastX < 34 && len(c.X) > 0 {
				c.X = c.X[:len(c.X)-1]
			}
			c.X = append(c.X, tick{m.X, strconv.FormatFloat(p.Level, 'g', 3, 64)})
			lastX = m.X
		}
		c.Marks = append(c.Marks, m)
	}
	c.Rate, c.Goodput, c.Offered, c.P50, c.P95 = answered.String(), good.String(), offered.String(), p50.String(), p95.String()
	return c
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
	return append(advice, fmt.Sprintf("Add capacity when the sustained rate passes %s req/s (%.0f %% of what was answered %s): beyond it waiting grows much faster than the load.",
		rate(headroom*w.Points[w.Knee].ReqPerS), 100*headroom, bound))
}
