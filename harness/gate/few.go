package gate

import (
	"fmt"
	"slices"
	"strings"
)

// enoughRuns is how many runs on each side let a change be significant among so many cells.
func (c *Comparison) enoughRuns(cells int) int {
	n := c.MinRuns
	for minP(n, n)*float64(cells) > c.Alpha {
		n++
	}
	return n
}

// noteFew notes once for all cells that have as many runs that these are too few, and how many
// would do, where so many cells were tested.
func (c *Comparison) noteFew(tested int) {
	type sides struct{ base, head int }
	type few struct {
		sides
		cells     int
		scenarios []string
	}
	var all []*few
	var scenarios []string // of all cells
	for i := range c.Cells {
		cell := &c.Cells[i]
		if !slices.Contains(scenarios, cell.Scenario) {
			scenarios = append(scenarios, cell.Scenario)
		}
		if cell.Verdict != Few {
			continue
		}
		n := sides{cell.NBase, cell.NHead}
		at := slices.IndexFunc(all, func(f *few) bool { return f.sides == n })
		if at < 0 {
			at, all = len(all), append(all, &few{sides: n})
		}
		f := all[at]
		if f.cells++; !slices.Contains(f.scenarios, cell.Scenario) {
			f.scenarios = append(f.scenarios, cell.Scenario)
		}
	}
	for _, f := range all {
		where := ""
		if len(f.scenarios) < len(scenarios) {
			where = ": " + strings.Join(f.scenarios, ", ")
		}
		c.Notes = append(c.Notes, fmt.Sprintf("too few runs: %d and %d, want at least %d on each "+
			"side, in %d of %d cells%s", f.base, f.head, c.enoughRuns(tested), f.cells, len(c.Cells),
			where))
	}
}
