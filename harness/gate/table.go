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
	var rows [][]string
	var paint []string // colour of each row's verdict
	add := func(style string, cells ...string) {
		rows, paint = append(rows, cells),
			append(paint, style)
	}
	for _, unit := range c.unitOrder() {
		first := true
		for i := range c.Cells {
			cell := &c.Cells[i]
			if cell.Unit != unit || failing && !cell.listed() {
				continue
			}
			if first {
				if len(rows) > 0 {
					add("")
				}
				add("2", short(unit), "base", "head", "change", "90 % interval", "p", "")
				first = false
			}
			r := cell.Row()
			if cell.Verdict == Few {
				r.Verdict = ""
			}
			add(cell.style(), cell.Scenario, r.Base, r.Head, r.Change, r.Interval, r.P, r.Verdict)
		}
	}
	var b strings.Builder
	for i, line := range table.Align(rows, 0, 6) {
		if color && paint[i] == "2" {
			line = "\x1b[2m" + line + "\x1b[0m"
		} else if color && paint[i] != "" {
			verdict := rows[i][len(rows[i])-1]
			line = strings.TrimSuffix(line, verdict) + "\x1b[" + paint[i] + "m" + verdict +
				"\x1b[0m"
		}
		b.WriteString(line + "\n")
	}
	if len(rows) > 0 {
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
	rows := [][]string{{"limit", "scenario", "median", "95 % interval", "runs", ""}}
	for _, h := range results {
		rows = append(rows, []string{h.Limit.Text, h.Scenario, h.Figure, interval(&h),
			strconv.Itoa(h.Runs), h.Word()})
	}
	paint := map[limit.Standing]string{limit.Missed: "31", limit.NotShown: "33"}
	for i, line := range table.Align(rows, 0, 5) {
		switch {
		case color && i > 0 && results[i-1].Standing != limit.Met:
			word := results[i-1].Word()
			line = strings.TrimSuffix(line, word) + "\x1b[" + paint[results[i-1].Standing] + ";1m" +
				word + "\x1b[0m"
		case color && i == 0:
			line = "\x1b[2m" + line + "\x1b[0m"
		}
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
