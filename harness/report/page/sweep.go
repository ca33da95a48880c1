package page

import (
	"math"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/report"
	"loadstone/harness/stats"
)

// A sweepChart draws a sweep twice over the same axis of levels: throughput, and latency.
type sweepChart struct {
	report.Sweep
	Summary       string
	Width, Height float64
	Left, Right   float64
	Top, Bottom   float64
	X             []tick
	Throughput    []tick // its axis
	Latency       []tick
	Rate          string // paths
	Goodput       string // "" where there is no objective
	Offered       string // what a server that keeps up would answer; "" closed loop
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

func newSweepChart(w report.Sweep) sweepChart {
	c := sweepChart{Sweep: w, Summary: w.Text(), Width: 560, Height: 320, Left: 58, Right: 540,
		Top: 42, Bottom: 270,
		Levels: map[string]string{"rate": "requests offered a second",
			"concurrency": "agents at a time"}[w.Kind]}
	top, lo, hi := 0.0, never, time.Duration(0)
	for _, p := range w.Points {
		top = max(top, p.ReqPerS)
		for _, d := range []time.Duration{p.E2E.P50, p.E2E.P95} {
			if p.E2E.N > 0 && d != never {
				lo, hi = min(lo, d), max(hi, d)
			}
		}
	}
	if hi == 0 {
		lo, hi = time.Millisecond, time.Second // nothing was answered
	}
	top = max(top*1.06, 1e-9)
	up := func(v float64) float64 { return px(c.Bottom - (c.Bottom-c.Top)*min(1, v/top)) }
	y := newLogAxis(lo*9/10, hi*11/10, c.Bottom, c.Top)
	c.Throughput, c.Latency = linearTicks(top, 5, "", up), y.ticks()
	var answered, good, offered, p50, p95 strings.Builder
	op := byte('M')
	for i, p := range w.Points {
		m := sweepMark{X: c.x(p.Level), Rate: up(p.ReqPerS), P50: px(y.at(p.E2E.P50)),
			P95: px(y.at(p.E2E.P95)), Never: p.E2E.P95 == never,
			Few: !stats.Supports(p.E2E.N, 0.95), Knee: i == w.Knee && !w.Open, Text: p.Text}
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
		if w.Kind == "rate" && p.Offered <= top {
			writePoint(&offered, op, m.X, up(p.Offered))
		}
		op = 'L'
		c.Marks = append(c.Marks, m)
	}
	c.X = c.levelTicks()
	c.Rate, c.Goodput, c.Offered, c.P50, c.P95 = answered.String(), good.String(), offered.String(),
		p50.String(), p95.String()
	return c
}

// x is where a level stands. Those of a geometric sweep stand evenly.
func (c *sweepChart) x(level float64) float64 {
	first, last := c.Points[0].Level, c.Points[len(c.Points)-1].Level
	if last/first >= 16 {
		return px(c.Left + 12 + (c.Right-c.Left-22)*math.Log(level/first)/math.Log(last/first))
	}
	return px(c.Left + (c.Right-c.Left-10)*level/last)
}

// levelTicks name the levels, the last one always, as far as there is room between them.
func (c *sweepChart) levelTicks() (ticks []tick) {
	const room = 34
	for i, p := range c.Points {
		t := tick{c.x(p.Level), strconv.FormatFloat(p.Level, 'g', 3, 64)}
		near := len(ticks) > 0 && t.At-ticks[len(ticks)-1].At < room
		if near && i < len(c.Points)-1 {
			continue
		}
		if near {
			ticks = ticks[:len(ticks)-1]
		}
		ticks = append(ticks, t)
	}
	return ticks
}
