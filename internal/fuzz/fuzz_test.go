package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRun has targets of a module run: what passes, what fails and what does not compile. An input
// that fails is left in testdata.
func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	const head = "package p\n\nimport \"testing\"\n\n"
	write := func(name, text string) {
		os.MkdirAll(filepath.Dir(name), 0o755)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m\n")
	write("good/good_test.go", head+
		"func FuzzGood(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\n")
	run := func() (*run, error) {
		all, err := found(".")
		if err != nil {
			t.Fatal(err)
		}
		r := &run{targets: all, began: time.Now(), cache: t.TempDir()}
		for i := range all {
			if all[i].time = 100 * time.Millisecond; all[i].name == "FuzzBad" {
				all[i].time = time.Minute // it ends as soon as it fails
			}
		}
		return r, r.all(context.Background())
	}
	if r, err := run(); err != nil || r.tried.Load() != 1 {
		t.Errorf("what passes: %v; %d targets tried", err, r.tried.Load())
	}
	write("bad/bad_test.go", head+"func FuzzBad(f *testing.F) {\n"+
		"\tf.Fuzz(func(t *testing.T, b []byte) { if len(b) > 3 { t.Error(len(b)) } })\n}\n")
	if r, err := run(); err == nil || r.begun.Load() != 2 {
		t.Errorf("what fails: %v; %d targets begun", err, r.begun.Load())
	}
	if left, _ := filepath.Glob("bad/testdata/fuzz/FuzzBad/*"); len(left) != 1 {
		t.Errorf("inputs left: %v", left)
	}
	os.RemoveAll("bad")
	write("broken/broken_test.go", head+"func FuzzBroken(f *testing.F) { no }\n")
	if r, err := run(); err == nil || r.tried.Load() != 1 {
		t.Errorf("what does not compile: %v; %d targets tried", err, r.tried.Load())
	}
}

// TestTargets: those from outside are there, come first where that is asked for, and are all that
// the word outside means.
func TestTargets(t *testing.T) {
	names := func(only string, outside time.Duration) (all []string) {
		list, err := targets("../..", only, time.Minute, outside, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			all = append(all, x.String())
			if isOutside := slices.Contains(fromOutside, x.String()); x.time != time.Minute !=
				(outside > 0 && isOutside) {
				t.Errorf("%s for %v", x, x.time)
			}
		}
		return all
	}
	want := slices.Sorted(slices.Values(fromOutside))
	if got := names("outside", 0); !slices.Equal(got, want) {
		t.Errorf("outside: %q", got)
	}
	all := names(".", time.Second)
	if n := len(want); len(all) < 40 || !slices.Equal(all[:n], want) || !slices.IsSorted(all[n:]) {
		t.Errorf("all: %q", all)
	}
	if got := names("^internal/seal/", 0); len(got) != 2 {
		t.Errorf("of one package: %q", got)
	}
	if _, err := targets("../..", "FuzzNothing", time.Minute, 0, false); err == nil {
		t.Error("a pattern that matches nothing is taken")
	}
	for day := range all {
		if got := rotated(make([]target, day)); len(got) != day {
			t.Errorf("%d targets rotated are %d", day, len(got))
		}
	}
}

// TestRead reads what programs say.
func TestRead(t *testing.T) {
	const corpus = "fuzz: elapsed: 0s, gathering baseline coverage: 0/12 completed\n" +
		"fuzz: elapsed: 1s, gathering baseline coverage: 7/12 completed\n"
	const fuzzing = "fuzz: elapsed: 3s, execs: 900 (300/sec), new interesting: 1 (total: 13)\n" +
		"fuzz: elapsed: 6s, execs: 2000 (366/sec), new interesting: 4 (total: 16)\n"
	const hung = "fuzzing process hung or terminated unexpectedly: exit status 2\n"
	for _, test := range []struct {
		name, log string
		want      outcome
	}{
		{"nothing", "panic: no\n", outcome{kept: "none kept"}},
		{"within the corpus", corpus, outcome{began: true, executions: 7, kept: "none kept"}},
		{"sound", corpus + fuzzing + "PASS\n",
			outcome{began: true, executions: 2000, kept: "4 new inputs, 16 kept"}},
		{"the time is up", corpus + fuzzing + "--- FAIL: FuzzX (6s)\n    context deadline exceeded\n",
			outcome{began: true, executions: 2000, kept: "4 new inputs, 16 kept", timeUp: true}},
		{"an input fails", fuzzing + "Failing input written to testdata/fuzz/FuzzX/12ab\n" +
			"context deadline exceeded\n",
			outcome{began: true, executions: 2000, kept: "4 new inputs, 16 kept"}},
		{"slow", fuzzing + hung + "    Failing input written to testdata/fuzz/FuzzX/12ab\n",
			outcome{began: true, executions: 2000, kept: "4 new inputs, 16 kept", slow: "FuzzX/12ab",
				written: true}},
		{"a slow seed", corpus + hung + "failure while testing seed corpus entry: FuzzX/seed#3\n",
			outcome{began: true, executions: 7, kept: "none kept", slow: "FuzzX/seed#3"}},
	} {
		if got := read(test.log); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	if got := lastLines(strings.Repeat("a\n", 50)+"b\n\n", 2); got != "a\nb" {
		t.Errorf("last lines: %q", got)
	}
}
