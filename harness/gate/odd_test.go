package gate_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"gotest.tools/v3/assert"

	"loadstone/harness/gate"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

// tide is what go test prints of a benchmark: eight runs, and what follows them.
func tide(ns float64, after string) string {
	s := "goos: linux\ngoarch: amd64\npkg: example.org/tide\ncpu: Imaginary CPU 9\n"
	for i := range 8 {
		s += fmt.Sprintf("BenchmarkTide-8 \t 500\t %.1f ns/op\n", ns+float64(i))
	}
	return s + after
}

func odd(t *testing.T, name string) gate.File {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	assert.NilError(t, err)
	return textFile(name, string(text))
}

// inUTF16 is a text as Windows' shell writes it.
func inUTF16(s string, order binary.AppendByteOrder, mark bool) string {
	if mark {
		s = "\uFEFF" + s
	}
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// However the same text is written, it is the same measurement, with all its runs.
func TestEncodings(t *testing.T) {
	plain := tide(2100, "PASS\nok  \texample.org/tide\t2.0s\n")
	for name, text := range map[string]string{
		"utf-8 mark":                            "\uFEFF" + plain,
		"joined with marks":                     "\uFEFF" + strings.Replace(plain, "cpu:", "\uFEFFcpu:", 1),
		"crlf":                                  strings.ReplaceAll(plain, "\n", "\r\n"),
		"cr":                                    strings.ReplaceAll(plain, "\n", "\r"),
		"utf-16 le":                             inUTF16(plain, binary.LittleEndian, true),
		"utf-16 be":                             inUTF16(strings.ReplaceAll(plain, "\n", "\r\n"), binary.BigEndian, true),
		"utf-16 without mark":                   inUTF16(plain, binary.LittleEndian, false),
		"utf-16 be, no mark":                    inUTF16(plain, binary.BigEndian, false),
		"without last newline":                  strings.TrimSuffix(plain, "\n"),
		"only benchmarks, without last newline": strings.TrimSuffix(tide(2100, ""), "\n"),
	} {
		c, err := gate.Compare(textFile("base", plain), textFile("head", text), gate.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.Decide(); err != nil || len(c.Cells) != 1 || c.Cells[0].NHead != 8 {
			t.Errorf("%s: %v, %d runs of %d cells", name, err, c.Cells[0].NHead, len(c.Cells))
		}
	}
	// A mark in front of the first benchmark hid it.
	c, err := gate.Compare(odd(t, "bom-without-keys.txt"), odd(t, "bom-without-keys.txt"), gate.Options{})
	assert.NilError(t, err)
	assert.Equal(t, c.Cells[0].NBase, 8)
	c, err = gate.Compare(textFile("base", tide(2097, "")), odd(t, "utf16.txt"), gate.Options{})
	assert.NilError(t, err)
	assert.NilError(t, c.Decide())
	assert.Equal(t, c.Cells[0].NHead, 8)

	for text, want := range map[string]string{
		"\xff\xfe\x00\x00g\x00\x00\x00": "f: it is text in UTF-32; want the benchmark format, in UTF-8",
		"\x1f\x8b\x08\x00":              "f: it is compressed",
		"\xff\xfeg\x00o":                "cut off within a character",
		plain + "\x00":                  "f: it is not text: byte",
		`{"Time":"2026-11-29T00:00:00Z","Action":"output"}` + "\n": "f: it is what go test -json prints",
	} {
		_, err := gate.Compare(textFile("base", plain), textFile("f", text), gate.Options{})
		var format *gate.FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text[:4], err, want)
		}
	}
}

// What go test says of a failure keeps the gate from passing: in the head as a failure of the head,
// in the base because there is nothing to hold a head to.
func TestFailedGoFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a failed benchmark", "", "go-fail.txt:13: --- FAIL: BenchmarkTide-8; and 3 more reasons"},
		{"a panic", "", "go-panic.txt:11: panic: index out of range [3] with length 3"},
		{"a package that is not built", "", "go-build-failed.txt:13: FAIL example.org/ebb [build failed]"},
		{"a failed part", "    --- FAIL: BenchmarkTide/ebb-8\n", "f:13: --- FAIL: BenchmarkTide/ebb-8"},
		{"on the benchmark's line", "BenchmarkEbb-8 \t--- FAIL: BenchmarkEbb-8\n", "f:13: --- FAIL: BenchmarkEbb-8"},
		{"a panic on its line", "BenchmarkEbb-8 \tpanic: boom\n", "f:13: panic: boom"},
		{"setup", "FAIL\texample.org/ebb [setup failed]\n", "[setup failed]"},
		{"a fatal error", "fatal error: all goroutines are asleep - deadlock!\n", "fatal error: all"},
		{"a status", "exit status 2\n", "exit status 2"},
		{"a signal", "signal: killed\n", "(incomplete): f:13: signal: killed"},
		{"a timeout", "*** Test killed with quit: ran too long (11m0s).\n", "ran too long"},
		{"FAIL alone", "FAIL\n", "f:13: FAIL"},
		{"a fault", "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x0]\n", "f:13: [signal SIGSEGV"},
		{"a quit", "SIGQUIT: quit\nPC=0x4\n", "(incomplete): f:13: SIGQUIT: quit"},
		{"itself once more", tide(2100, ""), "f:5: the lines of BenchmarkTide-8 stand in it more than once"},
		{"make", "make: *** [bench] Error 1\n", "make: ***"},
		{"make in make", "make[1]: *** [Makefile:3: bench] Error 1\n", "make[1]: ***"},
		{"what a shell says of a kill", "Killed\n", "(incomplete): f:13: Killed"},
		{"the same in a script", "./bench.sh: line 3: 4211 Killed                  go test -bench .\n", "4211 Killed"},
		{"a crash", "Segmentation fault (core dumped)\n", "(incomplete): f:13: Segmentation fault"},
		{"a conflict of a merge", "=======\nBenchmarkTide-8 500 2105 ns/op\n>>>>>>> main\n", "f:15: >>>>>>> main"},
		{"a name alone, at the end", "BenchmarkEbb-8\n", "BenchmarkEbb-8 began and has no result"},
		{"a name alone, cut off", "BenchmarkEbb-8", "BenchmarkEbb-8 began and has no result"},
		{"a name that is cut off", "Benchma", "the last line is cut off: Benchma"},
		{"a value that is cut off", "BenchmarkTide-8 \t 500\t 21", "the last line is cut off"},
		{"a count that is cut off", "BenchmarkTide-8 \t 5", "the last line is cut off"},
		{"a unit that is cut off", "BenchmarkTide-8 \t 500\t 2100.0 ns/o", "the last line is cut off"},
	} {
		file := func() gate.File { return textFile("f", tide(2100, c.text)) }
		if name, _, _ := strings.Cut(c.want, ":"); c.text == "" {
			file = func() gate.File { return odd(t, name) }
		}
		cmp, err := gate.Compare(textFile("base", tide(2100, "")), file(), gate.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var failed *gate.FailedError
		if err := cmp.Decide(); !errors.As(err, &failed) || !failed.ByHead() || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
		if _, err := gate.CheckLimits(file(), gate.Options{}, nil); !errors.As(err, &failed) {
			t.Errorf("%s, with limits: %v", c.name, err)
		}
		cmp, err = gate.Compare(file(), textFile("head", tide(2100, "")), gate.Options{})
		assert.NilError(t, err)
		if err := cmp.Decide(); !errors.As(err, &failed) || failed.ByHead() ||
			!strings.Contains(err.Error(), "base is not a whole and sound measurement") {
			t.Errorf("%s, as the base: %v", c.name, err)
		}
	}
}

// What go test prints beside results is no failure.
func TestSoundGoFiles(t *testing.T) {
	verbose := "BenchmarkTide\n" + tide(2100, "BenchmarkServe\nBenchmarkServe/a\nBenchmarkServe/a-8 1 5 ns/op\n"+
		"BenchmarkOther\n    x_test.go:3: no such device\n--- SKIP: BenchmarkOther\n"+
		"    tide_test.go:9: FAIL is a word\nLoad balancer is up\nSession begins\nexit status 0\n"+
		"Killed 3 workers\n>>> a prompt\nPASS\nok  \texample.org/tide\t2.0s\n")
	c, err := gate.Compare(textFile("base", verbose), textFile("head", verbose), gate.Options{Scenarios: []string{"Tide-8"}})
	assert.NilError(t, err)
	assert.NilError(t, c.Decide())
}

// A file without results says why it has none, where that can be seen.
func TestWithoutResults(t *testing.T) {
	for text, want := range map[string]string{
		"BenchmarkTide\n--- SKIP: BenchmarkTide\n    x_test.go:3: no such device\nPASS\n":                     "no benchmark result in it: BenchmarkTide was skipped",
		"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n":                              "it is a pointer of Git LFS, in place of the file; git lfs pull fetches that",
		"<!DOCTYPE html><html></html>\n":                                                                      "it is HTML or XML",
		"goos: linux\n        │   old.txt   │   new.txt   │\n        │   sec/op    │   sec/op    vs base │\n": "it is a table of benchstat's; want the files that it was made from",
		"name      old time/op    new time/op    delta\nTide-8    100ns ± 1%     140ns ± 2%  +40.00%\n":       "it is a table of benchstat's",
	} {
		_, err := gate.Compare(textFile("base", tide(2100, "")), textFile("f", text), gate.Options{})
		assert.ErrorContains(t, err, want)
	}
	// A package that was not built has failed, and is not merely empty.
	notBuilt := "# example.org/tide\n./tide_test.go:5:2: undefined: foo\nFAIL\texample.org/tide [build failed]\nFAIL\n"
	_, err := gate.Compare(textFile("base", tide(2100, "")), textFile("f", notBuilt), gate.Options{})
	failed, ok := errors.AsType[*gate.FailedError](err)
	assert.Assert(t, ok && failed.ByHead(), "%v", err)
	assert.ErrorContains(t, err, "f:3: FAIL example.org/tide [build failed]; and 1 more reason")
	_, err = gate.Compare(textFile("f", notBuilt), textFile("head", tide(2100, "")), gate.Options{})
	assert.ErrorContains(t, err, "base is not a whole and sound measurement")
}

// Where the load generator explains both sides, nothing is decided, however few the runs are.
func TestFewRunsOfTheDisturbed(t *testing.T) {
	lines := strings.SplitAfter(tide(2100, ""), "\n")
	few := "client: invalid\n" + strings.Join(lines[:6], "")
	c, err := gate.Compare(textFile("base", few), textFile("head", few), gate.Options{})
	assert.NilError(t, err)
	err = c.Decide()
	failed, ok := errors.AsType[*gate.FailedError](err)
	assert.Assert(t, ok && failed.ByClient(), "%v", err)
	assert.Assert(t, !failed.ByHead())
}

// A number that cannot be one of its unit is refused with its line.
func TestImpossibleValues(t *testing.T) {
	for line, want := range map[string]string{
		"BenchmarkTide-8 500 -2100 ns/op\n":          "f:13: -2100 ns/op is less than nothing",
		"BenchmarkTide-8 500 -1 p50-ttft-ns\n":       "-1 p50-ttft-ns is less than nothing",
		"BenchmarkTide-8 500 -0.5 hit-ratio\n":       "less than nothing",
		"BenchmarkTide-8 500 -Inf own\n":             "less than nothing",
		"BenchmarkTide-8 500 5 ns/op -3 allocs/op\n": "-3 allocs/op",
		"BenchmarkTide-8 -5 2100 ns/op\n":            "-5 iterations",
		"BenchmarkTide-8 500 NaN ns/op\n":            "ns/op is not a number",
		"BenchmarkTide-8 500 21 ns/op 20 ns/op\n":    "f:13: two values of ns/op in one line",
		"BenchmarkTide-8 500 2100,5 ns/op\n":         `f:13: parsing measurement: invalid syntax: "BenchmarkTide-8 500 2100,5 ns/op"; want a name`,
		"BenchmarkTide-8 1,000 21 ns/op\n":           "with a decimal point and without separators",
		"BenchmarkTide-8 the tide is in\n":           "nothing that the benchmark itself prints",
	} {
		_, err := gate.Compare(textFile("base", tide(2100, "")), textFile("f", tide(2100, line)), gate.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", line, err, want)
		}
	}
	own := tide(2100, "BenchmarkTide-8 500 -3 balance\n")
	_, err := gate.Compare(textFile("base", own), textFile("head", own), gate.Options{})
	assert.NilError(t, err)
}

// A key that there is not is no key to ignore.
func TestIgnore(t *testing.T) {
	for _, key := range []string{"CPU", "nosuch", ".fullname", "/agents"} {
		_, err := gate.Compare(textFile("base", tide(2100, "")), textFile("head", tide(2100, "")), gate.Options{Ignore: []string{key}})
		var option *gate.OptionError
		if !errors.As(err, &option) || !strings.Contains(err.Error(), "there are cpu, goarch, goos, pkg") {
			t.Errorf("%s: %v", key, err)
		}
	}
	other := strings.Replace(tide(2100, ""), "CPU 9", "CPU 10", 1)
	c, err := gate.Compare(textFile("base", tide(2100, "")), textFile("head", other), gate.Options{Ignore: []string{"cpu", "commit"}})
	assert.NilError(t, err)
	assert.NilError(t, c.Decide())
}

// The memory that a kernel leaves is not the machine's.
func TestMemoryIsTolerated(t *testing.T) {
	file := func(mem string) gate.File { return textFile(mem, "mem: "+mem+"\n"+tide(2100, "")) }
	for _, c := range []struct {
		a, b  string
		alike bool
	}{{"16.0 GiB", "15.9 GiB", true}, {"16.0 GiB", "15.3 GiB", true}, {"512.0 MiB", "500.0 MiB", true},
		{"16.0 GiB", "8.0 GiB", false}, {"23.5 GiB", "16.0 GiB", false}, {"16 apples", "15.9 GiB", false}} {
		cmp, err := gate.Compare(file(c.a), file(c.b), gate.Options{})
		assert.NilError(t, err)
		if alike := cmp.Decide() == nil; alike != c.alike {
			t.Errorf("%s and %s: %v", c.a, c.b, cmp.Decide())
		}
	}
}

// A unit that a file calls exact is judged by the means that are shown, and that it is not exact in
// the base is said.
func TestExactIsJudgedAsShown(t *testing.T) {
	file := func(values ...int) gate.File {
		text := "Unit blocks better=lower assume=exact\n"
		for _, v := range values {
			text += fmt.Sprintf("BenchmarkTide-8 1 %d blocks\n", v)
		}
		return textFile("f", text)
	}
	c, err := gate.Compare(file(40, 41, 41, 41, 41, 41), file(41, 41, 41, 41, 41, 41), gate.Options{})
	assert.NilError(t, err)
	row := c.Cells[0].Row()
	assert.Equal(t, row.Base+" "+row.Head+" "+row.Change, "40.8 41.0 +0.4 %")
	assert.Equal(t, row.Verdict, "worse: any increase is one too many")
	assert.DeepEqual(t, c.Notes[0], "blocks of Tide-8 is assume=exact, but base has 40.0 to 41.0: means are shown and judged")
}

// Another number of processors is said where nothing pairs.
func TestMissingSaysProcessors(t *testing.T) {
	c, err := gate.Compare(textFile("base", tide(2100, "")),
		textFile("head", strings.ReplaceAll(tide(2100, ""), "Tide-8", "Tide-16")), gate.Options{})
	assert.NilError(t, err)
	assert.Equal(t, c.Cells[0].Why, "base has it, head has not, but has Tide-16: another number of processors")
}

// loaded is a bench.txt of a load, at levels or as it is.
func loaded(t *testing.T, l load.Load, change func(*report.Report), levels ...load.Level) string {
	t.Helper()
	if levels == nil {
		levels = []load.Level{{}}
	}
	var runs []record.Run
	l = l.Filled()
	for i := range 6 {
		for _, level := range levels {
			run := record.Run{Scenario: l.Name, Index: i, Level: level, Cache: l.Cache, PeakPool: -1, Elapsed: time.Second}
			for rep := range 10 {
				r := record.Record{Place: record.Place{Scenario: l.Name, Run: i, Level: level}, Outcome: record.OK, Status: 200,
					Due: time.Duration(rep), Sent: time.Duration(rep), FirstContent: time.Duration(40+i) * time.Millisecond,
					End: time.Duration(60+i) * time.Millisecond, PromptTokens: 9, OutputTokens: 2, Server: record.Untimed}
				r.Chunks = []time.Duration{r.FirstContent, r.FirstContent + time.Millisecond}
				run.Records = append(run.Records, r)
			}
			runs = append(runs, run)
		}
	}
	r := report.New(report.Meta{System: report.System{Model: "tiny"}, Workload: report.NewWorkload(&l, nil)}, []load.Load{l}, runs)
	if change != nil {
		change(r)
	}
	var b strings.Builder
	assert.NilError(t, r.WriteBench(&b))
	return b.String()
}

// Loads that ask for different things do not compare; the key says in what.
func TestUnlikeLoads(t *testing.T) {
	base := load.Load{Name: "same", Concurrency: 1, Requests: 8, Prompt: load.Fixed(20), Answer: load.Fixed(6),
		Goodput: load.Objective{TTFT: time.Second}}
	for _, c := range []struct {
		want   string
		key    string
		change func(*load.Load)
	}{
		{"requests is 8 in base and 150 in head", "requests", func(l *load.Load) { l.Requests = 150 }},
		{`system is not given in base and "1 of 900 tokens" in head`, "system", func(l *load.Load) { l.System, l.SystemTokens = 1, 900 }},
		{"turns is 1 in base and 4 in head", "turns", func(l *load.Load) { l.Turns = load.Fixed(4) }},
		{`goodput is "ttft < 1s" in base and "ttft < 4ms" in head`, "goodput", func(l *load.Load) { l.Goodput.TTFT = 4 * time.Millisecond }},
		{"cancel is not given in base", "cancel", func(l *load.Load) { l.Cancel = load.Cancel{Share: 0.5, Pieces: load.Fixed(1)} }},
		{`prompt is 20 in base and "uniform 20 35" in head`, "prompt", func(l *load.Load) { l.Prompt = load.Amount{Kind: "uniform", A: 20, B: 35} }},
		{"prompt is 20 in base and 5 in head", "", func(l *load.Load) { l.Prompt = load.Amount{Kind: "uniform", A: 5, B: 35} }},
		{"agents is 1 in base and 4 in head", "", func(l *load.Load) { l.Concurrency = 4 }},
		{"timeout is not given in base and 1s in head", "timeout", func(l *load.Load) { l.Timeout = time.Second }},
	} {
		other := base
		c.change(&other)
		files := func() (gate.File, gate.File) {
			return textFile("base", loaded(t, base, nil)), textFile("head", loaded(t, other, nil))
		}
		a, b := files()
		cmp, err := gate.Compare(a, b, gate.Options{})
		assert.NilError(t, err)
		var invalid *gate.Invalid
		if err := cmp.Decide(); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "unlike measurements: "+c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
		if err := cmp.UnlikeLoads(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
		if c.key == "" {
			continue
		}
		a, b = files()
		cmp, err = gate.Compare(a, b, gate.Options{Ignore: []string{c.key}})
		assert.NilError(t, err)
		if len(cmp.Unlike) > 0 {
			t.Errorf("%s, ignored: %v", c.key, cmp.Unlike)
		}
	}
	// Other seeds are the same load, and so is one of another name for people.
	other := base
	other.Seeds, other.About = load.OneSeed(99), "another sentence"
	cmp, err := gate.Compare(textFile("base", loaded(t, base, nil)), textFile("head", loaded(t, other, nil)), gate.Options{})
	assert.NilError(t, err)
	assert.NilError(t, cmp.Decide())
	assert.Equal(t, len(cmp.Notes), 0, "%v", cmp.Notes)

	// A file that does not say compares by what it says, with a note.
	silent := ""
	for line := range strings.Lines(loaded(t, base, nil)) {
		if !strings.HasPrefix(line, "Load ") {
			silent += line
		}
	}
	cmp, err = gate.Compare(textFile("base", silent), textFile("head", loaded(t, base, nil)), gate.Options{})
	assert.NilError(t, err)
	assert.NilError(t, cmp.Decide())
	assert.Equal(t, len(cmp.Notes), 1, "%v", cmp.Notes)
	// One file of two loads of one name is neither.
	other.Requests = 9
	_, err = gate.CheckLimits(textFile("head", loaded(t, base, nil)+loaded(t, other, nil)), gate.Options{}, nil)
	assert.ErrorContains(t, err, "head mixes runs with requests: 8, 9")
}

// A row of a sweep says which level it is of, and which agents where a scenario has several.
func TestLevelsAreShown(t *testing.T) {
	l := load.Load{Name: "steps", Concurrency: 1, Requests: 8}
	var levels []load.Level
	for _, n := range []float64{1, 2, 4} {
		levels = append(levels, load.Level{Kind: "concurrency", Value: n})
	}
	text := loaded(t, l, nil, levels...)
	c, err := gate.Compare(textFile("base", text), textFile("head", text), gate.Options{Units: []string{"p50-ttft"}})
	assert.NilError(t, err)
	var rows []string
	for _, cell := range c.Cells {
		rows = append(rows, cell.Scenario)
	}
	assert.DeepEqual(t, rows, []string{"steps concurrency=1", "steps concurrency=2", "steps concurrency=4"})
	for pattern, want := range map[string]int{"steps": 3, "steps concurrency=4": 1, "* concurrency=[12]": 2} {
		c, err := gate.Compare(textFile("base", text), textFile("head", text),
			gate.Options{Units: []string{"p50-ttft"}, Scenarios: []string{pattern}})
		assert.NilError(t, err)
		assert.Equal(t, len(c.Cells), want)
	}
	limits, err := gate.ParseLimits("p50-ttft<1ms")
	assert.NilError(t, err)
	held, err := gate.CheckLimits(textFile("head", text), gate.Options{}, limits)
	assert.NilError(t, err)
	assert.Equal(t, held[1].Scenario, "steps concurrency=2")

	ebb := ""
	for _, agents := range []int{1, 2} {
		for i := range 6 {
			ebb += fmt.Sprintf("BenchmarkServe/scenario=ebb/agents=%d/prompt=8 1 %d p50-ttft-ns\n", agents, 5000000+i)
		}
	}
	c, err = gate.Compare(textFile("base", "Unit p50-ttft-ns better=lower\n"+ebb), textFile("head", ebb), gate.Options{})
	assert.NilError(t, err)
	assert.Equal(t, c.Cells[0].Scenario+", "+c.Cells[1].Scenario, "ebb agents=1, ebb agents=2")
}

// A bench.txt says what failed in it, and then it is no measurement, whatever it is compared with:
// not even with itself.
func TestFailedMeasurements(t *testing.T) {
	l := load.Load{Name: "x", Concurrency: 1, Requests: 10}
	for _, c := range []struct {
		want   string
		byHead bool
		change func(*report.Report)
	}{
		{"violations: 2, the first: leak: agent 1, turn 0: another's secret", true, func(r *report.Report) {
			r.Violations = []string{"leak: agent 1, turn 0: another's secret", "leak"}
		}},
		{"(incomplete): head:3: incomplete: interrupted", true, func(r *report.Report) { r.Stopped = "interrupted" }},
		{"(invalid)", false, func(r *report.Report) { r.Generator.Busy = 0.99 }},
	} {
		good, bad := loaded(t, l, nil), loaded(t, l, c.change)
		for _, pair := range [][2]string{{good, bad}, {bad, bad}, {bad, good}} {
			cmp, err := gate.Compare(textFile("base", pair[0]), textFile("head", pair[1]), gate.Options{Ignore: []string{"client"}})
			if err != nil { // no file has the key
				cmp, err = gate.Compare(textFile("base", pair[0]), textFile("head", pair[1]), gate.Options{})
			}
			assert.NilError(t, err)
			var failed *gate.FailedError
			err = cmp.Decide()
			if !errors.As(err, &failed) || failed.ByHead() != (c.byHead && pair[0] == good) {
				t.Errorf("%s: %v", c.want, err)
			}
			if pair[0] == good && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		}
	}
	// A comment is how it was said once.
	old := strings.Replace(loaded(t, l, nil), "# seed", "# incomplete: interrupted\n# seed", 1)
	cmp, err := gate.Compare(textFile("base", loaded(t, l, nil)), textFile("head", old), gate.Options{})
	assert.NilError(t, err)
	assert.ErrorContains(t, cmp.Decide(), "incomplete: interrupted")
}

// A server that answers nothing is no measurement of how it answers; one that begins to answer got
// better.
func TestNothingAnswered(t *testing.T) {
	line := func(answers bool) string {
		text := "Unit p50-ttft-ns better=lower\nUnit tok/s better=higher\nUnit error-ratio better=lower\nUnit reject-ratio better=lower\n"
		for i := range 6 {
			if answers {
				text += fmt.Sprintf("BenchmarkServe/scenario=x 1 %d p50-ttft-ns 20 tok/s 0 error-ratio 0 reject-ratio\n", 5000000+i)
			} else {
				text += "BenchmarkServe/scenario=x 1 +Inf p50-ttft-ns 0.75 error-ratio 0.25 reject-ratio\n"
			}
		}
		return text
	}
	for _, c := range []struct {
		base, head bool
		want       string
	}{
		{false, true, ""},
		{true, false, "not one request of x was answered"},
		{false, false, "not one request of x was answered"},
	} {
		cmp, err := gate.Compare(textFile("base", line(c.base)), textFile("head", line(c.head)), gate.Options{})
		assert.NilError(t, err)
		err = cmp.Decide()
		if c.want == "" {
			assert.NilError(t, err)
			continue
		}
		var failed *gate.FailedError
		assert.ErrorContains(t, err, c.want)
		assert.Assert(t, errors.As(err, &failed) && failed.ByHead())
	}
}

// Sessions that were not measured in turns are told from each other by a floor of several, or not
// at all.
func TestSetApart(t *testing.T) {
	file := func(session string, ms float64) gate.File {
		text := "Unit p50-ttft-ns better=lower\n"
		if session != "" {
			text += fmt.Sprintf("Session id=%q start=\"2026-11-29T07:00:00Z\"\n", session)
		}
		for i := range 10 {
			text += fmt.Sprintf("BenchmarkServe/scenario=x 1 %.0f p50-ttft-ns\n", 1e6*ms*(1+0.001*float64(i)))
		}
		return textFile(session, text)
	}
	floor := func(speeds ...float64) gate.File {
		var f gate.File
		for i, ms := range speeds {
			var b strings.Builder
			a, head := file("", ms), file("", ms*1.002)
			sessions, err := gate.WriteNoise(&b, f, a, head)
			assert.NilError(t, err)
			assert.Equal(t, sessions.N, i+1)
			f = textFile("floor", b.String())
		}
		return f
	}
	for _, c := range []struct {
		name       string
		base, head gate.File
		noise      gate.File
		want       string
	}{
		{"in turns", file("a", 100), file("a", 110), gate.File{}, "of 1 cells 1 worse"},
		{"apart", file("a", 100), file("b", 110), gate.File{}, "not interleaved"},
		{"a baseline of before", file("", 100), file("b", 110), gate.File{}, "not interleaved"},
		{"much worse", file("a", 100), file("b", 145), gate.File{}, "of 1 cells 1 worse"},
		{"better", file("a", 110), file("b", 100), gate.File{}, ""},
		{"the same", file("a", 100), file("b", 100.1), gate.File{}, ""},
		{"neither says", file("", 100), file("", 110), gate.File{}, "of 1 cells 1 worse"},
		{"a floor of one", file("a", 100), file("b", 110), floor(100), "not interleaved"},
		{"a floor of quiet sessions", file("a", 100), file("b", 110), floor(100, 101, 100, 101), "of 1 cells 1 worse"},
		{"a floor of sessions that differ", file("a", 100), file("b", 110), floor(100, 108, 92, 103), ""},
		{"that floor, in turns", file("a", 100), file("a", 110), floor(100, 108, 92, 103), "of 1 cells 1 worse"},
	} {
		cmp, err := gate.Compare(c.base, c.head, gate.Options{Noise: c.noise})
		assert.NilError(t, err, c.name)
		err = cmp.Decide()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q; %+v", c.name, err, c.want, cmp.Cells[0])
		}
	}
}

// A noise floor keeps its sessions: how many, and how far apart; what is none is not added.
func TestNoiseSessions(t *testing.T) {
	file := func(start, more string) gate.File {
		return textFile(start, "Session id=\""+start+"\" start=\""+start+"\"\n"+more+tide(2100, ""))
	}
	var first, second strings.Builder
	_, err := gate.WriteNoise(&first, gate.File{}, file("2026-11-20T08:00:00Z", ""), file("2026-11-20T08:00:00Z", ""))
	assert.NilError(t, err)
	add := func(start, more string) (gate.Sessions, error) {
		second.Reset()
		return gate.WriteNoise(&second, textFile("floor", first.String()), file(start, more), file(start, more))
	}
	all, err := add("2026-11-22T08:00:00Z", "")
	assert.NilError(t, err)
	assert.Equal(t, all.String(), "2 sessions over 2 days")
	c, err := gate.Compare(textFile("base", tide(2100, "")), textFile("head", tide(2100, "")), gate.Options{Noise: textFile("floor", second.String())})
	assert.NilError(t, err)
	assert.Equal(t, c.Floor, all)
	if !strings.Contains(c.Summary(), "noise floor floor of 2 sessions over 2 days") {
		t.Error(c.Summary())
	}
	// A floor need not count the same answers as good, but must be of the same load.
	asked := func(more string) string {
		return "Load Tide-8 hash=\"1\" requests=\"8\"" + more + "\n" + tide(2100, "")
	}
	for more, alike := range map[string]bool{"": true, ` goodput="ttft < 1s"`: true, ` turns="4"`: false} {
		c, err := gate.Compare(textFile("base", asked(more)), textFile("head", asked(more)),
			gate.Options{Noise: textFile("floor", "side: base\n"+asked("")+"side: head\n"+asked(""))})
		assert.NilError(t, err)
		assert.Equal(t, len(c.Unlike) == 0, alike, "%v", c.Unlike)
	}
	_, err = add("2026-11-20T08:00:00Z", "")
	assert.ErrorContains(t, err, "is in it already")
	_, err = add("2026-11-23T08:00:00Z", "mem: 5.0 GiB\n")
	assert.ErrorContains(t, err, `mem is "5.0 GiB" in base and not given in the noise floor`)
	_, err = add("2026-11-23T08:00:00Z", "violations: 2\n")
	assert.ErrorContains(t, err, "violations: 2")
}
