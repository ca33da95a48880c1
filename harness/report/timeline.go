package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness"
)

// maxDots bounds a timeline. Above it requests are thinned evenly, but slow and failed ones all stay.
const maxDots = 3000

// A timeline shows one scenario's requests in the order they ran: a dot for the first token, a square for the end, and
// below them how many requests were in flight. Its runs stand one after another, whatever ran between them.
type timeline struct {
	Scenario      string
	Index         int
	Width, Height float64
	Left, Right   float64
	Top, Bottom   float64 // latency plot
	FlightTop     float64 // in-flight plot, below
	FlightBottom  float64
	X, Y          []tick
	RunStarts     []float64
	First, Ends   string // paths of dots: first token and end
	Failures      []failureMark
	Flight        string // area path
	MostInFlight  int
	Shown, Total  int
	Dots          []dot // for the pointer and the keyboard, in order of X
}

type failureMark struct{ X float64 }

// A dot is one request in the page's data. Y are pixels; -1 where there is none.
type dot struct {
	X     float64 `json:"x"`
	First float64 `json:"t"`
	End   float64 `json:"e"`
	Text  string  `json:"s"`
}

// placed is a record at its place on the scenario's own clock, on which runs follow each other without a gap.
type placed struct {
	*harness.Record
	start, end time.Duration
}

func (r *Report) timeline(index int) *timeline {
	s := &r.Scenarios[index]
	recs, runs, length := placeRuns(s.Records)
	if len(recs) == 0 || length <= 0 {
		return nil
	}
	t := &timeline{Scenario: s.Name(), Index: index, Width: 760, Height: 360,
		Left: 56, Right: 744, Top: 26, Bottom: 240, FlightTop: 262, FlightBottom: 318, Total: len(recs)}
	x := func(d time.Duration) float64 { return px(t.Left + (t.Right-t.Left)*float64(d)/float64(length)) }
	t.X = linearTicks(length.Seconds(), 8, " s", func(v float64) float64 { return x(time.Duration(v * float64(time.Second))) })
	for _, start := range runs {
		t.RunStarts = append(t.RunStarts, x(start))
	}
	t.drawRequests(recs, x)
	t.drawFlight(recs, x)
	return t
}

// placeRuns puts the runs of a scenario one after another and returns the records by start, the start of each run, and
// the length of it all.
func placeRuns(records []harness.Record) (recs []placed, runs []time.Duration, length time.Duration) {
	byRun := map[int][]*harness.Record{}
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
		runs = append(runs, length)
		for _, rec := range byRun[run] {
			recs = append(recs, placed{rec, length + rec.Due - first, length + max(rec.End, rec.Due) - first})
		}
		length += max(last-first, 0)
	}
	slices.SortStableFunc(recs, func(a, b placed) int { return cmp.Compare(a.start, b.start) })
	return recs, runs, length
}

func (t *timeline) drawRequests(recs []placed, x func(time.Duration) float64) {
	lo, hi := never, time.Duration(0)
	for _, r := range recs {
		if r.Outcome == harness.OK {
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
		if r.Outcome == harness.OK {
			d.End = px(y.at(r.Latency()))
			writeDot(&ends, d.X, d.End)
			if r.FirstContent >= 0 {
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

// writeDot is a line of no length, which the page's style gives a round or square cap: one path draws all dots.
func writeDot(b *strings.Builder, x, y float64) {
	writePoint(b, 'M', x, y)
	b.WriteString("h0")
}

// thin keeps every request up to maxDots; beyond, the failed ones, the slowest hundredth, and an even choice of the rest.
func thin(recs []placed) []placed {
	if len(recs) <= maxDots {
		return recs
	}
	bySpeed := slices.Clone(recs)
	slices.SortFunc(bySpeed, func(a, b placed) int { return cmp.Compare(b.Latency(), a.Latency()) })
	slow := bySpeed[len(bySpeed)/100].Latency()
	every := (len(recs) + maxDots - 1) / maxDots
	var kept []placed
	for i, r := range recs {
		if i%every == 0 || r.Outcome != harness.OK && len(kept) < 2*maxDots || r.Latency() > slow {
			kept = append(kept, r)
		}
	}
	return kept
}

// drawFlight is the number of requests in flight over time, as steps.
func (t *timeline) drawFlight(recs []placed, x func(time.Duration) float64) {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for _, r := range recs {
		changes = append(changes, change{r.start, 1}, change{r.end, -1})
	}
	// An end at the instant of a start comes first: one agent asking again is never two in flight.
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	n := 0
	for _, c := range changes {
		n += c.by
		t.MostInFlight = max(t.MostInFlight, n)
	}
	y := func(n int) float64 {
		return px(t.FlightBottom - (t.FlightBottom-t.FlightTop)*float64(n)/float64(t.MostInFlight))
	}
	var b strings.Builder
	writePoint(&b, 'M', t.Left, t.FlightBottom)
	n = 0
	for i := 0; i < len(changes); {
		// One step a pixel, at the highest level within it.
		at, most := x(changes[i].at), n
		writePoint(&b, 'L', at, y(n))
		for i < len(changes) && x(changes[i].at) <= at+0.5 {
			n += changes[i].by
			most = max(most, n)
			i++
		}
		writePoint(&b, 'L', at, y(most))
		writePoint(&b, 'L', at, y(n))
	}
	writePoint(&b, 'L', t.Right, t.FlightBottom)
	b.WriteByte('Z')
	t.Flight = b.String()
}

func describe(r *harness.Record) string {
	who := fmt.Sprintf("run %d, repetition %d, %s", r.Run+1, r.Rep+1, r.Agent)
	if r.Agent == "" {
		who = fmt.Sprintf("run %d, repetition %d", r.Run+1, r.Rep+1)
	}
	if r.Outcome != harness.OK {
		what := string(r.Outcome)
		if r.Status > 0 {
			what += fmt.Sprintf(" (%d)", r.Status)
		}
		return who + "\n" + what + " after " + duration(r.Latency()) + "\n" + clip(oneLine(r.Error), 120)
	}
	text := who + "\nfirst token " + duration(r.TTFT()) + ", end " + duration(r.Latency())
	if r.PromptTokens > 0 {
		text += fmt.Sprintf("\n%d prompt tokens, %d cached, %d out", r.PromptTokens, max(r.CachedTokens, 0), max(r.OutputTokens, 0))
	}
	return text
}

func clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
