package page

import (
	"math"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/stats"
)

// A tailChart shows the time that each percentile of a result's requests took, on an axis on which
// every nine is as wide as the one before, as HdrHistogram draws it. A curve ends where its sample
// does; one that leaves through the top has failures there.
type tailChart struct {
	Width, Height float64
	Left, Right   float64
	Top, Bottom   float64
	Lo, Hi        float64 // the time axis, nanoseconds, for the pointer
	Nines         float64 // the percentile axis ends at 1 - 10^-Nines
	X, Y          []tick
	Curves        []curve
	Before        []curve // of an earlier measurement
	Intervals     []bounds
}

// newTail draws the samples of the results, whose finite values are lo..hi.
func newTail(samples []sample, lo, hi time.Duration) *tailChart {
	c := &tailChart{Width: 560, Height: 348, Left: 62, Right: 540, Top: 14, Bottom: 306, Nines: 1}
	for _, s := range samples {
		c.Nines = max(c.Nines, math.Log10(2*float64(max(len(s.now), len(s.before)))))
	}
	c.Nines = min(c.Nines, 6)
	y := newLogAxis(lo, hi, c.Bottom, c.Top)
	c.Lo, c.Hi, c.Y = y.Lo, y.Hi, y.ticks()
	x := func(p float64) float64 {
		return px(c.Left + (c.Right-c.Left)*min(1, -math.Log10(1-p)/c.Nines))
	}
	for _, p := range []float64{0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999} {
		if -math.Log10(1-p) <= c.Nines*1.001 {
			c.X = append(c.X, tick{x(p), "p" + strconv.FormatFloat(100*p, 'f', -1, 64)})
		}
	}
	c.X[0].Label = "min"
	for i, s := range samples {
		if len(s.before) > 0 {
			c.Before = append(c.Before, curve{s.name, i, tailPath(s.before, x, y)})
		}
		if len(s.now) == 0 {
			continue
		}
		c.Curves = append(c.Curves, curve{s.name, i, tailPath(s.now, x, y)})
		d := stats.Describe(s.now) // sorted already
		for _, q := range []struct {
			p    float64
			name string
		}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
			if v, ok := newInterval(d, q.p, y); ok {
				v.Index, v.Percentile = i, q.name
				v.X = px(x(q.p) + 2.5*float64(i-len(samples)/2)) // beside each other
				v.Text = s.name + ", " + q.name + ": " + v.Text
				c.Intervals = append(c.Intervals, v)
			}
		}
	}
	return c
}

// tailPath draws value i of n at the percentile (i-1/2)/n (Hazen), at most one point a pixel.
func tailPath(sorted []time.Duration, x func(float64) float64, y logAxis) string {
	var b strings.Builder
	n := float64(len(sorted))
	op, lastX, lastY := byte('M'), -1.0, -1.0
	for i, d := range sorted {
		atX, atY := x((float64(i)+0.5)/n), px(y.at(d))
		if d == never { // straight up, and no further
			writePoint(&b, op, atX, y.To)
			break
		}
		if last := i+1 == len(sorted) || sorted[i+1] == never; !last && op == 'L' &&
			atX-lastX < 1 && math.Abs(atY-lastY) < 1 {
			continue
		}
		writePoint(&b, op, atX, atY)
		op, lastX, lastY = 'L', atX, atY
	}
	return b.String()
}
