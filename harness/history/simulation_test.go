package history

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var simulated = flag.Int("simulate", 0, "series a row of the table of TestSimulation, which is printed; 0: 60, and none is")

// A trial is a kind of history that is simulated.
type trial struct {
	noise   string
	step    float64 // 0.05 is 5 % slower from a commit on
	commits int
	chain   bool // each commit beside the one before, not all beside the first
	back    bool // the step is taken back after a fifth of the commits

	found, alarms float64 // what the test accepts: at least so many found, at most so many false alarms
}

// outcome is what a trial came to.
type outcome struct {
	found float64 // share of the steps that were found within 3 commits
	false float64 // false alarms by 1000 commits
	otava float64 // the same of the finder alone
}

// deviation is of a commit's ratio: what 10 runs a side that differ by 4 % leave.
const deviation = 0.02

// draw is the error of a ratio, with a standard deviation of 2 % where it has no outliers.
func (tr *trial) draw(rng *rand.Rand, last *float64) float64 {
	e := rng.NormFloat64()
	switch tr.noise {
	case "skewed": // a lognormal of mean 0 and deviation 1
		v := math.Exp(1)
		e = (math.Exp(e) - math.Sqrt(v)) / math.Sqrt(v*(v-1))
	case "alike": // neighbours have a correlation of 0.5
		e = 0.5**last + math.Sqrt(0.75)*e
	case "outliers":
		if rng.Float64() < 0.05 {
			e += 6
		}
	}
	*last = e
	return deviation * e
}

// series simulates one, with its step at a commit from the second fifth to the fourth.
func (tr *trial) series(rng *rand.Rand) (s Series, edges []edge, at int) {
	at = tr.commits/5 + rng.IntN(3*tr.commits/5)
	level, before, last := 0.0, 0.0, 0.0
	for head := 1; head < tr.commits; head++ {
		if head == at {
			level += math.Log1p(tr.step)
		}
		if tr.back && head == at+tr.commits/5 {
			level -= math.Log1p(tr.step)
		}
		if tr.noise == "drift" {
			level += 0.0002 // 2 % in 100 commits, by no single one
		}
		e := edge{head: head, log: level + tr.draw(rng, &last), sigma: deviation, freedom: 18}
		if tr.chain {
			e.base, e.log = head-1, e.log-before
			before = level
		}
		edges = append(edges, e)
	}
	s = Series{Better: -1}
	s.level(edges, tr.commits)
	return s, edges, at
}

func (tr *trial) run(n int, seed uint64) (o outcome) {
	rng := rand.New(rand.NewPCG(seed, 1))
	h := &History{Options: Options{Finder: DefaultFinder}, Commits: make([]Commit, tr.commits)}
	for range n {
		s, edges, at := tr.series(rng)
		levels := make([]float64, len(s.Points))
		for i, p := range s.Points {
			levels[i] = p.Level
		}
		s.findChanges(edges, h)
		hit, extra := tr.score(s.Changes, at)
		o.found += hit / float64(n)
		o.false += extra / float64(n*tr.commits) * 1000
		var proposed []Change
		for _, c := range h.Finder.Find(levels) {
			proposed = append(proposed, Change{At: c.Index, Size: c.After/c.Before - 1})
		}
		_, extra = tr.score(proposed, at)
		o.otava += extra / float64(n*tr.commits) * 1000
	}
	return o
}

// score reports whether the step is among the changes, and how many others there are.
func (tr *trial) score(changes []Change, at int) (hit, extra float64) {
	for _, c := range changes {
		if tr.back && at+tr.commits/5-3 <= c.At && c.At <= at+tr.commits/5+3 && c.Size < 0 {
			continue
		}
		if near := max(c.At-at, at-c.At) <= 3; tr.step > 0 && near && c.Size > 0 && hit == 0 {
			hit = 1
		} else {
			extra++
		}
	}
	return hit, extra
}

// trials are the rows of the table in the package's documentation.
var trials = []trial{
	{noise: "normal", commits: 100, alarms: 1.5},
	{noise: "skewed", commits: 100, alarms: 2},
	{noise: "outliers", commits: 100, alarms: 3.5},
	{noise: "alike", commits: 100, alarms: 20},
	{noise: "drift", commits: 100, alarms: 3},
	{noise: "normal", commits: 20, alarms: 3},
	{noise: "normal", commits: 100, chain: true, alarms: 1.5},
	{noise: "normal", commits: 100, step: 0.03, found: 0.7, alarms: 4},
	{noise: "skewed", commits: 100, step: 0.03, found: 0.75, alarms: 2},
	{noise: "outliers", commits: 100, step: 0.03, found: 0.2, alarms: 5},
	{noise: "normal", commits: 100, step: 0.05, found: 0.93, alarms: 1},
	{noise: "skewed", commits: 100, step: 0.05, found: 0.9, alarms: 2},
	{noise: "outliers", commits: 100, step: 0.05, found: 0.7, alarms: 3},
	{noise: "alike", commits: 100, step: 0.05, found: 0.75, alarms: 13},
	{noise: "drift", commits: 100, step: 0.05, found: 0.93, alarms: 3},
	{noise: "normal", commits: 100, step: 0.10, found: 0.95, alarms: 1},
	{noise: "outliers", commits: 100, step: 0.10, found: 0.9, alarms: 4},
	{noise: "normal", commits: 30, step: 0.10, back: true, found: 0.8, alarms: 2},
	{noise: "normal", commits: 20, step: 0.05, found: 0.6, alarms: 3},
	{noise: "normal", commits: 20, step: 0.10, found: 0.88, alarms: 3},
	{noise: "normal", commits: 100, step: 0.05, chain: true, alarms: 1.5},
	{noise: "normal", commits: 100, step: 0.10, chain: true, found: 0.65, alarms: 1.5},
}

// TestSimulation measures how often a change is reported where there is none, and how often one is
// found. With -simulate it prints the table of the package's documentation.
func TestSimulation(t *testing.T) {
	n := *simulated
	if n == 0 {
		n = 60
	}
	for i := range trials {
		tr := &trials[i]
		o := tr.run(n, uint64(i+1))
		layout := "one base"
		if tr.chain {
			layout = "a chain"
		}
		found := "–"
		if tr.step > 0 {
			found = fmt.Sprintf("%.1f %%", 100*o.found)
		}
		row := fmt.Sprintf("%9s  %+3.0f %%  %7d  %9s  %7s  %6.2f  %7.2f", tr.noise, 100*tr.step,
			tr.commits, layout, found, o.false, o.otava)
		if *simulated > 0 {
			fmt.Println(row)
			continue
		}
		if o.found < tr.found || o.false > tr.alarms {
			t.Errorf("%s: want at least %.0f %% found and at most %.2g false alarms", row, 100*tr.found,
				tr.alarms)
		}
	}
}
