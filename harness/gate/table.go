package gate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"loadstone/harness/limit"
	"loadstone/harness/table"
)

// maxFailures is how many signs of failure are written below a table; one is enough.
const maxFailures = 8

// WriteTable writes the comparison for a reader at a console: a block for each unit, a row for each
// scenario. With failing, it writes only the cells that keep the gate from passing, and what was
// accepted. That there are too few runs is said once, in a note.
func (c *Comparison) WriteTable(w io.Writer, color, failing bool) error {
	var b strings.Builder
	if t := c.cellTable(failing); !t.Empty() {
		for _, line := range t.Lines(color, 0, 6) {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(c.Summary() + "\n")
	for _, d := range c.Unlike {
		b.WriteString("unlike: " + d.String() + "\n")
	}
	for i, f := range c.Failures {
		if i == maxFailures {
			fmt.Fprintf(&b, "not sound: and %s\n",
				table.Plural(len(c.Failures)-i, "more reason"))
			break
		}
		b.WriteString("not sound: " + f.Side + ": " + f.String() + "\n")
	}
	for _, note := range c.Notes {
		b.WriteString("note: " + note + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cellTable has a part for each unit.
func (c *Comparison) cellTable(failing bool) (t table.Colored) {
	for _, unit := range c.unitOrder() {
		first := true
		for i := range c.Cells {
			cell := &c.Cells[i]
			if cell.Unit != unit || failing && !cell.listed() {
				continue
			}
			if first {
				t.Head(short(unit), "base", "head", "change", "90 % interval", "p", "")
				first = false
			}
			r := cell.Row()
			if cell.Verdict == Few {
				r.Verdict = ""
			}
			t.Add(cell.style(), cell.Scenario, r.Base, r.Head, r.Change, r.Interval, r.P, r.Verdict)
		}
	}
	return t
}

// unitOrder returns the units of the cells, in the order in which they come.
func (c *Comparison) unitOrder() []string {
	var units []string
	seen := map[string]bool{}
	for _, cell := range c.Cells {
		if !seen[cell.Unit] {
			seen[cell.Unit] = true
			units = append(units, cell.Unit)
		}
	}
	return units
}

// Summary is the line below the table: how many cells have each verdict, and how p was corrected.
func (c *Comparison) Summary() string {
	count := map[Verdict]int{}
	lo, hi := math.MaxInt, 0
	for _, cell := range c.Cells {
		count[cell.Verdict]++
		lo, hi = min(lo, cell.NBase, cell.NHead), max(hi, cell.NBase, cell.NHead)
	}
	runs := strconv.Itoa(hi)
	if lo < hi {
		runs = fmt.Sprintf("%d to %d", lo, hi)
	}
	parts := []string{}
	for _, v := range []Verdict{Worse, Missing, Few, Client, Undecided, Accepted, Better, Changed,
		Small, Sparse} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	parts = append(parts, fmt.Sprintf("%d ~", count[Same]))
	floor := "no noise floor"
	if c.Noise.Reader != nil {
		floor = "noise floor " + c.Noise.Name
		if c.Floor.N > 1 {
			floor += " of " + c.Floor.String()
		}
	}
	return fmt.Sprintf("%d cells: %s (%s runs a side, p after Holm's correction, %s)", len(c.Cells),
		strings.Join(parts, ", "), runs, floor)
}

// WriteLimits writes limits and what became of them.
func WriteLimits(w io.Writer, results []Held, color bool) error {
	var t table.Colored
	t.Head("limit", "scenario", "median", "95 % interval", "runs", "")
	styles := map[limit.Standing]table.Style{limit.Missed: table.BoldRed,
		limit.NotShown: table.BoldYellow}
	for _, h := range results {
		t.Add(styles[h.Standing], h.Limit.Text, h.Scenario, h.Figure, interval(&h),
			strconv.Itoa(h.Runs), h.Word())
	}
	for _, line := range t.Lines(color, 0, 5) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// interval is that of the median, which fewer than six runs do not bound (benchmath.AssumeNothing).
func interval(h *Held) string {
	if math.IsInf(h.Got.Lo, -1) {
		return "needs 6 runs"
	}
	return format(h.Got.Lo, h.Unit) + " … " + format(h.Got.Hi, h.Unit)
}
