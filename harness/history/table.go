package history

import (
	"fmt"
	"io"
	"math"
	"strings"

	"loadstone/harness/table"
)

// maxSkipped is how many skipped files are named below a table that does not show everything.
const maxSkipped = 3

// WriteTable writes the changes for a reader at a console: a block for each unit, a row for each
// change. With all, it writes the series without a change as well, and every skipped file.
func (h *History) WriteTable(w io.Writer, color, all bool) error {
	var b strings.Builder
	if t := h.changeTable(all); !t.Empty() {
		for _, line := range t.Lines(color, 0, 1, 2, 6) {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(h.Summary() + "\n")
	for i, s := range h.Skipped {
		if i == maxSkipped && !all {
			fmt.Fprintf(&b, "skipped: %d more; -v names them\n", len(h.Skipped)-i)
			break
		}
		b.WriteString("skipped: " + s.String() + "\n")
	}
	for _, note := range h.Notes {
		b.WriteString("note: " + note + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// changeTable has a part for each unit.
func (h *History) changeTable(all bool) (t table.Colored) {
	styles := map[int]table.Style{-1: table.BoldRed, 1: table.BoldGreen}
	unit := ""
	for i := range h.Series {
		s := &h.Series[i]
		if len(s.Changes) == 0 && !all {
			continue
		}
		if s.Unit != unit {
			unit = s.Unit
			t.Head(unit, "", "commits", "change", "95 % interval", "p", "")
		}
		if len(s.Changes) == 0 {
			t.Add(table.Unstyled, s.Scenario, s.sparkline(), "", "", "", "", s.word())
		}
		for j, c := range s.Changes {
			name, line := s.Scenario, s.sparkline()
			if j > 0 {
				name, line = "", ""
			}
			r := s.Row(&c)
			t.Add(styles[c.Better], name, line, r.Commits, r.Change, r.Interval, r.P, r.Verdict)
		}
	}
	return t
}

// Summary says in a line or two what was looked at and what was found.
func (h *History) Summary() string {
	text := table.Plural(len(h.Commits), "commit")
	if n := len(h.Commits); n > 1 {
		text += ", " + dated(h.Commits[0]) + " to " + dated(h.Commits[n-1])
	}
	if h.Ratios {
		text += ", measured beside " + h.beside()
	}
	steady, short, worse, better, changed := 0, 0, 0, 0, 0
	for _, s := range h.Series {
		switch {
		case len(s.Points) < MinPoints:
			short++
		case len(s.Changes) == 0:
			steady++
		}
		for _, c := range s.Changes {
			switch c.Better {
			case -1:
				worse++
			case 1:
				better++
			default:
				changed++
			}
		}
	}
	parts := []string{}
	for _, k := range []struct {
		n    int
		what string
	}{{worse, "for the worse"}, {better, "for the better"}, {changed, "of unknown direction"}} {
		if k.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	found := "no change"
	if len(parts) > 0 {
		found = table.Plural(worse+better+changed, "change") + ", " + strings.Join(parts, " and ")
	}
	text += fmt.Sprintf("\n%d series: %s; %d without a change", len(h.Series), found, steady)
	if short > 0 {
		text += fmt.Sprintf(", %d of fewer than %d commits", short, MinPoints)
	}
	return text + fmt.Sprintf(" (window %d, p <= %g, at least %.3g %%)", h.Finder.Window,
		h.Finder.MaxP, 100*h.Finder.MinMagnitude)
}

// beside names the commits that are references.
func (h *History) beside() string {
	var all []string
	for _, s := range h.Series {
		if c := s.Reference.Short(); len(all) == 0 || all[len(all)-1] != c {
			all = append(all, c)
		}
	}
	return table.List(all)
}

func dated(c Commit) string {
	if c.Date.IsZero() {
		return c.Short()
	}
	return fmt.Sprintf("%s (%s)", c.Short(), c.Date.Format("2006-01-02"))
}

// A Row is a change as text.
type Row struct{ Commits, Change, Interval, P, Verdict string }

// Row returns a change's texts. The verdict of a change that one commit brought has its subject.
func (s *Series) Row(c *Change) Row {
	r := Row{c.Span.String(), s.Delta(c.Size), s.Delta(c.Lo) + " … " + s.Delta(c.Hi),
		probability(c.P), c.word()}
	if c.Commits == 1 && c.By.Subject != "" {
		r.Verdict += ": " + table.Clip(table.OneLine(c.By.Subject), maxSubject)
	}
	return r
}

// maxSubject is how much of a commit's subject fits into a row.
const maxSubject = 48

// word is whether the change is for the better.
func (c *Change) word() string {
	return map[int]string{-1: "worse", 0: "changed", 1: "better"}[c.Better]
}

// word is what a series without a change is.
func (s *Series) word() string {
	if n := len(s.Points); n < MinPoints {
		return fmt.Sprintf("%s of %d", table.Plural(n, "commit"), MinPoints)
	}
	return ""
}

// Delta is a change of the series as people read it.
func (s *Series) Delta(change float64) string {
	unit := "%"
	if s.Differences {
		unit = "pp"
	}
	return fmt.Sprintf("%+.1f %s", 100*change, unit)
}

func probability(p float64) string {
	if p < 0.0005 {
		return "< 0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// sparkWidth is how many commits a sparkline shows one by one; more share a bar.
const sparkWidth = 24

// sparkline draws the levels in a line of blocks, the lowest and the highest of them as its ends.
// Levels within 10 % look flat.
func (s *Series) sparkline() string {
	bars := min(len(s.Points), sparkWidth)
	means := make([]float64, bars)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range means {
		part := s.Points[i*len(s.Points)/bars : (i+1)*len(s.Points)/bars]
		means[i] = levelOf(describe(logs(part)).mean, s.Differences)
		low, high = min(low, means[i]), max(high, means[i])
	}
	if room := 0.1; high-low < room {
		middle := (low + high) / 2
		low, high = middle-room/2, middle+room/2
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, bars)
	for i, m := range means {
		line[i] = blocks[min(int((m-low)/(high-low)*8), 7)]
	}
	return string(line)
}
