package page

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// An ecdfChart shows, for each result, the share of its requests that took at most a given time.
// Failed requests never arrive, so the curve of a result with failures ends below 100 %.
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
	Index    int // of the result, for its colour and dash
	Path     string
}

// A distribution is one time of every request or token, drawn twice: as shares, which shows the
// bulk, and by percentile, which shows the tail.
type distribution struct {
	ID, Title string
	Share     *ecdfChart
	Tail      *tailChart
}

// A sample is the sorted times of one result, and of the same result of an earlier measurement.
type sample struct {
	name        string
	now, before []time.Duration
}

// newDistribution draws the times that the function gives of each request, never for a failed one;
// nil where nothing was measured. before is an earlier measurement, or nil.
func newDistribution(r, before *report.Report, id, title string, marked bool,
	times func(*record.Record) []time.Duration) *distribution {
	samples := make([]sample, len(r.Results))
	lo, hi := never, time.Duration(0)
	for i := range r.Results {
		s := &r.Results[i]
		samples[i] = sample{name: s.Name(), now: sortedTimes(s.Records, times)}
		if before != nil {
			if old := before.At(s.Pooled.Scenario, s.Level); old != nil {
				samples[i].before = sortedTimes(old.Records, times)
			}
		}
		for _, d := range slices.Concat(samples[i].now, samples[i].before) {
			if d != never {
				lo, hi = min(lo, d), max(hi, d)
			}
		}
	}
	if hi == 0 {
		return nil
	}
	return &distribution{id, title, newECDF(samples, lo, hi, marked), newTail(samples, lo, hi)}
}

func sortedTimes(records []record.Record,
	times func(*record.Record) []time.Duration) []time.Duration {
	var all []time.Duration
	for i := range records {
		all = append(all, times(&records[i])...)
	}
	slices.Sort(all)
	return all
}

// newECDF draws the samples of the results, whose finite values are lo..hi. marked says that the
// targets are judged.
func newECDF(samples []sample, lo, hi time.Duration, marked bool) *ecdfChart {
	c := &ecdfChart{Width: 560, Height: 348, Left: 48, Right: 536, Top: 14, Bottom: 306}
	if marked && hi > report.TargetP50/3 { // a target far beyond the data would only squeeze it
		hi = max(hi, report.TargetP50)
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
	for _, t := range targets {
		if marked && float64(t.limit) <= c.Hi {
			label := t.name + " < " + table.Duration(t.limit)
			c.Targets = append(c.Targets, ecdfTarget{px(x.at(t.limit)), y(t.share), label})
		}
	}
	for i, s := range samples {
		if len(s.before) > 0 {
			c.Before = append(c.Before, curve{s.name, i, ecdfPath(s.before, x, y)})
		}
		if len(s.now) > 0 {
			c.Curves = append(c.Curves, curve{s.name, i, ecdfPath(s.now, x, y)})
		}
	}
	return c
}

// ecdfPath is a staircase with at most one step a pixel: samples may have a million tokens.
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
