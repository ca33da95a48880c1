package gate

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
)

// An Acceptance is a cell that was worse, and that somebody has accepted: a line of the file beside
// the baseline, which is committed with it.
type Acceptance struct {
	Date     time.Time // the day
	Base     string    // the base that it was worse than: BaseID of its file, or [Measured]
	Commit   string    // of the head
	Scenario string
	Unit     string // as people write it
	Estimate        // of the change
	Points   bool   // the change is of percentage points
	Reason   string
}

// Measured stands for the base where gate has measured it itself, and for the head's commit where
// it is not known.
const (
	Measured      = "measured"
	unknownCommit = "-"
)

// BaseID identifies a base by what its file has: a baseline that was measured anew is another one,
// which has in it what was accepted of the last.
func BaseID(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

const acceptedHead = `# Regressions that were accepted (loadstone gate -accept). A line counts as long as the base is the
# same and the change has not grown: date base head scenario unit change (90 % interval) "reason"
`

// String is the line of the file.
func (a Acceptance) String() string {
	of := func(v float64) string {
		switch {
		case math.IsInf(v, 0):
			return strconv.FormatFloat(v, 'g', -1, 64)
		case a.Points:
			return fmt.Sprintf("%+.4gpp", 100*v)
		}
		return fmt.Sprintf("%+.4g%%", 100*v)
	}
	return fmt.Sprintf("%s base=%s head=%s %s %s %s [%s,%s] %q", a.Date.Format(time.DateOnly), a.Base,
		cmp.Or(a.Commit, unknownCommit), a.Scenario, a.Unit, of(a.Delta), of(a.Lo), of(a.Hi), a.Reason)
}

// An AcceptedError is a line of a file of what was accepted that cannot be read.
type AcceptedError struct {
	File string
	Line int
	Why  string
}

func (e *AcceptedError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Why) }

// ReadAccepted reads what was accepted. An error is an [*AcceptedError] or the reader's.
func ReadAccepted(f File) ([]Acceptance, error) {
	var all []Acceptance
	lines := bufio.NewScanner(f.Reader)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		a, why := parseAcceptance(line)
		if why != "" {
			return nil, &AcceptedError{f.Name, n, why}
		}
		all = append(all, a)
	}
	return all, lines.Err()
}

func parseAcceptance(line string) (a Acceptance, why string) {
	head, reason, ok := strings.Cut(line, ` "`)
	fields := strings.Fields(head)
	if !ok || len(fields) != 7 {
		return a, `want: date base=ID head=COMMIT scenario unit change [low,high] "reason"`
	}
	var err error
	if a.Date, err = time.Parse(time.DateOnly, fields[0]); err != nil {
		return a, fmt.Sprintf("%q is no date like 2026-11-29", fields[0])
	}
	if a.Reason, err = strconv.Unquote(`"` + reason); err != nil {
		return a, "the reason is not in quotes"
	}
	a.Base, ok = strings.CutPrefix(fields[1], "base=")
	if a.Commit, _ = strings.CutPrefix(fields[2], "head="); !ok || a.Commit == fields[2] {
		return a, "want base=ID head=COMMIT after the date"
	}
	a.Scenario, a.Unit = fields[3], short(fields[4])
	lo, hi, ok := strings.Cut(strings.Trim(fields[6], "[]"), ",")
	for i, text := range []string{fields[5], lo, hi} {
		number, points := strings.CutSuffix(text, "pp")
		a.Points = a.Points || points
		v, err := strconv.ParseFloat(strings.TrimSuffix(number, "%"), 64)
		if err != nil || math.IsNaN(v) || !ok {
			return a, fmt.Sprintf("%q is no change like +6.2%% [+4.1%%,+8.3%%]", fields[5]+" "+fields[6])
		}
		*[]*float64{&a.Delta, &a.Lo, &a.Hi}[i] = v / 100
	}
	if a.Delta == 0 || math.IsInf(a.Delta, 0) {
		return a, fmt.Sprintf("a change of %s cannot be accepted", fields[5])
	}
	return a, ""
}

// WriteAccepted writes what was accepted before, as it was, and more lines.
func WriteAccepted(w io.Writer, earlier []byte, more []Acceptance) error {
	var b bytes.Buffer
	if b.Write(earlier); b.Len() == 0 {
		b.WriteString(acceptedHead)
	} else if !bytes.HasSuffix(earlier, []byte("\n")) {
		b.WriteByte('\n')
	}
	for _, a := range more {
		b.WriteString(a.String() + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Accept are the cells that are worse as they would be accepted. What has no finite change, such as
// requests of which none is answered any more, cannot be.
func (c *Comparison) Accept(date time.Time, commit, reason string) []Acceptance {
	var all []Acceptance
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.Verdict != Worse || math.IsInf(cell.Delta, 0) {
			continue
		}
		all = append(all, Acceptance{Date: date, Base: c.BaseID, Commit: commit,
			Scenario: cell.Scenario, Unit: cell.ShortUnit(), Estimate: cell.Estimate,
			Points: cell.Rule.Points, Reason: reason})
	}
	return all
}

// applyAccepted takes back the verdict of cells that are worse and no worse than what was accepted.
func (c *Comparison) applyAccepted(p *pool) {
	used := make([]bool, len(c.Accepted))
	for _, s := range p.cells {
		i := slices.IndexFunc(c.Cells, func(cell Cell) bool {
			return cell.Name == s.name && cell.Unit == s.unit
		})
		if i < 0 || c.Cells[i].Verdict != Worse {
			continue
		}
		cell := &c.Cells[i]
		for j := range c.Accepted { // of several lines the last counts
			a := &c.Accepted[len(c.Accepted)-1-j]
			if a.Base != c.BaseID || a.Scenario != cell.Scenario || a.Unit != cell.ShortUnit() ||
				a.Points != cell.Rule.Points {
				continue
			}
			used[len(c.Accepted)-1-j] = true
			if c.grown(cell, s, a) {
				cell.Why = fmt.Sprintf("more than the %s that was accepted on %s",
					delta(a.Delta, a.Points), a.Date.Format(time.DateOnly))
			} else {
				cell.Verdict = Accepted
				cell.Why = "on " + a.Date.Format(time.DateOnly) + ": " + a.Reason
			}
			break
		}
	}
	c.noteUnused(used)
}

// grown reports whether a cell is worse than what was accepted, beyond noise: it is outside of the
// interval that was accepted, and the head is worse than a base that had changed by that much, by
// the same test, correction and smallest effect as any cell.
func (c *Comparison) grown(cell *Cell, s *samples, a *Acceptance) bool {
	sign := -float64(cell.better)
	if cell.Rule.Exact {
		return sign*cell.Delta > sign*a.Delta+1e-9
	}
	end := a.Hi
	if sign < 0 {
		end = a.Lo
	}
	if math.IsInf(end, 0) { // so few runs were accepted that they bound nothing
		end = a.Delta
	}
	if sign*cell.Delta <= sign*end {
		return false
	}
	base := slices.Clone(s.values[baseSide])
	for i := range base {
		if a.Points {
			base[i] += a.Delta
		} else {
			base[i] *= 1 + a.Delta
		}
	}
	head := s.values[headSide]
	more := estimate(base, head, cell.Rule.Points).Delta
	tested := 0
	for i := range c.Cells {
		if o := &c.Cells[i]; o.NBase > 0 && o.NHead > 0 && !o.Rule.Exact {
			tested++
		}
	}
	p := directed(benchmath.AssumeNothing.Compare(sample(base), sample(head)).P)
	return sign*more > cell.Bound && p*float64(tested) <= c.Alpha
}

// noteUnused notes lines that count for nothing.
func (c *Comparison) noteUnused(used []bool) {
	others := 0
	for i := range c.Accepted {
		a := &c.Accepted[i]
		switch {
		case a.Base != c.BaseID:
			others++
		case used[i], slices.ContainsFunc(c.Accepted[i+1:], func(b Acceptance) bool {
			return b.Base == a.Base && b.Scenario == a.Scenario && b.Unit == a.Unit
		}):
		case slices.ContainsFunc(c.Cells, func(cell Cell) bool {
			return cell.Scenario == a.Scenario && cell.ShortUnit() == a.Unit
		}):
			c.Notes = append(c.Notes, fmt.Sprintf("%s of %s is no worse any more: its line of %s among "+
				"what was accepted can go", a.Unit, a.Scenario, a.Date.Format(time.DateOnly)))
		}
	}
	if others > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("lines of another base among what was accepted, which "+
			"count for nothing: %d", others))
	}
}
