package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
)

// An ecdfChart shows, for each scenario, which share of its requests took at most so long. Failed requests never
// arrive, so the curve of a scenario with failures ends below 100 %.
type ecdfChart struct {
	Width, Height float64
	Left, Right   float64 // plot area, pixels
	Top, Bottom   float64
	Lo, Hi        float64 // the time axis, nanoseconds, for the pointer
	X             []tick
	Y             []tick
	Guides        []tick // p50, p95, p99
	Targets       []ecdfTarget
	Curves        []curve
	Before        []curve // of an earlier measurement
}

// An ecdfTarget is a point the curves must pass on its upper left.
type ecdfTarget struct {
	X, Y  float64
	Label string
}

type curve struct {
	Scenario string
	Index    int // of the scenario, for its colour and dash
	Path     string
}

// A distribution is one time per request or token of every scenario, drawn twice: as shares, which shows the bulk, and by
// percentile, which shows the tail.
type distribution struct {
	ID, Title string
	Share     *ecdfChart
	Tail      *tailChart
}

// distribution draws one; nil where nothing was measured. times yields the times of a request, never for a failed one.
func (r *Report) distribution(id, title string, targets bool, times func(*record.Record) []time.Duration) *distribution {
	samples, before := make([][]time.Duration, len(r.Scenarios)), make([][]time.Duration, len(r.Scenarios))
	lo, hi := never, time.Duration(0)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		samples[i] = sortedTimes(s.Records, times)
		if r.Before != nil {
			if old := r.Before.at(s.Pooled.Scenario, s.Level); old != nil {
				before[i] = sortedTimes(old.Records, times)
			}
		}
		for _, d := range slices.Concat(samples[i], before[i]) {
			if d != never {
				lo, hi = min(lo, d), max(hi, d)
			}
		}
	}
	if hi == 0 {
		return nil
	}
	return &distribution{id, title, r.ecdf(samples, before, lo, hi, targets), r.tail(samples, before, lo, hi)}
}

func sortedTimes(records []record.Record, times func(*record.Record) []time.Duration) []time.Duration {
	var all []time.Duration
	for i := range records {
		all = append(all, times(&records[i])...)
	}
	slices.Sort(all)
	return all
}

// ecdf draws the sorted samples of the scenarios, whose finite values are lo..hi.
func (r *Report) ecdf(samples, before [][]time.Duration, lo, hi time.Duration, targets bool) *ecdfChart {
	c := &ecdfChart{Width: 560, Height: 348, Left: 48, Right: 536, Top: 14, Bottom: 306}
	if targets && hi > TargetP50/3 { // a target far beyond the data would only squeeze it
		hi = max(hi, TargetP50)
	}
	x := newLogAxis(lo, hi, c.Left, c.Right)
	c.Lo, c.Hi, c.X = x.Lo, x.Hi, x.ticks()
	y := func(share float64) float64 { return px(c.Bottom - share*(c.Bottom-c.Top)) }
	for _, p := range []int{0, 25, 50, 75, 100} {
		c.Y = append(c.Y, tick{y(float64(p) / 100), strconv.Itoa(p) + " %"})
	}
	for _, p := range []int{50, 95, 99} {
		c.Guides = append(c.Guides, tick{y(float64(p) / 100), "p" + strconv.Itoa(p)})
	}
	if targets {
		for _, t := range []struct {
			limit time.Duration
			share float64
			label string
		}{{TargetP50, 0.50, "p50"}, {TargetP95, 0.95, "p95"}, {TargetP99, 0.99, "p99"}} {
			if float64(t.limit) <= c.Hi {
				c.Targets = append(c.Targets, ecdfTarget{px(x.at(t.limit)), y(t.share), t.label + " < " + duration(t.limit)})
			}
		}
	}
	for i, s := range before {
		if len(s) > 0 {
			c.Before = append(c.Before, curve{r.Scenarios[i].Name(), i, ecdfPath(s, x, y)})
		}
	}
	for i, s := range samples {
		if len(s) > 0 {
			c.Curves = append(c.Curves, curve{r.Scenarios[i].Name(), i, ecdfPath(s, x, y)})
		}
	}
	return c
}

// ecdfPath is a staircase with at most one step a pixel: samples may be a million tokens.
func ecdfPath(sorted []time.Duration, x logAxis, y func(float64) float64) string {
	var b strings.Builder
	n := float64(len(sorted))
	lastX, lastY := px(x.at(sorted[0])), y(0)
	writePoint(&b, 'M', lastX, lastY)
	for i, d := range sorted {
		if d == never {
			break
		}
		nextX := px(x.at(d))
		lastOne := i+1 == len(sorted) || sorted[i+1] == never
		if !lastOne && px(x.at(sorted[i+1]))-lastX < 1 {
			continue
		}
		writePoint(&b, 'L', nextX, lastY)
		lastX, lastY = nextX, y(float64(i+1)/n)
		writePoint(&b, 'L', lastX, lastY)
	}
	writePoint(&b, 'L', px(x.To), lastY)
	return b.String()
}

func writePoint(b *strings.Builder, op byte, x, y float64) {
	b.WriteByte(op)
	b.WriteString(strconv.FormatFloat(x, 'f', -1, 64))
	b.WriteByte(' ')
	b.WriteString(strconv.FormatFloat(y, 'f', -1, 64))
}

// ttfts and latencies take failures as record.Summarize does: requests refused, cancelled or slowed on purpose have no say, all
// other failures never arrive.
func ttfts(r *record.Record) []time.Duration {
	if r.Outcome == record.OK && r.TTFT() < 0 { // an answer of no tokens
		return nil
	}
	return arrival(r, r.TTFT())
}

func latencies(r *record.Record) []time.Duration { return arrival(r, r.Latency()) }

func arrival(r *record.Record, d time.Duration) []time.Duration {
	switch {
	case r.Outcome == record.OK && r.Slow:
		return nil
	case r.Outcome == record.OK:
		return []time.Duration{d}
	case r.Outcome == record.Rejected || r.Outcome == record.Cancelled:
		return nil
	}
	return []time.Duration{never}
}

// gaps are the times between two tokens of a complete answer.
func gaps(r *record.Record) []time.Duration {
	if r.Outcome != record.OK || r.Slow {
		return nil
	}
	return r.TokenGaps()
}
