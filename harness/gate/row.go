package gate

// A Row is a cell as text, as WriteTable prints it.
type Row struct{ Base, Head, Change, Interval, P, Verdict string }

// Row returns the cell's texts.
func (cell *Cell) Row() Row {
	t := cell.row()
	return Row{t[1], t[2], t[3], t[4], t[5], t[6]}
}

// ShortUnit is the unit as people say it: p99-e2e for p99-e2e-sec.
func (cell *Cell) ShortUnit() string { return short(cell.Unit) }

// Fails tells whether the cell keeps the gate from passing.
func (cell *Cell) Fails() bool { return cell.fails() }

// HigherIsBetter is 1 where more is better, -1 where less is, 0 where nothing says.
func (cell *Cell) HigherIsBetter() int { return cell.better }

// Summary is the line below the table: how many cells have which verdict, and how p was corrected.
func (c *Comparison) Summary() string { return c.footer() }
