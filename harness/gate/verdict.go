package gate

import (
	"slices"

	"loadstone/harness/limit"
	"loadstone/harness/table"
	"loadstone/harness/verdict"
)

// Section is the comparison for the forms of a verdict.
func (c *Comparison) Section() verdict.Section {
	s := verdict.Section{Title: "head against base",
		Columns: []string{"scenario", "unit", "base", "head", "change", "90 % interval", "p", "verdict"}}
	for _, unit := range c.unitOrder() {
		for i := range c.Cells {
			cell := &c.Cells[i]
			if cell.Unit != unit {
				continue
			}
			r := cell.Row()
			one := verdict.Case{Group: cell.Scenario, Name: cell.ShortUnit(), Text: r.Verdict,
				Cells: []string{r.Base, r.Head, r.Change, r.Interval, r.P}, State: verdict.Good}
			switch {
			case cell.Verdict == Undecided && cell.Fails(), cell.Verdict == Client:
				one.State = verdict.Open
			case cell.Fails():
				one.State = verdict.Bad
			case cell.Verdict == Accepted:
				one.State = verdict.Accepted
			}
			s.Cases = append(s.Cases, one)
		}
	}
	return s
}

// AllNotes are the notes, with what keeps the files from being comparable or sound.
func (c *Comparison) AllNotes() []string {
	var notes []string
	for _, d := range c.Unlike {
		notes = append(notes, "unlike: "+d.String())
	}
	for i, f := range c.Failures {
		if i == maxFailures {
			notes = append(notes, "not sound: and "+table.Plural(len(c.Failures)-i, "more reason"))
			break
		}
		notes = append(notes, "not sound: "+f.Side+": "+f.String())
	}
	return slices.Concat(notes, c.Notes)
}

// LimitSection is what became of limits for the forms of a verdict.
func LimitSection(results []Held) verdict.Section {
	s := verdict.Section{Title: "limits", Columns: []string{"scenario", "limit", "median",
		"95 % interval", "verdict"}}
	states := map[limit.Standing]verdict.State{limit.Met: verdict.Good, limit.Missed: verdict.Bad,
		limit.NotShown: verdict.Open}
	for i := range results {
		h := &results[i]
		s.Cases = append(s.Cases, verdict.Case{Group: h.Scenario, Name: h.Limit.Text,
			Cells: []string{h.Figure, interval(h)}, State: states[h.Standing], Text: h.Word()})
	}
	return s
}
