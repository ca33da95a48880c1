package gate

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/perf/benchfmt"

	"loadstone/harness/load"
	"loadstone/harness/table"
)

// A text is a benchmark file as it was read: in UTF-8, with lines that end in LF, and what its
// lines say beside the results.
type text struct {
	name     string
	body     []byte
	failures []Failure
	lines    []directive // Session and Load lines, in their order
	results  []begun     // benchmark lines, in their order
	json     bool        // it is what go test -json prints
	isFloor  bool        // it is a noise floor, whose results have sides
	behind   int         // the first line that has a result behind something else; 0: none has
}

// A directive is a Session or a Load line; see report.WriteBench.
type directive struct {
	line    int
	session *session
	name    string // of a Load line: the benchmark's
	asked   load.Identity
}

// A begun benchmark is a line that begins with its name.
type begun struct {
	line    int
	name    string
	alone   bool   // nothing follows the name
	skipped bool   // the benchmark skipped itself
	text    string // all of the line
	units   string // of its values
	pairs   int    // of a value and its unit
	odd     bool   // a value has no unit
}

// readText reads a file. An error is a [*FormatError], of the reader, or of a line.
func readText(f File) (*text, error) {
	raw, err := io.ReadAll(f.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	body, err := decode(f.Name, raw)
	if err != nil {
		return nil, err
	}
	t := &text{name: f.Name}
	lines := strings.Split(string(body), "\n")
	for i, line := range lines {
		if err := t.scan(i+1, line); err != nil {
			return nil, err
		}
	}
	t.findLost()
	t.findTwice()
	t.findCut(len(lines), lines[len(lines)-1])
	for _, f := range t.failures { // what is said to have failed is not read as a result
		if strings.HasPrefix(lines[f.Line-1], "Benchmark") {
			lines[f.Line-1] = ""
		}
	}
	t.body = []byte(strings.Join(lines, "\n"))
	return t, nil
}

const byteOrderMark = "\uFEFF"

// decode makes UTF-8 of a file, without byte order marks, in which every line ends in LF. Windows'
// shell writes UTF-16, and some editors end lines in CR.
func decode(name string, raw []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe, 0, 0}),
		bytes.HasPrefix(raw, []byte{0, 0, 0xfe, 0xff}):
		return nil, &FormatError{name, "text in UTF-32"}
	case bytes.HasPrefix(raw, []byte{0x1f, 0x8b}),
		bytes.HasPrefix(raw, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		bytes.HasPrefix(raw, []byte("PK\x03\x04")), bytes.HasPrefix(raw, []byte("BZh")),
		bytes.HasPrefix(raw, []byte("\xfd7zXZ\x00")):
		return nil, &FormatError{name, "compressed"}
	}
	if low, ok := utf16Order(raw); ok {
		if len(raw)%2 > 0 {
			return nil, &FormatError{name, "text in UTF-16 that is cut off within a character"}
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i+low]) | uint16(raw[2*i+1-low])<<8
		}
		raw = []byte(string(utf16.Decode(units)))
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, &FormatError{name, fmt.Sprintf("not text: byte %d of it is 0", i+1)}
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	// Files that were joined have a mark in the middle; before a name it would hide the line.
	return bytes.ReplaceAll(raw, []byte(byteOrderMark), nil), nil
}

// utf16Order reports whether a file is in UTF-16, and where the low byte of a unit is: by its byte
// order mark, or without one by the zeros that every second byte of plain text then is.
func utf16Order(raw []byte) (low int, ok bool) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return 0, true
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return 1, true
	}
	head := raw[:min(len(raw), 64)&^1]
	zeros := [2]int{}
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	for high := range zeros {
		if len(head) > 0 && zeros[high] == len(head)/2 && zeros[1-high] == 0 {
			return 1 - high, true
		}
	}
	return 0, false
}

// scan takes from a line what the benchmark reader does not.
func (t *text) scan(n int, line string) error {
	if kind, mark := failureMark(line); mark != "" && !t.marked(mark) {
		t.failures = append(t.failures, Failure{File: t.name, Line: n, Kind: kind,
			Text: table.OneLine(mark)})
	}
	word, rest, _ := strings.Cut(line, " ")
	isOurs := strings.Contains(rest, `="`) // else a benchmark printed a sentence that begins so
	switch {
	case word == "Session" && isOurs:
		id, err := load.ParseIdentity(rest)
		if err != nil || id.Get("id") == "" {
			return fmt.Errorf("%s:%d: no Session line: want id and start", t.name, n)
		}
		t.lines = append(t.lines, directive{line: n, session: newSession(id)})
	case word == "Load" && isOurs:
		name, rest, _ := strings.Cut(rest, " ")
		id, err := load.ParseIdentity(rest)
		if err != nil || len(id) == 0 {
			return fmt.Errorf("%s:%d: no Load line: want a benchmark's name, and key=\"value\" of "+
				"its load", t.name, n)
		}
		t.lines = append(t.lines, directive{line: n, name: name, asked: id})
	case strings.HasPrefix(line, "Benchmark"):
		t.scanResult(n, line)
	case strings.HasPrefix(line, sideKey+": "):
		t.isFloor = true
	case strings.HasPrefix(strings.TrimLeft(line, " \t"), "--- SKIP: Benchmark"):
		fields := strings.Fields(line)
		t.results = append(t.results, begun{line: n, name: fields[2], skipped: true})
	case strings.HasPrefix(line, `{"Time":`), strings.HasPrefix(line, `{"Action":`),
		strings.HasPrefix(line, `{"ImportPath":`):
		t.json = true
	case t.behind == 0 && hasResult(line):
		t.behind = n
	}
	return nil
}

// hasResult reports whether a benchmark's name, a count and a value stand somewhere in a line.
func hasResult(line string) bool {
	_, rest, ok := strings.Cut(line, "Benchmark")
	if fields := strings.Fields(rest); ok && len(fields) > 3 {
		_, err := strconv.Atoi(fields[1])
		return err == nil
	}
	return false
}

// marked reports whether another line has said the same: bench.txt says in a comment for people,
// and in a key for programs, that it is incomplete.
func (t *text) marked(mark string) bool {
	mark = table.OneLine(mark)
	return slices.ContainsFunc(t.failures, func(f Failure) bool { return f.Text == mark })
}

func (t *text) scanResult(n int, line string) {
	fields := strings.Fields(line)
	b := begun{line: n, name: fields[0], text: line, alone: len(fields) == 1}
	for i := 3; i < len(fields); i += 2 {
		b.units, b.pairs = b.units+fields[i]+" ", b.pairs+1
	}
	b.odd = len(fields)%2 > 0
	t.results = append(t.results, b)
}

// findLost finds benchmarks that began and have no result.
//
// go test -v prints the name of a benchmark by itself and then its lines, or those of its parts. A
// name that none of them follows lost its result: the benchmark was killed, or printed into its
// line.
func (t *text) findLost() {
	for i, b := range t.results {
		if b.alone && !anyOf(t.results[i+1:], b.name) {
			t.failures = append(t.failures, Failure{File: t.name, Line: b.line, Kind: Incomplete,
				Text: b.name + " began and has no result"})
		}
	}
}

// minTwice is how many different lines of a benchmark have to stand in a file more than once, and
// no other, to be no accident: times have so many digits that two runs have hardly ever the same.
const minTwice = 3

// findTwice finds benchmarks whose lines stand in the file more than once, such as of a file that
// was written twice, or joined with itself: the same runs would count as more than there were. A
// noise floor is told by its sessions.
func (t *text) findTwice() {
	if t.isFloor {
		return
	}
	times := map[string]map[string]int{} // by benchmark and line
	first := map[string]begun{}
	for _, b := range t.results {
		if b.alone || b.skipped {
			continue
		}
		if times[b.name] == nil {
			times[b.name], first[b.name] = map[string]int{}, b
		}
		times[b.name][b.text]++
	}
	for _, b := range t.results {
		lines := times[b.name]
		once := slices.ContainsFunc(slices.Collect(maps.Values(lines)),
			func(n int) bool { return n == 1 })
		if b.line == first[b.name].line && len(lines) >= minTwice && !once {
			t.failures = append(t.failures, Failure{File: t.name, Line: b.line, Kind: Failed,
				Text: fmt.Sprintf("the lines of %s stand in it more than once: they are no more runs for that",
					b.name)})
		}
	}
}

// findCut finds a last line that is cut off; "" is one that has its end. A line that has all that
// the others of its benchmark have is whole: some editors leave the last line end out.
func (t *text) findCut(n int, last string) {
	cut := last != "" && strings.HasPrefix("Benchmark", last)
	if i := len(t.results) - 1; i >= 0 && t.results[i].line == n && !t.results[i].alone {
		own := t.results[i]
		cut = own.pairs == 0 || own.odd
		for _, b := range t.results[:i] {
			cut = cut || b.name == own.name && !b.alone && !b.skipped && b.units != own.units
		}
	}
	if cut {
		t.failures = append(t.failures, Failure{File: t.name, Line: n, Kind: Incomplete,
			Text: "the last line is cut off: " + table.OneLine(last)})
	}
}

// anyOf reports whether there is a line of a benchmark, or of a part of it, or that it was skipped.
func anyOf(lines []begun, name string) bool {
	name = withoutProcs(name)
	for _, b := range lines {
		own := withoutProcs(b.name)
		if !b.alone && (own == name || strings.HasPrefix(own, name+"/")) {
			return true
		}
	}
	return false
}

// withoutProcs is a benchmark's name without the number of processors at its end.
func withoutProcs(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || i == len(name)-1 || strings.Trim(name[i+1:], "0123456789") != "" {
		return name
	}
	return name[:i]
}

// syntax is an error of the benchmark reader with the line that it is of, and what such a line is.
func (t *text) syntax(e *benchfmt.SyntaxError) error {
	line := strings.Split(string(t.body), "\n")[e.Line-1]
	if !strings.HasPrefix(line, "Benchmark") {
		return e
	}
	return fmt.Errorf("%w: %q; want a name, a count, and values with their units, in numbers with a "+
		"decimal point and without separators, and nothing that the benchmark itself prints", e,
		table.Clip(table.OneLine(line), 80))
}

// notResults are what files without results are by the beginning of a line of theirs, or of what
// is left of it without what stands before; such files are often taken for a measurement.
var notResults = []struct{ begin, is string }{
	{"version https://git-lfs", "a pointer of Git LFS, in place of the file; git lfs pull fetches that"},
	{"<", "HTML or XML"},
	{"│", "a table of benchstat's; want the files that it was made from"},
	{"name old ", "a table of benchstat's; want the files that it was made from"},
}

// whyEmpty is why the text has no result, "" where that is not seen.
func (t *text) whyEmpty() string {
	for _, b := range t.results {
		if b.skipped {
			return b.name + " was skipped"
		}
	}
	for line := range strings.Lines(string(t.body)) {
		line = strings.Join(strings.Fields(line), " ")
		for _, n := range notResults {
			if strings.HasPrefix(line, n.begin) {
				return "it is " + n.is
			}
		}
	}
	return ""
}
