package page

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/report"
)

// agents shows a result's jobs: their figures, and one run as swim-lanes, one lane per agent.
type agents struct {
	Scenario  string
	Index     int
	Jobs      *record.Jobs
	Summary   *record.Summary
	Run, Runs int  // the run that is drawn, counted from 1
	Number    int  // number of lanes
	Height    int  // height of the drawing in pixels
	Timed     bool // the server publishes the times of queue, prefill and decode
}

// laneData is the data from which the page's script draws swim-lanes.
type laneData struct {
	End   int64       `json:"end"` // end of the run, in tenths of a millisecond
	Lanes []laneCalls `json:"lanes"`
}

type laneCalls struct {
	Name string `json:"n"`
	Sub  bool   `json:"s,omitempty"` // the lane has calls of sub-agents
	// Each call: due, wait, prefill, decode, in tenths of a millisecond; prompt, cached, ceiling
	// and output tokens; turn; 0 where it was answered, else the place of its outcome in Outcomes.
	Calls [][10]int64 `json:"c"`
}

const (
	laneHeight     = 24  // pixels
	maxLanesHeight = 520 // pixels; more lanes than fit are scrolled
)

// newAgents returns the jobs of the result with an index, or nil if it has none.
func newAgents(s *report.Result, index int) (*agents, *laneData) {
	jobs := &s.Pooled.Jobs
	if jobs.N == 0 {
		return nil, nil
	}
	run, runs := longestJob(s.Records)
	lanes := newLaneData(run)
	a := &agents{Scenario: s.Name(), Index: index, Jobs: jobs, Summary: &s.Pooled,
		Run: run[0].Run + 1, Runs: runs, Number: len(lanes.Lanes), Timed: s.Pooled.Prefill.N > 0}
	a.Height = 40 + min(maxLanesHeight, laneHeight*a.Number)
	return a, lanes
}

// longestJob returns the requests of the run whose job took longest or failed, sorted by due time,
// and the number of runs.
func longestJob(records []record.Record) (run []*record.Record, runs int) {
	type key struct {
		run, rep int
		agent    string
	}
	type span struct {
		first, last time.Duration
		failed      bool
	}
	jobs, seen := map[key]*span{}, map[int]bool{}
	for i := range records {
		r := &records[i]
		seen[r.Run] = true
		k := key{r.Run, r.Rep, r.Job()}
		j := jobs[k]
		if j == nil {
			j = &span{first: r.Due}
			jobs[k] = j
		}
		j.first, j.last = min(j.first, r.Due), max(j.last, r.End)
		j.failed = j.failed || r.Outcome != record.OK && r.Outcome != record.Cancelled
	}
	worst, took := 0, time.Duration(-1)
	for k, j := range jobs {
		t := j.last - j.first
		if j.failed {
			t += 1000 * time.Hour
		}
		if t > took || t == took && k.run < worst {
			worst, took = k.run, t
		}
	}
	for i := range records {
		if records[i].Run == worst {
			run = append(run, &records[i])
		}
	}
	slices.SortStableFunc(run, func(a, b *record.Record) int { return cmp.Compare(a.Due, b.Due) })
	return run, len(seen)
}

// newLaneData puts each agent's calls into a lane, and those of its sub-agents, which work beside
// each other, into as few below it as it takes.
func newLaneData(run []*record.Record) *laneData {
	start := run[0].Due
	var order []string // agents as they begin
	own, subs := map[string][]*record.Record{}, map[string][][]*record.Record{}
	for _, r := range run {
		job := r.Job()
		if own[job] == nil && subs[job] == nil {
			order = append(order, job)
		}
		if r.Agent == job {
			own[job] = append(own[job], r)
			continue
		}
		rows := subs[job]
		i := slices.IndexFunc(rows, func(row []*record.Record) bool {
			last := row[len(row)-1]
			return last.End <= r.Due && (last.Agent == r.Agent || !goesOn(run, last.Agent, r.Due))
		})
		if i < 0 {
			rows, i = append(rows, nil), len(rows)
		}
		rows[i] = append(rows[i], r)
		subs[job] = rows
	}
	d := &laneData{}
	add := func(name string, sub bool, calls []*record.Record) {
		l := laneCalls{Name: name, Sub: sub}
		for _, r := range calls {
			d.End = max(d.End, tenths(r.End-start))
			l.Calls = append(l.Calls, laneCall(r, start))
		}
		d.Lanes = append(d.Lanes, l)
	}
	for _, job := range order {
		add(shortAgent(job), false, own[job])
		for i, row := range subs[job] {
			add("sub-agents "+strconv.Itoa(i+1), true, row)
		}
	}
	return d
}

// goesOn reports whether an agent has a call that is due at a time or later.
func goesOn(run []*record.Record, agent string, at time.Duration) bool {
	i, _ := slices.BinarySearchFunc(run, at, func(r *record.Record, at time.Duration) int {
		return cmp.Compare(r.Due, at)
	})
	return slices.ContainsFunc(run[i:], func(r *record.Record) bool { return r.Agent == agent })
}

func tenths(d time.Duration) int64 { return int64(d / (100 * time.Microsecond)) }

// laneCall returns a call in the form that the script draws.
func laneCall(r *record.Record, start time.Duration) [10]int64 {
	c := [10]int64{0: tenths(r.Due - start), 4: int64(r.PromptTokens), 5: int64(r.CachedTokens),
		6: int64(r.CeilingTokens), 7: int64(r.OutputTokens), 8: int64(r.Turn + 1)}
	for _, p := range pieces(r) {
		length := tenths(p.to-start) - tenths(p.from-start)
		switch p.part {
		case report.PartPrefill:
			c[2] = length
		case report.PartDecode:
			c[3] = length
		default: // in transfer, in the queue, or without an answer
			c[1] += length
		}
	}
	if r.Outcome != record.OK {
		c[9] = int64(max(slices.Index(record.Outcomes[:], r.Outcome), 1))
	}
	return c
}

// Outcomes returns the names of the outcomes that the last number of a call means.
func (a *agents) Outcomes() string {
	words := make([]string, len(record.Outcomes))
	for i, o := range record.Outcomes {
		words[i] = string(o)
	}
	return strings.Join(words, " ")
}
