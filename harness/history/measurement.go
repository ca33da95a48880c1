package history

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/table"
)

// The configuration keys of a history's files, beside those of bench.txt.
const (
	sideKey   = "side" // base or head
	commitKey = "commit"
	dateKey   = "commit-date" // RFC 3339
)

// A Measurement is one commit that was measured: beside another one, in turns on one machine, or by
// itself.
type Measurement struct {
	Name       string // of its file
	Base, Head Commit // Base is the zero Commit where the head was measured by itself

	base, head []byte // bench.txt of the two sides; base is nil where there is none
	written    int    // with which version of the file: an order for those that have no date
}

// A Skipped file is one that the history could not use.
type Skipped struct{ Name, Why string }

func (s Skipped) String() string { return s.Name + ": " + s.Why }

// Parse reads a measurement: a file that [Measurement.Write] wrote, or a bench.txt, which has one
// side. The commit of a side is its key commit, or in a bench.txt the comment "# commit HASH", else
// the zero Commit.
func Parse(name string, text []byte) (Measurement, error) {
	m := Measurement{Name: name}
	var common []byte
	sides := map[string]*[]byte{}
	at := &common
	for line := range bytes.Lines(text) {
		if side, ok := valueOf(string(line), sideKey); ok {
			if (side != "base" && side != "head") || sides[side] != nil {
				return m, fmt.Errorf("side %q: want one part that is base and one that is head", side)
			}
			part := slices.Clone(common)
			sides[side], at = &part, &part
			continue
		}
		*at = append(*at, line...)
	}
	switch {
	case len(sides) == 0:
		m.head = common
	case sides["base"] == nil || sides["head"] == nil:
		return m, fmt.Errorf("it has one side of the two, base and head")
	default:
		m.base, m.head = *sides["base"], *sides["head"]
		m.Base, m.base = commitOf(m.base), undated(m.base)
	}
	m.Head, m.head = commitOf(m.head), undated(m.head)
	return m, nil
}

// undated leaves out when a side's commit was made, by which sides may differ.
func undated(text []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if _, ok := valueOf(string(line), dateKey); !ok {
			kept = append(kept, line...)
		}
	}
	return kept
}

// valueOf is the value of a configuration line with this key.
func valueOf(line, key string) (string, bool) {
	value, ok := strings.CutPrefix(line, key+":")
	return strings.TrimSpace(value), ok
}

// commitOf is the commit that a bench.txt says it is of.
func commitOf(text []byte) Commit {
	var c Commit
	for line := range bytes.Lines(text) {
		if hash, ok := strings.CutPrefix(string(line), "# commit "); ok && c.Hash == "" {
			c.Hash = strings.TrimSuffix(strings.TrimSpace(hash), "+dirty")
		}
		if hash, ok := valueOf(string(line), commitKey); ok {
			c.Hash = hash
		}
		if date, ok := valueOf(string(line), dateKey); ok {
			c.Date, _ = time.Parse(time.RFC3339, date)
		}
		if start, ok := strings.CutPrefix(string(line), "# loadstone bench, "); ok && c.Date.IsZero() {
			c.Date, _ = time.Parse(time.RFC3339, strings.TrimSpace(start))
		}
	}
	return c
}

// NewMeasurement makes a measurement of the bench.txt of two sides, and the commits that they are
// of.
func NewMeasurement(name string, base, head Commit, baseText, headText []byte) Measurement {
	return Measurement{Name: name, Base: base, Head: head, base: baseText, head: headText}
}

// Write writes a measurement of two sides in the Go benchmark format: the bench.txt of the base and
// of the head one after the other, each behind the keys side, commit and commit-date, which
// benchstat and benchseries tell them apart by. Of the units it keeps those that are judged,
// because such files are committed by the hundred.
func (m Measurement) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	kept := keptUnits()
	fmt.Fprintf(out, "# %s measured beside %s, in turns\n", m.Head.Short(), m.Base.Short())
	for i, side := range []struct {
		name   string
		commit Commit
		text   []byte
	}{{"base", m.Base, m.base}, {"head", m.Head, m.head}} {
		fmt.Fprintf(out, "%s: %s\n%s: %s\n", sideKey, side.name, commitKey, side.commit.Hash)
		if !side.commit.Date.IsZero() {
			fmt.Fprintf(out, "%s: %s\n", dateKey, side.commit.Date.UTC().Format(time.RFC3339))
		}
		if side.commit.Subject != "" {
			fmt.Fprintf(out, "# %s\n", table.OneLine(side.commit.Subject))
		}
		for line := range strings.Lines(string(side.text)) {
			if line = compact(line, kept, i == 0); line != "" {
				fmt.Fprintln(out, line)
			}
		}
	}
	return out.Flush()
}

// keptUnits are the units that are judged, with the numbers of values that their percentiles are
// of.
func keptUnits() map[string]bool {
	kept := map[string]bool{}
	for _, f := range figure.Bench() {
		if f.Rule.Gated {
			kept[f.BenchUnit()] = true
			kept[figure.SizeName(f.Of)] = true
		}
	}
	return kept
}

// compact leaves the units that are not kept out of a line; it is "" where nothing remains. Units
// that stand in the base's part already need no second line.
func compact(line string, kept map[string]bool, first bool) string {
	line = strings.TrimRight(line, "\r\n")
	fields := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "Unit "):
		if len(fields) < 2 || !first || !kept[fields[1]] {
			return ""
		}
	case strings.HasPrefix(line, "Benchmark") && len(fields) > 3:
		short := fields[:2:2]
		for i := 2; i+1 < len(fields); i += 2 {
			if kept[fields[i+1]] {
				short = append(short, fields[i], fields[i+1])
			}
		}
		return strings.Join(short, " ")
	case commitLine(line):
		return ""
	}
	return line
}

// commitLine reports whether a line says what Write says itself.
func commitLine(line string) bool {
	for _, key := range []string{sideKey, commitKey, dateKey} {
		if _, ok := valueOf(line, key); ok {
			return true
		}
	}
	return strings.HasPrefix(line, "# commit ") || strings.HasPrefix(line, "# version ")
}
