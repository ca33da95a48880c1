package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/report"
)

// maxDots bounds a timeline. Of more requests an even choice is drawn, but all slow and failed
// ones.
const maxDots = 3000

// A timeline shows one result's requests in the order in which they ran: a dot for the first token,
// a square for the end. Below them it shows how many requests were in flight, how many of those the
// server worked on and kept waiting, and the server's pool. The runs stand one after another,
// whatever ran between them.
type timeline struct {
	Scenario      string
	Index         int
	Width, Height float64
	Left, Right   float64
	Top, Bottom   float64 // latency plot
	FlightTop     float64 // in-flight plot, below
	FlightBottom  float64
	// The pool plot, below that; PoolTop = PoolBottom where the server does not say.
	PoolTop      float64
	PoolBottom   float64
	X, Y         []tick
	RunStarts    []float64
	First, Ends  string // paths of dots: first token and end
	Failures     []failureMark
	Flight       string // area path
	Max          int    // top of the in-flight plot
	Running      string // lines, as the server says; "" it says nothing
	Waiting      string
	Pool         string // area path
	PoolLimit    float64
	Shown, Total int
	Dots         []dot     // for the pointer and the keyboard, in order of X
	Server       []instant // the same
	Lanes        *lanes
}

// An instant is a sample in the page's data; a value below 0 is unknown.
type instant struct {
	X       float64 `json:"x"`
	Running float64 `json:"r"`
	Waiting float64 `json:"q"`
	Pool    float64 `json:"p"`
}

type failureMark struct{ X float64 }

// A dot is one request in the page's data. Y are pixels; -1 where there is none.
type dot struct {
	X     float64 `json:"x"`
	First float64 `json:"t"`
	End   float64 `json:"e"`
	Text  string  `json:"s"`
}

// A placedRecord is a record at its place on the result's own clock, on which runs follow each
// other without a gap.
type placedRecord struct {
	*record.Record
	start, end time.Duration
}

// newTimeline draws the result with that index; nil where it has no requests. poolLimit is the
// utilisation of the pool from which on the server refuses new work.
func newTimeline(s *report.Result, index int, poolLimit float64) *timeline {
	recs, runs, length := placeRuns(s.Records)
	if len(recs) == 0 || length <= 0 {
		return nil
	}
	t := &timeline{Scenario: s.Name(), Index: index, Width: 1080, Height: 356,
		Left: 56, Right: 1066, Top: 26, Bottom: 226, FlightTop: 248, FlightBottom: 314,
		PoolTop: 314, PoolBottom: 314, Total: len(recs)}
	if record.PeakPool(s.Samples) >= 0 {
		t.PoolTop, t.PoolBottom, t.Height = 334, 378, 420
	}
	x := func(d time.Duration) float64 {
		return px(t.Left + (t.Right-t.Left)*float64(d)/float64(length))
	}
	t.X = linearTicks(length.Seconds(), 8, " s", func(v float64) float64 {
		return x(time.Duration(v * float64(time.Second)))
	})
	for _, run := range runs {
		t.RunStarts = append(t.RunStarts, x(run.at))
	}
	t.drawRequests(recs, x)
	t.drawFlight(recs, x, maxAtServer(s.Samples))
	t.drawServer(s.Samples, runs, x)
	t.PoolLimit = px(t.PoolBottom - (t.PoolBottom-t.PoolTop)*poolLimit)
	t.Lanes = newLanes(s.Records)
	return t
}

// maxAtServer is the largest number of requests that the server worked on or kept waiting.
func maxAtServer(samples []record.Sample) int {
	n := 0.0
	for _, s := range samples {
		n = max(n, s.Queue, s.Running)
	}
	return int(n)
}

// A placedRun is a run on the result's clock, on which its moment first stands at at.
type placedRun struct {
	run             int
	at, first, last time.Duration
}

// drawServer draws the samples that lie within a run; between two of them the first one holds.
func (t *timeline) drawServer(samples []record.Sample, runs []placedRun,
	x func(time.Duration) float64) {
	byRun := map[int][]record.Sample{}
	for _, s := range samples {
		byRun[s.Run] = append(byRun[s.Run], s)
	}
	var running, waiting, pool strings.Builder
	for _, run := range runs {
		end := x(run.at + run.last - run.first)
		var seen []instant
		for _, s := range byRun[run.run] {
			if s.At >= run.first && s.At <= run.last {
				seen = append(seen, instant{x(run.at + s.At - run.first), s.Running, s.Queue,
					s.Pool})
			}
		}
		seen = onePerPixel(seen)
		t.Server = append(t.Server, seen...)
		height := func(of func(instant) float64, full, top, bottom float64) func(instant) float64 {
			return func(i instant) float64 { return px(bottom - (bottom-top)*min(1, of(i)/full)) }
		}
		steps(&running, seen, end, height(func(i instant) float64 {
			return i.Running
		}, float64(t.Max), t.FlightTop, t.FlightBottom))
		steps(&waiting, seen, end, height(func(i instant) float64 {
			return i.Waiting
		}, float64(t.Max), t.FlightTop, t.FlightBottom))
		if len(seen) > 0 && t.PoolTop < t.PoolBottom {
			var area strings.Builder
			steps(&area, seen, end, height(func(i instant) float64 {
				return i.Pool
			}, 1, t.PoolTop, t.PoolBottom))
			writePoint(&pool, 'M', seen[0].X, t.PoolBottom)
			pool.WriteString("L" + strings.TrimPrefix(area.String(), "M"))
			writePoint(&pool, 'L', end, t.PoolBottom)
			pool.WriteByte('Z')
		}
	}
	t.Running, t.Waiting, t.Pool = running.String(), waiting.String(), pool.String()
}

// onePerPixel leaves one instant for each pixel, with the highest values within it.
func onePerPixel(seen []instant) []instant {
	var kept []instant
	for _, i := range seen {
		if n := len(kept); n > 0 && i.X-kept[n-1].X < 1 {
			k := &kept[n-1]
			k.Running, k.Waiting, k.Pool = max(k.Running, i.Running), max(k.Waiting, i.Waiting),
				max(k.Pool, i.Pool)
			continue
		}
		kept = append(kept, i)
	}
	return kept
}

// steps draws a staircase to end.
func steps(b *strings.Builder, seen []instant, end float64, y func(instant) float64) {
	for i, s := range seen {
		if i == 0 {
			writePoint(b, 'M', s.X, y(s))
		} else {
			writePoint(b, 'L', s.X, y(seen[i-1]))
			writePoint(b, 'L', s.X, y(s))
		}
	}
	if len(seen) > 0 {
		writePoint(b, 'L', end, y(seen[len(seen)-1]))
	}
}

// placeRuns puts the runs of a result one after another and returns the records by start, where
// each run stands, and the length of all runs together.
func placeRuns(records []record.Record) (recs []placedRecord, runs []placedRun,
	length time.Duration) {
	byRun := map[int][]*record.Record{}
	for i := range records {
		byRun[records[i].Run] = append(byRun[records[i].Run], &records[i])
	}
	order := make([]int, 0, len(byRun))
	for run := range byRun {
		order = append(order, run)
	}
	slices.Sort(order)
	for _, run := range order {
		first, last := never, time.Duration(0)
		for _, rec := range byRun[run] {
			first, last = min(first, rec.Due), max(last, rec.End)
		}
		runs = append(runs, placedRun{run, length, first, last})
		for _, rec := range byRun[run] {
			recs = append(recs, placedRecord{rec, length + rec.Due - first,
				length + max(rec.End, rec.Due) - first})
		}
		length += max(last-first, 0)
	}
	slices.SortStableFunc(recs, func(a, b placedRecord) int {
		return cmp.Compare(a.start, b.start)
	})
	return recs, runs, length
}

func (t *timeline) drawRequests(recs []placedRecord, x func(time.Duration) float64) {
	lo, hi := never, time.Duration(0)
	for _, r := range recs {
		if r.Outcome == record.OK {
			hi = max(hi, r.Latency())
			if ttft := r.TTFT(); ttft >= 0 {
				lo = min(lo, ttft)
			}
		}
	}
	y := newLogAxis(min(lo, hi), hi, t.Bottom, t.Top)
	t.Y = y.ticks()
	var first, ends strings.Builder
	for _, r := range thin(recs) {
		d := dot{X: x(r.start), First: -1, End: -1, Text: describe(r.Record)}
		if r.Outcome == record.OK {
			d.End = px(y.at(r.Latency()))
			writeDot(&ends, d.X, d.End)
			if r.TTFT() >= 0 {
				d.First = px(y.at(r.TTFT()))
				writeDot(&first, d.X, d.First)
			}
		} else {
			d.End = t.Top - 12
			t.Failures = append(t.Failures, failureMark{d.X})
		}
		t.Dots = append(t.Dots, d)
	}
	t.First, t.Ends, t.Shown = first.String(), ends.String(), len(t.Dots)
}

// thin keeps every request up to maxDots. Of more it keeps the failed ones, the slowest hundredth,
// and an even choice of the rest.
func thin(recs []placedRecord) []placedRecord {
	if len(recs) <= maxDots {
		return recs
	}
	bySpeed := slices.Clone(recs)
	slices.SortFunc(bySpeed, func(a, b placedRecord) int {
		return cmp.Compare(b.Latency(), a.Latency())
	})
	slow := bySpeed[len(bySpeed)/100].Latency()
	every := (len(recs) + maxDots - 1) / maxDots
	var kept []placedRecord
	for i, r := range recs {
		if i%every == 0 || r.Outcome != record.OK && len(kept) < 2*maxDots || r.Latency() > slow {
			kept = append(kept, r)
		}
	}
	return kept
}

// drawFlight draws the number of requests in flight over time, as steps, on an axis that goes at
// least as high as the number that is given.
func (t *timeline) drawFlight(recs []placedRecord, x func(time.Duration) float64, axis int) {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for _, r := range recs {
		changes = append(changes, change{r.start, 1}, change{r.end, -1})
	}
	// An end at the instant of a start comes first: one agent that goes on is never two in flight.
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by))
	})
	n := 0
	t.Max = max(1, axis)
	for _, c := range changes {
		n += c.by
		t.Max = max(t.Max, n)
	}
	y := func(n int) float64 {
		return px(t.FlightBottom - (t.FlightBottom-t.FlightTop)*float64(n)/float64(t.Max))
	}
	var b strings.Builder
	writePoint(&b, 'M', t.Left, t.FlightBottom)
	n = 0
	for i := 0; i < len(changes); {
		// One step a pixel, at the highest level within it.
		at, top := x(changes[i].at), n
		writePoint(&b, 'L', at, y(n))
		for i < len(changes) && x(changes[i].at) <= at+0.5 {
			n += changes[i].by
			top = max(top, n)
			i++
		}
		writePoint(&b, 'L', at, y(top))
		writePoint(&b, 'L', at, y(n))
	}
	writePoint(&b, 'L', t.Right, t.FlightBottom)
	b.WriteByte('Z')
	t.Flight = b.String()
}
