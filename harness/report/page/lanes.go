package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/report"
)

// A lanes chart is one run as a schedule: a lane for each agent, a bar for each request, coloured
// by where the server says that the time went. It is drawn to scale, wider than the page where the
// run is long, and shows the part of the run around its worst request where the whole would be too
// wide.
type lanes struct {
	Run, Runs int // counted from 1
	Partly    bool
	// A lane is a place, not an agent: there were too many agents for a lane each.
	Packed        bool
	Hidden        int // requests in lanes beyond maxLanes
	Width, Height float64
	Left, Top     float64
	Bottom        float64
	X             []tick
	Rows          []laneRow
	Thick         float64
	Parts         []lanePart
	Failures      []laneFailure
	Bars          []bar // for the pointer and the keyboard, in order of start
}

type laneRow struct {
	Y     float64
	Label string
}

// A lanePart is all pieces of one kind, as one path of horizontal strokes.
type lanePart struct {
	Name string
	Path string
}

type laneFailure struct{ X, Y float64 }

// A bar is one request in the page's data.
type bar struct {
	X    float64 `json:"x"`
	W    float64 `json:"w"`
	Y    float64 `json:"y"`
	Text string  `json:"s"`
}

const (
	maxLaneAgents = 24   // more agents than this are packed
	maxLanes      = 64   // more lanes than this are not drawn
	laneWidth     = 26   // pixels of the median request, at least
	pageWidth     = 1160 // pixels of a figure on a wide screen
	maxLanesWidth = 4000 // pixels
)

// newLanes draws the run that has the worst request: the slowest failed one, or the slowest.
func newLanes(records []record.Record) *lanes {
	worst := worstRequest(records)
	if worst == nil {
		return nil
	}
	var run []*record.Record
	runs := map[int]bool{}
	for i := range records {
		runs[records[i].Run] = true
		if records[i].Run == worst.Run {
			run = append(run, &records[i])
		}
	}
	slices.SortStableFunc(run, func(a, b *record.Record) int { return cmp.Compare(a.Due, b.Due) })
	l := &lanes{Run: worst.Run + 1, Runs: len(runs), Left: 92, Top: 8}
	from, scale := l.window(run, worst)
	x := func(at time.Duration) float64 {
		return px(l.Left + max(0, min(l.Width-l.Left-14, scale*float64(at-from))))
	}
	lane, labels := assignLanes(run)
	l.Packed = labels == nil
	l.place(lane, labels)
	strokes := map[string]*strings.Builder{} // by part
	for i, r := range run {
		outside := scale*float64(r.End-from) <= 0 || scale*float64(r.Due-from) >= l.Width-l.Left-14
		switch {
		case outside:
		case lane[i] >= len(l.Rows):
			l.Hidden++
		default:
			l.draw(r, l.Rows[lane[i]].Y, x, strokes)
		}
	}
	for _, name := range []string{report.PartNetwork, report.PartWait, report.PartQueue,
		report.PartPrefill, report.PartDecode, partLost} {
		if p := strokes[name]; p != nil {
			l.Parts = append(l.Parts, lanePart{name, p.String()})
		}
	}
	length := time.Duration((l.Width - l.Left - 14) / scale)
	l.X = linearTicks(length.Seconds(), max(4, int(l.Width/130)), " s", func(v float64) float64 {
		return l.Left + scale*v*1e9
	})
	return l
}

// draw draws a request in the lane at y.
func (l *lanes) draw(r *record.Record, y float64, x func(time.Duration) float64,
	strokes map[string]*strings.Builder) {
	for _, p := range pieces(r) {
		if strokes[p.part] == nil {
			strokes[p.part] = new(strings.Builder)
		}
		writePoint(strokes[p.part], 'M', x(p.from), y)
		fmt.Fprintf(strokes[p.part], "H%g", max(x(p.to), x(p.from)+0.6))
	}
	if r.Outcome != record.OK {
		l.Failures = append(l.Failures, laneFailure{x(r.End), y})
	}
	l.Bars = append(l.Bars, bar{x(r.Due), px(max(x(r.End)-x(r.Due), 1)), y, describeParts(r)})
}

// worstRequest is the slowest of the requests that failed, or else of all that were neither refused
// nor cancelled.
func worstRequest(records []record.Record) *record.Record {
	var worst *record.Record
	rank := func(r *record.Record) int {
		switch r.Outcome {
		case record.OK:
			return 1
		case record.Rejected, record.Cancelled:
			return 0
		}
		return 2
	}
	for i := range records {
		r := &records[i]
		if worst == nil || cmp.Or(cmp.Compare(rank(r), rank(worst)),
			cmp.Compare(r.Latency(), worst.Latency())) > 0 {
			worst = r
		}
	}
	return worst
}

// window decides the scale, in pixels a nanosecond, and where the picture begins.
func (l *lanes) window(run []*record.Record, worst *record.Record) (from time.Duration,
	scale float64) {
	first, last := never, time.Duration(0)
	var took []time.Duration
	for _, r := range run {
		first, last = min(first, r.Due), max(last, r.End)
		took = append(took, r.Latency())
	}
	slices.Sort(took)
	length := max(float64(last-first), 1)
	scale = laneWidth / max(float64(took[len(took)/2]), 1)
	if room := pageWidth - l.Left - 14; scale*length < room { // fill the page
		scale, l.Width = room/length, pageWidth
		return first, scale
	}
	if room := maxLanesWidth - l.Left - 14; scale*length > room {
		l.Partly, l.Width = true, maxLanesWidth
		half := time.Duration(room / scale / 2)
		middle := worst.Due + worst.Latency()/2
		return max(first, min(middle-half, last-2*half)), scale
	}
	l.Width = px(l.Left + 14 + scale*length)
	return first, scale
}

// assignLanes gives every request of a run, in the order in which they were due, a lane: its
// agent's, or, where there are too many agents, the first that is free. labels are the agents'
// names; nil says that lanes are not agents'.
func assignLanes(run []*record.Record) (lane []int, labels []string) {
	lane = make([]int, len(run))
	agents := map[string]int{}
	for i, r := range run {
		n, known := agents[r.Agent]
		if !known {
			n = len(agents)
			agents[r.Agent] = n
			labels = append(labels, r.Agent)
		}
		lane[i] = n
	}
	overlap := false // two requests of one agent at a time need a lane each
	busy := map[int]time.Duration{}
	for i, r := range run {
		overlap = overlap || r.Due < busy[lane[i]]
		busy[lane[i]] = max(busy[lane[i]], r.End)
	}
	if len(agents) <= maxLaneAgents && !overlap {
		return lane, labels
	}
	var free []time.Duration // when each lane is
	for i, r := range run {
		at := slices.IndexFunc(free, func(t time.Duration) bool { return t <= r.Due })
		if at < 0 {
			at = len(free)
			free = append(free, 0)
		}
		lane[i], free[at] = at, max(r.End, r.Due+1)
	}
	return lane, nil
}

// place sets the lanes below each other.
func (l *lanes) place(lane []int, labels []string) {
	n := min(maxLanes, slices.Max(lane)+1)
	pitch := max(9, min(24, 420/float64(n)))
	l.Thick = px(0.7 * pitch)
	for i := range n {
		row := laneRow{Y: px(l.Top + pitch*(float64(i)+0.5)), Label: fmt.Sprint(i + 1)}
		if labels != nil {
			row.Label = shortAgent(labels[i])
		}
		if pitch < 13 && i%2 == 1 {
			row.Label = "" // no room
		}
		l.Rows = append(l.Rows, row)
	}
	l.Bottom = px(l.Top + pitch*float64(n) + 4)
	l.Height = l.Bottom + 24
}

// shortAgent leaves out what the names of a load's agents have in common at their end.
func shortAgent(name string) string {
	if name == "" {
		return "one agent"
	}
	// The last part is the time that makes the agent new to the server.
	if i := strings.LastIndexByte(name, '-'); i > 0 && len(name)-i > 8 {
		name = name[:i]
	}
	if r := []rune(name); len(r) > 14 {
		name = "…" + string(r[len(r)-13:])
	}
	return name
}

// partLost is the part of a request without an answer.
const partLost = "lost"

type piece struct {
	part     string
	from, to time.Duration
}

// pieces cuts a request into parts. The server says how long each was, the client when the first
// token came: the prefill ends there, the queue ends where the prefill begins, and what is left in
// front is the way to the server and through its HTTP handler. Of a server that says nothing all of
// that is one part.
func pieces(r *record.Record) []piece {
	if r.Outcome != record.OK {
		return []piece{{partLost, r.Due, r.End}}
	}
	first := r.End
	if r.TTFT() >= 0 {
		first = r.Due + r.TTFT()
	}
	prefill, queue := first, first
	if r.Server.Prefill > 0 {
		prefill = max(r.Due, first-r.Server.Prefill)
		queue = prefill
	}
	if r.Server.Queue > 0 {
		queue = max(r.Due, prefill-r.Server.Queue)
	}
	front := report.PartNetwork
	if r.Server.Queue < 0 && r.Server.Prefill < 0 {
		front = report.PartWait
	}
	var all []piece
	for _, p := range []piece{{front, r.Due, queue}, {report.PartQueue, queue, prefill},
		{report.PartPrefill, prefill, first}, {report.PartDecode, first, r.End}} {
		if p.to > p.from {
			all = append(all, p)
		}
	}
	return all
}
