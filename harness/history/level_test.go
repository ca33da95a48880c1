package history

import (
	"math"
	"testing"
)

// With one base for all, the levels are the ratios, and a difference of two has the errors of both.
func TestLevelsBesideOneBase(t *testing.T) {
	edges := []edge{
		{base: 0, head: 1, log: math.Log(1.1), sigma: 0.01, freedom: 18},
		{base: 0, head: 2, log: math.Log(1.2), sigma: 0.02, freedom: 18},
	}
	var s Series
	if lost := s.level(edges, 3); len(lost) > 0 {
		t.Errorf("%d edges lost", len(lost))
	}
	wantLevels(t, s, map[int]float64{0: 1, 1: 1.1, 2: 1.2})
	if got := propagated(edges, s.Points[1:2], s.Points[2:3]).variance; !near(got, 0.0005) {
		t.Errorf("variance of the difference is %g, want 0.01² + 0.02²", got)
	}
}

// In a chain levels multiply, and the difference of neighbours has the error of one ratio alone.
func TestLevelsOfAChain(t *testing.T) {
	edges := []edge{
		{base: 0, head: 1, log: math.Log(1.1), sigma: 0.01},
		{base: 1, head: 2, log: math.Log(1.1), sigma: 0.01},
		{base: 2, head: 3, log: math.Log(0.5), sigma: 0.01},
	}
	var s Series
	s.level(edges, 4)
	wantLevels(t, s, map[int]float64{0: 1, 1: 1.1, 2: 1.21, 3: 0.605})
	if got := propagated(edges, s.Points[1:2], s.Points[2:3]).variance; !near(got, 0.0001) {
		t.Errorf("variance of neighbours is %g, want 0.01²", got)
	}
	if got := propagated(edges, s.Points[:1], s.Points[3:]).variance; !near(got, 0.0003) {
		t.Errorf("variance over three ratios is %g, want 3 · 0.01²", got)
	}
}

// A second base that a measurement joins to the first: all behind it share that one's error, which
// their scatter does not show.
func TestLevelsOfANewBase(t *testing.T) {
	edges := []edge{{base: 0, head: 5, log: 0.1, sigma: 0.05, freedom: 10}}
	for head := 1; head < 5; head++ {
		edges = append(edges, edge{base: 0, head: head, sigma: 0.001, freedom: 10})
	}
	for head := 6; head < 11; head++ {
		edges = append(edges, edge{base: 5, head: head, sigma: 0.001, freedom: 10})
	}
	s := Series{Better: -1}
	s.level(edges, 11)
	s.findChanges(edges, &History{Options: Options{Finder: DefaultFinder}, Commits: make([]Commit, 11)})
	if len(s.Changes) > 0 {
		t.Errorf("a change of %+v, where one ratio of 10 %% ± 5 %% stands for all of it", s.Changes[0])
	}
	if p := s.Points[10]; !near(p.Level, math.Exp(0.1)) || p.Hi/p.Lo < 1.15 {
		t.Errorf("level %g in %g … %g; want 1.105 with the interval of the ratio that joins them", p.Level,
			p.Lo, p.Hi)
	}
	edges[0].sigma = 0.001
	again := Series{Better: -1}
	again.level(edges, 11)
	again.findChanges(edges, &History{Options: Options{Finder: DefaultFinder},
		Commits: make([]Commit, 11)})
	if len(again.Changes) != 1 || again.Changes[0].At != 5 || again.Changes[0].Better != -1 {
		t.Errorf("changes %+v; want one at the fifth commit, for the worse", again.Changes)
	}
}

// Two ways to a commit are averaged; what nothing joins to the reference is lost.
func TestLevelsByTwoWaysAndByNone(t *testing.T) {
	edges := []edge{
		{base: 0, head: 1, log: 0.2}, {base: 0, head: 1, log: 0.4}, {base: 0, head: 2, log: 0},
		{base: 3, head: 4, log: 7},
	}
	var s Series
	lost := s.level(edges, 5)
	if len(lost) != 1 || lost[0].head != 4 {
		t.Errorf("lost %+v, want the measurement of commit 4", lost)
	}
	wantLevels(t, s, map[int]float64{0: 1, 1: math.Exp(0.3), 2: 1})
}

// A base that is newer than its head is joined to the rest through it.
func TestLevelsBackwards(t *testing.T) {
	edges := []edge{{base: 0, head: 1, log: 0.1}, {base: 0, head: 2, log: 0.2},
		{base: 3, head: 2, log: 0.5}}
	var s Series
	s.level(edges, 4)
	wantLevels(t, s, map[int]float64{0: 1, 1: math.Exp(0.1), 2: math.Exp(0.2), 3: math.Exp(-0.3)})
}

func wantLevels(t *testing.T, s Series, want map[int]float64) {
	t.Helper()
	if len(s.Points) != len(want) {
		t.Fatalf("%d points, want %d", len(s.Points), len(want))
	}
	for _, p := range s.Points {
		if !near(p.Level, want[p.Commit]) {
			t.Errorf("commit %d has the level %g, want %g", p.Commit, p.Level, want[p.Commit])
		}
	}
}

// A commit that stands alone is an outlier; eight of them are a level. (Of three, E-divisive sees
// nothing: the t-test is between all before and all behind.)
func TestOutlierIsNoChange(t *testing.T) {
	for _, long := range []int{1, 8} {
		s := Series{Better: -1}
		var edges []edge
		for head := 1; head < 31; head++ {
			e := edge{head: head, log: 0.002 * float64(head%3), sigma: 0.002, freedom: 18}
			if head >= 15 && head < 15+long {
				e.log += 0.2
			}
			edges = append(edges, e)
		}
		s.level(edges, 31)
		s.findChanges(edges, &History{Options: Options{Finder: DefaultFinder},
			Commits: make([]Commit, 31)})
		if want := 2 * min(long-1, 1); len(s.Changes) != want {
			t.Errorf("%d commits of another level: %d changes, want %d", long, len(s.Changes), want)
		}
	}
}

// Welch's p and interval are those of scipy.stats.ttest_ind([3,5,7,9], [1,2,3,4,5],
// equal_var=False).
func TestWelch(t *testing.T) {
	s := Series{Differences: true}
	for i, v := range []float64{1, 2, 3, 4, 5, 3, 5, 7, 9} {
		s.Points = append(s.Points, Point{Commit: i, log: v})
	}
	c := s.contrast(nil, 0, 5, 9)
	want := Change{At: 5, Size: 3, Lo: -0.8446363839400912, Hi: 6.844636383940092,
		P: 0.10008380903500755, From: 4, To: 7}
	for _, pair := range [][2]float64{{c.Size, want.Size}, {c.P, want.P}, {c.From, want.From},
		{c.To, want.To}, {c.Lo, want.Lo}, {c.Hi, want.Hi}} {
		if math.Abs(pair[0]-pair[1]) > 1e-6 {
			t.Fatalf("%+v, want %+v", c, want)
		}
	}
}
