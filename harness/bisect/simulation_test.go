package bisect_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/harness/bisect"
)

var simulate = flag.Int("simulate", 0,
	"histories of each row of the simulation, whose whole table is printed; 0 is a part of it")

// A machine is a simulated history of builds and the machine that measures them. A measurement of a
// round is two slots, one of each side, in turns.
type machine struct {
	rng    *rand.Rand
	levels []float64 // logarithm of each commit's time
	broken []bool    // of each commit: it does not build

	white  float64 // standard deviation of a slot
	drift  float64 // of the machine's speed within a session, which stays from slot to slot by 0.8
	tail   float64 // probability that a slot takes 40 % longer
	apart  float64 // by which one session differs from another for the same two builds
	layout float64 // by which builds differ that do the same
}

// A regression is a change of a planted history.
type regression struct {
	commit int
	size   float64
}

const (
	simulatedCommits = 64
	buildTime        = 60 * time.Second
	slotTime         = 10 * time.Second
	simulatedRounds  = 4
)

func newMachine(rng *rand.Rand, noise, layout float64, changes []regression) *machine {
	m := &machine{rng: rng, white: 0.02 * noise, drift: 0.02 * noise, tail: 0.08, apart: 0.006 * noise,
		layout: cmp.Or(layout, 0.004), levels: make([]float64, simulatedCommits+1),
		broken: make([]bool, simulatedCommits+1)}
	for i := range m.levels {
		if i > 0 {
			m.levels[i] = m.layout * rng.NormFloat64()
		}
		for _, c := range changes {
			if i >= c.commit {
				m.levels[i] += math.Log1p(c.size)
			}
		}
	}
	return m
}

func (m *machine) build(ctx context.Context, commit int) (string, error) {
	time.Sleep(buildTime)
	if m.broken[commit] {
		return "", &bisect.SkipError{Commit: commit, Err: errors.New("it does not compile")}
	}
	return "", nil
}

func (m *machine) measure(ctx context.Context, commit int) ([]float64, error) {
	time.Sleep(2 * simulatedRounds * slotTime)
	speed := 0.0
	slot := func(level float64) float64 {
		speed = 0.8*speed + 0.6*m.drift*m.rng.NormFloat64()
		v := level + speed + m.white*m.rng.NormFloat64()
		if m.rng.Float64() < m.tail {
			v += math.Log(1.4)
		}
		return v
	}
	session := m.apart * m.rng.NormFloat64()
	ratios := make([]float64, simulatedRounds)
	for i := range ratios {
		level := m.levels[commit] + session
		if i%2 == 0 {
			base := slot(0)
			ratios[i] = slot(level) - base
			continue
		}
		head := slot(level)
		ratios[i] = head - slot(0)
	}
	return ratios, nil
}

// find searches in fake time.
func (m *machine) find(t *testing.T, budget time.Duration) (r *bisect.Result) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		r, err = bisect.Search{Commits: len(m.levels), Budget: budget, Rounds: simulatedRounds,
			Build: m.build, Measure: m.measure}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// A row is a kind of history, and what the search must achieve of it, in percent.
type row struct {
	name     string
	noise    float64
	budget   time.Duration
	plant    func(*rand.Rand) []regression
	broken   float64 // share of commits that do not build
	layout   float64 // by which builds differ that do the same; 0: 0.4 %
	quick    int     // histories of the test without -simulate
	right    float64 // at least
	wrong    float64 // at most
	noChange float64 // at least
	drifts   float64 // at least
}

// one is a regression of 3 to 10 % at any commit.
func one(rng *rand.Rand) []regression {
	return []regression{{1 + rng.IntN(simulatedCommits), 0.03 + 0.07*rng.Float64()}}
}

func of(size float64) func(*rand.Rand) []regression {
	return func(rng *rand.Rand) []regression {
		return []regression{{1 + rng.IntN(simulatedCommits), size}}
	}
}

func two(rng *rand.Rand) []regression {
	return []regression{{1 + rng.IntN(30), 0.06}, {35 + rng.IntN(30), 0.06}}
}

func up(rng *rand.Rand) []regression { // gets worse, and better again by half of it
	return []regression{{1 + rng.IntN(30), 0.08}, {35 + rng.IntN(30), -0.04}}
}

func none(*rand.Rand) []regression { return nil }

// creep is 64 changes too small to be named.
func creep(*rand.Rand) (all []regression) {
	for i := 1; i <= simulatedCommits; i++ {
		all = append(all, regression{i, 0.001})
	}
	return all
}

// name, noise, budget, plant, broken, layout, quick, right, wrong, noChange, drifts
var rows = []row{
	{"3 to 10 %", 1, 4 * time.Hour, one, 0, 0, 50, 90, 2, 0, 0},
	{"3 to 10 %", 1, 2 * time.Hour, one, 0, 0, 0, 0, 2, 0, 0},
	{"3 to 10 %", 1, time.Hour, one, 0, 0, 0, 0, 2, 0, 0},
	{"3 to 10 %, a tenth does not build", 1, 4 * time.Hour, one, 0.1, 0, 0, 90, 2, 0, 0},
	{"3 to 10 %, twice the noise", 2, 4 * time.Hour, one, 0, 0, 0, 0, 2, 0, 0},
	{"3 to 10 %, builds differ by 1 %", 1, 4 * time.Hour, one, 0, 0.01, 0, 0, 4, 0, 0},
	{"3 %", 1, 4 * time.Hour, of(0.03), 0, 0, 0, 0, 4, 0, 0},
	{"5 %", 1, 4 * time.Hour, of(0.05), 0, 0, 0, 90, 2, 0, 0},
	{"10 %", 1, 4 * time.Hour, of(0.10), 0, 0, 0, 90, 2, 0, 0},
	{"twice as slow", 1, time.Hour, of(1), 0, 0, 0, 90, 2, 0, 0},
	{"6 % twice", 1, 6 * time.Hour, two, 0, 0, 0, 0, 5, 0, 0},
	{"8 %, then 4 % better", 1, 6 * time.Hour, up, 0, 0, 0, 0, 5, 0, 0},
	{"no change", 1, 4 * time.Hour, none, 0, 0, 10, 0, 2, 70, 0},
	{"0.1 % with each commit", 1, 4 * time.Hour, creep, 0, 0, 6, 0, 5, 0, 90},
}

// outcome is what became of one history: right where a change that was planted is among the commits
// that are named and none else is. A drift is wrong where a commit made it worse that can be named.
func (r *row) outcome(t *testing.T, seed int) (right, wrong bool, result *bisect.Result) {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(len(r.name))))
	planted := r.plant(rng)
	m := newMachine(rng, r.noise, r.layout, planted)
	for i := range m.broken {
		m.broken[i] = i > 0 && i < simulatedCommits && rng.Float64() < r.broken
	}
	result = m.find(t, r.budget)
	for _, p := range planted {
		wrong = wrong || result.Ending == bisect.Drifts && p.size >= 0.01
	}
	for _, c := range result.Culprits {
		hit := false
		for _, p := range planted {
			hit = hit || c.From <= p.commit && p.commit <= c.To && p.size >= 0.01
		}
		right, wrong = right || hit, wrong || !hit
	}
	return right && !wrong, wrong, result
}

// The simulation: how often the search names the commit, and another one. It is the table of the
// package's documentation, whole with -simulate 200.
func TestSimulation(t *testing.T) {
	if *simulate > 0 {
		fmt.Printf(tableLine, "history", "budget", "right", "wrong", "spent", "no change", "drifts",
			"steps", "time")
	}
	for _, r := range rows {
		n := *simulate
		if n == 0 {
			n = r.quick
		}
		if n == 0 {
			continue
		}
		t.Run(r.name, func(t *testing.T) { r.simulate(t, n) })
	}
}

const tableLine = "%-34s  %6s  %6s  %6s  %6s  %9s  %6s  %6s  %6s\n"

// simulate searches n histories, and prints the row of the table.
func (r *row) simulate(t *testing.T, n int) {
	var right, wrong, spent, noChange, drifts, sessions, took float64
	for seed := range n {
		good, bad, result := r.outcome(t, seed)
		right, wrong = right+count(good), wrong+count(bad)
		spent += count(result.Ending == bisect.BudgetSpent)
		noChange += count(result.Ending == bisect.NoChange)
		drifts += count(result.Ending == bisect.Drifts)
		sessions += float64(len(result.Sessions))
		took += result.Took.Minutes()
	}
	share := func(v float64) float64 { return 100 * v / float64(n) }
	if share(right) < r.right || share(wrong) > r.wrong || share(noChange) < r.noChange ||
		share(drifts) < r.drifts {
		t.Errorf("in %v: right %.1f %%, want %g; wrong %.1f %%, want %g; no change %.1f %%, want %g; "+
			"drifts %.1f %%, want %g", r.budget, share(right), r.right, share(wrong), r.wrong,
			share(noChange), r.noChange, share(drifts), r.drifts)
	}
	if *simulate > 0 {
		percent := func(v float64) string { return fmt.Sprintf("%.1f %%", share(v)) }
		fmt.Printf(tableLine, r.name, fmt.Sprintf("%g h", r.budget.Hours()), percent(right),
			percent(wrong), percent(spent), percent(noChange), percent(drifts),
			fmt.Sprintf("%.0f", sessions/float64(n)), fmt.Sprintf("%.0f m", took/float64(n)))
	}
}

func count(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
