package page

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"loadstone/harness/history"
	"loadstone/harness/table"
)

// historyPage is the data of the history template.
type historyPage struct {
	*history.History
	Style   template.CSS
	Script  template.JS
	Verdict string
	Range   string
	Facts   []string
	Rows    []historyRow
	Charts  []historyChart
}

// A historyRow is a change in the list of all.
type historyRow struct {
	history.Row
	Unit, Scenario string
	Kind           string // "worse", "better" or "same", for its colour
}

// A historyChart draws one unit over the commits: a curve for each scenario.
type historyChart struct {
	ID, Unit, About          string
	Bad                      int // changes for the worse
	Good                     int
	Width, Height            float64
	Left, Right, Top, Bottom float64
	X, Y                     []tick
	One                      float64 // the reference's level
	Curves                   []historyCurve
	Columns                  []historyColumn
}

// A historyCurve is one series: a line of segments at the level between changes, and its points.
type historyCurve struct {
	Index      int
	Scenario   string
	Path       string // the level between changes, a step at each of them
	Dots, Bars string // the points, and their intervals
	Marks      []historyMark
}

type historyMark struct {
	X, Y float64
	Kind string
	Text string
}

// A historyColumn is what the pointer reads of a commit.
type historyColumn struct {
	X, W float64
	At   float64
	Text string
}

// WriteHistory writes a history as one page that needs nothing else.
func WriteHistory(w io.Writer, h *history.History) error {
	p := &historyPage{History: h, Style: template.CSS(style), Script: template.JS(script)}
	p.count()
	for i := range h.Series {
		s := &h.Series[i]
		for j := range s.Changes {
			c := &s.Changes[j]
			p.Rows = append(p.Rows, historyRow{s.Row(c), s.Unit, s.Scenario, changeKind(c)})
		}
	}
	places := scenarioPlaces(h.Series)
	for from := 0; from < len(h.Series); {
		to := from
		for to < len(h.Series) && h.Series[to].Unit == h.Series[from].Unit {
			to++
		}
		p.Charts = append(p.Charts, newHistoryChart(h, h.Series[from:to], from, places))
		from = to
	}
	return templates.ExecuteTemplate(w, "history", p)
}

func changeKind(c *history.Change) string {
	return map[int]string{-1: "worse", 0: "same", 1: "better"}[c.Better]
}

// count sets what the head of the page says.
func (p *historyPage) count() {
	worse, better, total := 0, 0, 0
	for i := range p.Series {
		for j := range p.Series[i].Changes {
			switch total++; p.Series[i].Changes[j].Better {
			case -1:
				worse++
			case 1:
				better++
			}
		}
	}
	switch {
	case !p.Enough():
		p.Verdict = fmt.Sprintf("Too few commits to tell a change from chance: %d are needed.",
			history.MinPoints)
	case total == 0:
		p.Verdict = "Steady: no change that could be told from chance."
	default:
		p.Verdict = fmt.Sprintf("%s in %d series: %d for the worse, %d for the better.",
			table.Plural(total, "change"), len(p.Series), worse, better)
	}
	if n := len(p.Worse()); n > 0 {
		p.Verdict += fmt.Sprintf(" The newest one is for the worse in %d.", n)
	}
	n := len(p.Commits)
	p.Facts = []string{table.Plural(n, "commit") + " measured"}
	if n > 0 {
		first, last := p.Commits[0], p.Commits[n-1]
		p.Range = first.Short() + " … " + last.Short()
		if !first.Date.IsZero() && !last.Date.IsZero() {
			p.Facts = append(p.Facts, first.Date.Format("2 January 2006")+" to "+
				last.Date.Format("2 January 2006"))
		}
	}
	if p.Ratios {
		p.Facts = append(p.Facts, "ratios, each measured in turns on one machine")
	} else {
		p.Facts = append(p.Facts, "figures of one machine")
	}
}

// scenarioPlaces numbers the scenarios, so that each has one colour in all charts.
func scenarioPlaces(series []history.Series) map[string]int {
	places := map[string]int{}
	for i := range series {
		if _, ok := places[series[i].Scenario]; !ok {
			places[series[i].Scenario] = len(places)
		}
	}
	return places
}

// newHistoryChart draws the series of one unit, of which index is the first's among all. places are
// those of the scenarios.
func newHistoryChart(h *history.History, series []history.Series, index int,
	places map[string]int) historyChart {
	c := historyChart{ID: fmt.Sprintf("unit-%d", index), Unit: series[0].Unit, Width: 1180,
		Height: 330, Left: 66, Right: 1164, Top: 22, Bottom: 282}
	c.About = [...]string{"less is better", "", "more is better"}[series[0].Better+1]
	low, high := 1.0, 1.0
	for _, s := range series {
		for _, p := range s.Points {
			low, high = min(low, p.Level), max(high, p.Level)
		}
	}
	if room := 0.1; high-low < room {
		low, high = (low+high-room)/2, (low+high+room)/2
	}
	margin := (high - low) * 0.06
	low, high = max(low-margin, 0), high+margin
	y := func(level float64) float64 {
		return px(c.Bottom - (c.Bottom-c.Top)*(min(max(level, low), high)-low)/(high-low))
	}
	c.One = y(1)
	c.Y = levelTicks(low, high, series[0].Differences, y)
	wide := (c.Right - c.Left) / float64(max(len(h.Commits), 1))
	x := func(commit int) float64 { return px(c.Left + wide*(float64(commit)+0.5)) }
	every := max(1, int(math.Ceil(float64(len(h.Commits))/14)))
	for i, commit := range h.Commits {
		if i%every == 0 {
			c.X = append(c.X, tick{x(i), commit.Short()})
		}
		c.Columns = append(c.Columns, historyColumn{px(x(i) - wide/2), px(wide), x(i),
			columnText(commit, series, i)})
	}
	for i := range series {
		place := places[series[i].Scenario]
		apart := min(wide/float64(len(places)+2), 9) * (float64(place) - float64(len(places)-1)/2)
		c.Curves = append(c.Curves, newHistoryCurve(&series[i], place,
			func(commit int) float64 { return px(x(commit) + apart) }, y))
		for j := range series[i].Changes {
			switch series[i].Changes[j].Better {
			case -1:
				c.Bad++
			case 1:
				c.Good++
			}
		}
	}
	slices.SortFunc(c.Curves, func(a, b historyCurve) int { return a.Index - b.Index })
	return c
}

// newHistoryCurve draws a series. x are the pixels of commits, beside which those of other series
// stand, so that no interval covers another's.
func newHistoryCurve(s *history.Series, index int, x func(int) float64,
	y func(float64) float64) historyCurve {
	var path, dots, bars strings.Builder
	curve := historyCurve{Index: index, Scenario: s.Scenario}
	for _, p := range s.Points {
		at := x(p.Commit)
		writeDot(&dots, at, y(p.Level))
		writePoint(&bars, 'M', at, y(p.Lo))
		writePoint(&bars, 'L', at, y(p.Hi))
	}
	for i, part := range s.Segments() {
		first, last := s.Points[part.From], s.Points[part.To-1]
		writePoint(&path, "ML"[min(i, 1)], x(first.Commit), y(part.Level))
		writePoint(&path, 'L', x(last.Commit), y(part.Level))
	}
	for i := range s.Changes {
		c := &s.Changes[i]
		r := s.Row(c)
		curve.Marks = append(curve.Marks, historyMark{x(s.Points[c.At].Commit), y(c.To),
			changeKind(c), fmt.Sprintf("%s: %s (%s), p %s, %s; %s", s.Scenario, r.Change, r.Interval,
				r.P, r.Verdict, r.Commits)})
	}
	curve.Path, curve.Dots, curve.Bars = path.String(), dots.String(), bars.String()
	return curve
}

// columnText is what is known of a commit in the series of a unit.
func columnText(commit history.Commit, series []history.Series, at int) string {
	lines := []string{commit.Short()}
	if !commit.Date.IsZero() {
		lines[0] += commit.Date.Format(" · 2 January 2006, 15:04")
	}
	if commit.Subject != "" {
		lines = append(lines, table.Clip(table.OneLine(commit.Subject), 90))
	}
	for i := range series {
		s := &series[i]
		for _, p := range s.Points {
			if p.Commit == at {
				line := fmt.Sprintf("%s: %s", s.Scenario, s.Delta(p.Level-1))
				if p.Lo < p.Hi {
					line += fmt.Sprintf(" (%s … %s)", s.Delta(p.Lo-1), s.Delta(p.Hi-1))
				}
				if p.Value != "" {
					line += ", " + p.Value
				}
				lines = append(lines, line)
			}
		}
		for j := range s.Changes {
			if c := &s.Changes[j]; s.Points[c.At].Commit == at {
				r := s.Row(c)
				lines = append(lines, fmt.Sprintf("◆ %s here: %s, p %s, %s", r.Change, r.Interval, r.P,
					r.Commits))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// levelTicks labels levels by their change from the reference, at about five round steps.
func levelTicks(low, high float64, differences bool, y func(float64) float64) []tick {
	unit := " %"
	if differences {
		unit = " pp"
	}
	step := stepUp((high - low) / 6)
	var ticks []tick
	for k := math.Ceil((low - 1) / step); 1+k*step <= high; k++ {
		label := fmt.Sprintf("%+.4g%s", math.Round(k*step*1e4)/1e2, unit)
		if k == 0 {
			label = "="
		}
		ticks = append(ticks, tick{y(1 + k*step), label})
	}
	slices.Reverse(ticks)
	return ticks
}
