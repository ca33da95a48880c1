package page

import (
	"fmt"
	"time"

	"loadstone/harness/report"
	"loadstone/harness/stats"
)

// A stripChart is each result's p50, p95 and p99 on one logarithmic line, with the targets across
// all of them.
type stripChart struct {
	Width, Height, Left, Right, Bottom float64
	X                                  []tick
	Targets                            []tick
	Rows                               []strip
}

type strip struct {
	Index         int
	Scenario      string
	Y             float64
	P50, P95, P99 float64 // pixels, never NaN: Right where a percentile never arrived
	Text          string
	Has95, Has99  bool // the sample bounds it
	Never         bool // p99 falls on a failed request
}

// rowHeight and firstRow place the rows of a stripChart, in pixels.
const rowHeight, firstRow = 34, 46

func newStrips(r *report.Report) stripChart {
	c := stripChart{Width: 760, Left: 132, Right: 712}
	for i := range r.Results {
		c.Left = max(c.Left, min(300, 14+8*float64(len(r.Results[i].Name()))))
	}
	x := c.axis(r)
	c.X = x.ticks()
	for _, t := range targets {
		if r.Limits == nil {
			c.Targets = append(c.Targets, tick{px(x.at(t.limit)), t.name})
		}
	}
	for i := range r.Results {
		name, d := r.Results[i].Name(), r.Results[i].Pooled.E2E
		if d.N == 0 {
			continue
		}
		c.Rows = append(c.Rows, strip{
			Index: i, Scenario: name, Y: float64(firstRow + rowHeight*len(c.Rows)),
			Never: d.P99 == never,
			Has95: stats.Supports(d.N, 0.95), Has99: stats.Supports(d.N, 0.99) || d.P99 == never,
			P50: px(x.at(d.P50)), P95: px(x.at(d.P95)), P99: px(x.at(d.P99)),
			Text: fmt.Sprintf("%s: p50 %s, p95 %s, p99 %s", name,
				report.Quantile(d, 0.50), report.Quantile(d, 0.95), report.Quantile(d, 0.99)),
		})
	}
	c.Bottom = float64(firstRow + rowHeight*len(c.Rows) - 12)
	c.Height = c.Bottom + 24
	return c
}

// axis covers all percentiles, and the targets where they are judged.
func (c *stripChart) axis(r *report.Report) logAxis {
	lo, hi := never, time.Duration(0)
	if r.Limits == nil {
		lo, hi = report.TargetP50, report.TargetP99
	}
	for i := range r.Results {
		d := r.Results[i].Pooled.E2E
		for _, p := range []time.Duration{d.P50, d.P95, d.P99} {
			if d.N > 0 && p != never {
				lo, hi = min(lo, p), max(hi, p)
			}
		}
	}
	if hi == 0 {
		lo, hi = time.Millisecond, time.Second // nothing was answered
	}
	return newLogAxis(lo/10*9, hi, c.Left, c.Right)
}
