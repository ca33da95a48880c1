package verdict_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/verdict"
)

// red is a verdict that fails, in words that mean something in each of the forms.
func red() *verdict.Verdict {
	return &verdict.Verdict{Name: "gate", Outcome: verdict.Failed, Why: "of 3 cells 1 worse",
		Time: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC), Took: 90 * time.Second,
		Sections: []verdict.Section{{Title: "head against base",
			Columns: []string{"scenario", "unit", "base", "head", "verdict"},
			Cases: []verdict.Case{
				{Group: "chat|<b>", Name: "p50-ttft", Cells: []string{"40 ms", "48 ms"},
					State: verdict.Bad, Text: "worse: 20 %, said @alice\n::error::x"},
				{Group: "chat", Name: "tok/s", Cells: []string{"9", "8"}, State: verdict.Accepted,
					Text: "accepted: *fair* #12"},
				{Group: "chat", Name: "error-ratio", Cells: []string{"0", "0"}, State: verdict.Good},
			}}},
		Summary: "3 cells", Notes: []string{"a note with `code`"},
		Advice: []verdict.Snippet{{About: "Add:", Lines: []string{"line ``` one", "two"}}}}
}

func write(t *testing.T, form func(io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	assert.NilError(t, form(&b))
	return b.String()
}

// What is text stays text: no table breaks, no tag opens and nobody is mentioned.
func TestMarkdown(t *testing.T) {
	got := write(t, red().WriteMarkdown)
	for _, want := range []string{
		"### ❌ gate: of 3 cells 1 worse\n",
		"| scenario | unit | base | head | verdict |\n|---|---|---:|---:|---|\n",
		`| chat\|&lt;b&gt; | p50-ttft | 40 ms | 48 ms | **worse: 20 %, said &#64;alice ::error::x** |` + "\n",
		`| chat | tok/s | 9 | 8 | accepted: \*fair\* &#35;12 |` + "\n",
		"- a note with \\`code\\`\n", "````text\nline ``` one\ntwo\n````\n",
		"<details><summary>head against base: all 3 rows</summary>\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	first, _, _ := strings.Cut(write(t, func(w io.Writer) error { return red().WriteComment(w, "a-->b") }), "\n")
	assert.Equal(t, first, "<!-- loadstone: a___b -->")
	quiet := &verdict.Verdict{Name: "check", Outcome: verdict.Passed}
	assert.Equal(t, write(t, quiet.WriteMarkdown), "### ✅ check: pass\n")
	advisory := red()
	advisory.Advisory = true
	assert.Assert(t, strings.HasPrefix(write(t, advisory.WriteMarkdown),
		"### ⚠️ gate: of 3 cells 1 worse (advisory: nothing fails for it)\n"))
}

// A comment is never longer than GitHub takes, and says what it leaves out.
func TestMarkdownIsBounded(t *testing.T) {
	for _, n := range []int{300, 1000, 20_000} {
		v := red()
		for range n {
			v.Sections[0].Cases = append(v.Sections[0].Cases, v.Sections[0].Cases[0])
			v.Advice[0].Lines = append(v.Advice[0].Lines, "another line")
		}
		got := write(t, v.WriteMarkdown)
		if len(got) > 65536 {
			t.Errorf("%d rows: %d bytes", n, len(got))
		}
		if n > 1000 && !strings.Contains(got, "rows more") {
			t.Errorf("%d rows: nothing says that rows are left out", n)
		}
	}
}

// Annotations are one line each, at most ten of a kind, and errors only where something fails.
func TestAnnotations(t *testing.T) {
	want := "::error title=gate%3A p50-ttft of chat|<b>::worse: 20 %25, said @alice%0A::error::x (base 40 ms, head 48 ms)\n" +
		"::notice title=gate%3A tok/s of chat::accepted: *fair* #12 (base 9, head 8)\n"
	assert.Equal(t, write(t, red().WriteAnnotations), want)
	v := red()
	v.Advisory = true
	assert.Equal(t, write(t, v.WriteAnnotations), strings.Replace(want, "::error title", "::warning title", 1))
	v = red()
	for range 30 {
		v.Sections[0].Cases = append(v.Sections[0].Cases, v.Sections[0].Cases[0])
	}
	got := write(t, v.WriteAnnotations)
	assert.Equal(t, strings.Count(got, "\n::error ")+1, 10)
	assert.Assert(t, strings.Contains(got, "::error title=gate::and 22 more\n"), got)
	none := &verdict.Verdict{Name: "gate", Outcome: verdict.Undecided, Why: "unlike: a, b"}
	assert.Equal(t, write(t, none.WriteAnnotations), "::warning title=gate::unlike: a, b\n")
	none.Outcome = verdict.Passed
	assert.Equal(t, write(t, none.WriteAnnotations), "")
}

// junitRules are those of Jenkins' junit-10.xsd: of each element its children, and its attributes,
// the required ones with a *.
var junitRules = map[string]struct{ children, attributes []string }{
	"testsuites": {[]string{"testsuite"}, []string{"name", "time", "tests", "failures", "errors"}},
	"testsuite": {[]string{"testsuite", "properties", "testcase", "system-out", "system-err"},
		[]string{"name*", "tests*", "failures*", "errors*", "group", "time", "skipped", "timestamp",
			"hostname", "id", "package", "file", "log", "url", "version"}},
	"testcase": {[]string{"skipped", "error", "failure", "system-out", "system-err"},
		[]string{"name*", "time", "classname", "group"}},
	"failure": {nil, []string{"type", "message"}}, "error": {nil, []string{"type", "message"}},
	"skipped": {nil, []string{"type", "message"}}, "system-out": {}, "system-err": {},
}

// checkJUnit holds XML to the rules, and the counts of suites to their tests.
func checkJUnit(text string) (failures int, err error) {
	in := xml.NewDecoder(strings.NewReader(text))
	var open []string
	counts := map[string]int{}
	tests := 0
	for {
		token, err := in.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			rule, ok := junitRules[name]
			if !ok {
				return 0, fmt.Errorf("element %s", name)
			}
			if len(open) > 0 && !slices.Contains(junitRules[open[len(open)-1]].children, name) {
				return 0, fmt.Errorf("%s in %s", name, open[len(open)-1])
			}
			has := map[string]string{}
			for _, a := range e.Attr {
				has[a.Name.Local] = a.Value
				if !slices.Contains(rule.attributes, a.Name.Local) && !slices.Contains(rule.attributes, a.Name.Local+"*") {
					return 0, fmt.Errorf("%s has %s", name, a.Name.Local)
				}
			}
			for _, a := range rule.attributes {
				if must, ok := strings.CutSuffix(a, "*"); ok && has[must] == "" {
					return 0, fmt.Errorf("%s lacks %s", name, must)
				}
			}
			if name == "testsuites" {
				fmt.Sscan(has["tests"], &tests)
				fmt.Sscan(has["failures"], &failures)
			}
			counts[name]++
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	switch {
	case tests != counts["testcase"]:
		return 0, fmt.Errorf("it has %d tests and says %d", counts["testcase"], tests)
	case failures != counts["failure"]:
		return 0, errors.New("it has other failures than it says")
	}
	return failures, nil
}

// JUnit's XML keeps to the schema, whatever is in the text, and fails where the verdict does.
func TestJUnit(t *testing.T) {
	for _, c := range []struct {
		change   func(*verdict.Verdict)
		failures int
		want     string
	}{
		{func(*verdict.Verdict) {}, 2, `<testcase classname="loadstone.gate.chat|&lt;b&gt;" name="p50-ttft"`},
		{func(v *verdict.Verdict) { v.Advisory = true }, 0, `<skipped message="advisory: of 3 cells 1 worse"`},
		{func(v *verdict.Verdict) { v.Outcome = verdict.Undecided; v.Sections = nil }, 0,
			`<error message="of 3 cells 1 worse" type="undecided">`},
		{func(v *verdict.Verdict) { v.Why = "a\x00\x1b[31m\xff" }, 2, "\uFFFD"},
		{func(v *verdict.Verdict) { *v = verdict.Verdict{Name: "check", Outcome: verdict.Passed} }, 0,
			`<system-out>check: pass</system-out>`},
	} {
		v := red()
		c.change(v)
		got := write(t, v.WriteJUnit)
		failures, err := checkJUnit(got)
		if err != nil || failures != c.failures || !strings.Contains(got, c.want) {
			t.Errorf("%v, %d failures, want %d and %q:\n%s", err, failures, c.failures, c.want, got)
		}
	}
	if _, err := checkJUnit(`<testsuites tests="1" failures="0"><testsuite tests="1"/></testsuites>`); err == nil {
		t.Error("the check lets a suite without a name through")
	}
}

func ExampleVerdict_WriteAnnotations() {
	v := verdict.Verdict{Name: "gate", Outcome: verdict.Failed, Why: "of 1 cell 1 worse",
		Sections: []verdict.Section{{Title: "head against base",
			Columns: []string{"scenario", "unit", "base", "head", "verdict"},
			Cases: []verdict.Case{{Group: "chat", Name: "p50-ttft", Cells: []string{"40 ms", "48 ms"},
				State: verdict.Bad, Text: "worse: more than 5 %"}}}}}
	v.WriteAnnotations(os.Stdout)
	// Output:
	// ::error title=gate%3A p50-ttft of chat::worse: more than 5 %25 (base 40 ms, head 48 ms)
}
