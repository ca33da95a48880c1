package verify

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"loadstone/harness/report"
	"loadstone/harness/table"
)

// A Difference is what is wrong in one file: where, and what stands there in place of what.
type Difference struct {
	File  string `json:"file"` // "" is the zip itself
	Place string `json:"place,omitempty"`
	About string `json:"about"`
}

func (d Difference) String() string {
	s := d.File
	if s == "" {
		s = "the zip itself"
	}
	if d.Place != "" {
		s += ", " + d.Place
	}
	return s + ": " + d.About
}

// firstLine says in which line two texts differ first.
func firstLine(got, want []byte) string {
	line := 1
	for {
		a, restA, moreA := bytes.Cut(got, []byte("\n"))
		b, restB, moreB := bytes.Cut(want, []byte("\n"))
		switch {
		case !bytes.Equal(a, b):
			return fmt.Sprintf("line %d is %s, not %s", line, excerpt(a, b), excerpt(b, a))
		case moreA != moreB:
			return fmt.Sprintf("line %d ends otherwise", line)
		case !moreA:
			return "nothing differs"
		}
		got, want = restA, restB
		line++
	}
}

// excerpt is a line from a little before where it differs from another one.
func excerpt(line, other []byte) string {
	at := 0
	for at < min(len(line), len(other)) && line[at] == other[at] {
		at++
	}
	from := max(0, at-20)
	text := fmt.Sprintf("%q", table.Clip(strings.ToValidUTF8(string(line[from:]), "\ufffd"), 60))
	if from > 0 {
		text = "..." + text
	}
	return text
}

// A comparer compares a file with what was made of the same report.
type comparer struct {
	file string
	// loose says that another program wrote the file: it may have fewer fields, and numbers whose last
	// digits another processor computes otherwise.
	loose   bool
	figures int // numbers that were compared
	found   []Difference
}

// maxFound is how many differences of one file are named.
const maxFound = 5

func (c *comparer) differ(place, format string, args ...any) {
	if len(c.found) < maxFound {
		c.found = append(c.found, Difference{c.file, place, fmt.Sprintf(format, args...)})
	}
}

// json compares two texts of JSON.
func (c *comparer) json(got, want []byte) {
	var a, b any
	for text, to := range map[*[]byte]*any{&got: &a, &want: &b} {
		dec := json.NewDecoder(bytes.NewReader(*text))
		dec.UseNumber()
		if err := dec.Decode(to); err != nil {
			c.differ("", "%v", err)
			return
		}
	}
	c.values("", a, b)
	if len(c.found) == 0 && !c.loose && !bytes.Equal(got, want) {
		c.differ("", "%s", firstLine(got, want))
	}
}

func (c *comparer) values(place string, got, want any) {
	switch want := want.(type) {
	case map[string]any:
		own, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(want)
		maps.Copy(keys, own)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			_, a := own[key]
			_, b := want[key]
			at := strings.TrimPrefix(place+"."+key, ".")
			switch {
			case a && b:
				c.values(at, own[key], want[key])
			case !c.loose && a:
				c.differ(at, "nothing of the kind is made of the records")
			case !c.loose && b:
				c.differ(at, "it is not there")
			}
		}
		return
	case []any:
		own, ok := got.([]any)
		if !ok {
			break
		}
		if len(own) != len(want) {
			c.differ(place, "%d entries, where the records make %d", len(own), len(want))
		}
		for i := range min(len(own), len(want)) {
			c.values(fmt.Sprintf("%s[%d]", place, i), own[i], want[i])
		}
		return
	case json.Number:
		c.figures++
		if own, ok := got.(json.Number); ok && (c.alike(own.String(), want.String()) ||
			strings.HasSuffix(place, "_ns") && c.rounded(own, want)) {
			return
		}
	case string:
		// Of an earlier version's format what it says is compared, as far as it goes.
		if own, ok := got.(string); ok && c.loose && c.file == resultsFile && place == "format" &&
			slices.Contains(report.Formats(), own) {
			return
		}
	}
	if got != want {
		c.differ(place, "%s in the file, %s from the records", shown(got), shown(want))
	}
}

func shown(v any) string {
	text, _ := json.Marshal(v)
	return table.Clip(string(text), 80)
}

// alike reports whether two figures are the same.
func (c *comparer) alike(got, want string) bool {
	if got == want {
		return true
	}
	a, errA := strconv.ParseFloat(got, 64)
	b, errB := strconv.ParseFloat(want, 64)
	return c.loose && errA == nil && errB == nil && math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
}

// rounded reports whether two times are the same but for the last nanosecond, which another program
// may have rounded otherwise.
func (c *comparer) rounded(got, want json.Number) bool {
	a, errA := got.Int64()
	b, errB := want.Int64()
	return c.loose && errA == nil && errB == nil && max(a, b)-min(a, b) <= 1
}

// table compares two tables of CSV, by columns that both have and by row.
func (c *comparer) table(got, want []byte) {
	read := func(text []byte) ([][]string, error) {
		return csv.NewReader(bytes.NewReader(text)).ReadAll()
	}
	own, err := read(got)
	made, err2 := read(want)
	if err != nil || err2 != nil || len(own) == 0 || len(made) == 0 {
		c.differ("", "it is no table: %v", err)
		return
	}
	if len(own) != len(made) && !c.loose {
		c.differ("", "%d rows, where the records make %d", len(own)-1, len(made)-1)
	}
	key := func(row []string) string { return strings.Join(row[:min(6, len(row))], " ") }
	rows := map[string][]string{}
	for i, row := range own {
		rows[key(row)+strconv.Itoa(i*boolInt(c.file == requestsFile))] = row
	}
	for i, row := range made[1:] {
		mine := rows[key(row)+strconv.Itoa((i+1)*boolInt(c.file == requestsFile))]
		if mine == nil {
			if !c.loose {
				c.differ(fmt.Sprintf("row %d", i+1), "it is not of %s", key(row))
			}
			continue
		}
		for j, column := range made[0] {
			k := slices.Index(own[0], column)
			if k < 0 || k >= len(mine) || j >= len(row) {
				continue
			}
			c.figures++
			if !c.alike(mine[k], row[j]) {
				c.differ(fmt.Sprintf("%s of %s", column, key(row)), "%q in the file, %q from the records",
					mine[k], row[j])
			}
		}
	}
	if len(c.found) == 0 && !c.loose && !bytes.Equal(got, want) {
		c.differ("", "%s", firstLine(got, want))
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bench compares two files of the benchmark format: lines of one benchmark, and their values by
// unit.
func (c *comparer) bench(got, want []byte) {
	if !c.loose {
		c.differ("", "%s", firstLine(got, want))
		return
	}
	own := benchLines(got)
	for name, units := range benchLines(want) {
		for unit, value := range units {
			if mine, ok := own[name][unit]; ok {
				c.figures++
				if !c.alike(mine, value) {
					c.differ(unit+" of "+name, "%s in the file, %s from the records", mine, value)
				}
			}
		}
	}
}

// benchLines are the values of each benchmark by unit; of several lines of one name each has its
// number.
func benchLines(text []byte) map[string]map[string]string {
	lines, seen := map[string]map[string]string{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		seen[fields[0]]++
		units := map[string]string{}
		for i := 2; i+1 < len(fields); i += 2 {
			units[fields[i+1]] = fields[i]
		}
		lines[fmt.Sprintf("%s, run %d", fields[0], seen[fields[0]])] = units
	}
	return lines
}
