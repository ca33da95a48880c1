package grammar

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// suiteFolder names the environment variable with the folder of a draft of the official
// JSON-Schema-Test-Suite (github.com/json-schema-org/JSON-Schema-Test-Suite), such as
// tests/draft2020-12.
const suiteFolder = "LOADSTONE_JSON_SCHEMA_SUITE"

// suiteTable is what TestSuite finds in draft 2020-12 of the suite's commit 44401e0.
const suiteTable = "testdata/json-schema-test-suite.txt"

// A suiteCount is a row of the table.
type suiteCount struct {
	held, refused, empty int // schemas
	written, unwritten   int // valid values of the schemas that are held
	kept                 int // invalid values that the grammar does not admit
	wrong                int // invalid values that it admits
}

func (a *suiteCount) add(b suiteCount) {
	a.held, a.refused, a.empty = a.held+b.held, a.refused+b.refused, a.empty+b.empty
	a.written, a.unwritten = a.written+b.written, a.unwritten+b.unwritten
	a.kept, a.wrong = a.kept+b.kept, a.wrong+b.wrong
}

// TestSuite compiles the schemas of the official test suite, strictly, and checks that no grammar
// admits a value that the suite calls invalid, in any order of properties. The table of what is
// held, what is refused and which valid values can be written is compared with testdata; -update
// writes it anew. Run it so:
//
//	git clone https://github.com/json-schema-org/JSON-Schema-Test-Suite
//	LOADSTONE_JSON_SCHEMA_SUITE=$PWD/JSON-Schema-Test-Suite/tests/draft2020-12 \
//		go test ./engine/grammar -run TestSuite
//
// Values that are valid and unwritten have properties that the schema does not name beside some
// that it does, escapes and exponents that grammars do not write, or strings that formats of this
// package leave out, such as "format" without its meaning.
func TestSuite(t *testing.T) {
	folder := os.Getenv(suiteFolder)
	if folder == "" {
		t.Skipf("%s names no folder of the test suite", suiteFolder)
	}
	var files []string
	for _, pattern := range []string{"*.json", "optional/*.json", "optional/format/*.json"} {
		list, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) == 0 {
		t.Fatalf("no files in %s", folder)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-44s %5s %7s %5s %7s %9s %5s %5s  %s\n", "file", "held", "refused", "empty",
		"written", "unwritten", "kept", "wrong", "refused because of")
	row := func(name string, n suiteCount, why []string) {
		line := fmt.Sprintf("%-44s %5d %7d %5d %7d %9d %5d %5d  %s", name, n.held, n.refused, n.empty,
			n.written, n.unwritten, n.kept, n.wrong, strings.Join(why, ", "))
		fmt.Fprintln(&table, strings.TrimSpace(line))
	}
	var all suiteCount
	for _, file := range files {
		name, _ := filepath.Rel(folder, file)
		n, why := suiteFile(t, file)
		row(filepath.ToSlash(name), n, why)
		all.add(n)
	}
	row("all", all, nil)
	if *update {
		if err := os.WriteFile(suiteTable, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(suiteTable)
	if err != nil || string(want) != table.String() {
		t.Errorf("%s is another (%v); write it anew with -update:\n%s", suiteTable, err, &table)
	}
}

// suiteFile counts what is in one file of the suite; why names the keywords that are refused.
func suiteFile(t *testing.T, file string) (n suiteCount, why []string) {
	var groups []struct {
		Description string
		Schema      json.RawMessage
		Tests       []struct {
			Description string
			Data        json.RawMessage
			Valid       bool
		}
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &groups)
	}
	if err != nil {
		t.Fatal(file, err)
	}
	keywords := make(map[string]bool)
	for _, group := range groups {
		g, err := Schema(group.Schema)
		if e, ok := err.(*SchemaError); ok {
			if strings.Contains(e.Reason, "nothing satisfies it") || e.Keyword == "required" {
				n.empty++ // and no answer could be
				for _, test := range group.Tests {
					n.unwritten += btoi(test.Valid)
				}
				continue
			}
			n.refused++
			keywords[e.Keyword] = true
			if testing.Verbose() {
				t.Logf("%s: %s: %v", filepath.Base(file), group.Description, e)
			}
			continue
		}
		n.held++
		for _, test := range group.Tests {
			admitted := slices.ContainsFunc(spellings(parse(test.Data).root), func(s string) bool {
				return accepts(g, s)
			})
			switch {
			case admitted && test.Valid:
				n.written++
			case test.Valid:
				n.unwritten++
				if testing.Verbose() {
					t.Logf("%s: %s: %s cannot be written", filepath.Base(file), group.Description,
						test.Data)
				}
			case admitted:
				n.wrong++
				t.Errorf("%s: %s: %s: %s is admitted under %s", filepath.Base(file),
					group.Description, test.Description, test.Data, group.Schema)
			default:
				n.kept++
			}
		}
	}
	for k := range keywords {
		why = append(why, k)
	}
	slices.Sort(why)
	return n, why
}

// spellings returns the ways to write a value down that differ in the order of properties, or the
// first of them.
func spellings(n *node) []string {
	const limit = 500
	parts := make([][]string, len(n.values))
	for i, v := range n.values {
		parts[i] = spellings(v)
		if n.kind == '{' {
			for j := range parts[i] {
				parts[i][j] = quote(n.keys[i]) + ":" + parts[i][j]
			}
		}
	}
	var list []string
	var extend func(text string, left []int)
	extend = func(text string, left []int) {
		if len(left) == 0 && len(list) < limit {
			list = append(list, string(n.kind)+text+string(n.kind+2))
		}
		for at, i := range left {
			if n.kind == '[' && at > 0 || len(list) >= limit {
				break
			}
			rest := slices.Delete(slices.Clone(left), at, at+1)
			for _, part := range parts[i] {
				comma := ","
				if text == "" {
					comma = ""
				}
				extend(text+comma+part, rest)
			}
		}
	}
	switch n.kind {
	case '[', '{':
		left := make([]int, len(parts))
		for i := range left {
			left[i] = i
		}
		extend("", left)
		return list
	}
	return []string{string(n.write(nil))}
}
