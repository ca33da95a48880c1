package main

import (
	"regexp"
	"strconv"
	"strings"
)

// An outcome is what a target's program says of its run.
type outcome struct {
	began      bool // it has begun with its corpus
	executions int64
	kept       string // how many inputs are new and how many are kept

	// timeUp says that it fails only because the time was up in the middle of an input
	// (go.dev/issue/75804).
	timeUp bool
	// slow is the input, Target/input, that took ten seconds, as any may where much else runs; "":
	// none. It was written to testdata/fuzz, or else is a seed.
	slow    string
	written bool
}

var (
	elapsed = regexp.MustCompile(`(?m)^fuzz: elapsed.*execs: (\d+)(?:.*interesting: (\d+) ` +
		`\(total: (\d+)\))?`)
	corpus = regexp.MustCompile(`gathering baseline coverage: (\d+)/`)
	failed = regexp.MustCompile(`(Failing input written to testdata/fuzz/|` +
		`failure while testing seed corpus entry: )(\S+)`)
)

// read reads what a target's program has said.
func read(log string) outcome {
	o := outcome{began: strings.Contains("\n"+log, "\nfuzz: elapsed"), kept: "none kept"}
	last := func(pattern *regexp.Regexp) []string {
		all := pattern.FindAllStringSubmatch(log, -1)
		if all == nil {
			return nil
		}
		return all[len(all)-1]
	}
	m := last(elapsed)
	if m != nil && m[2] != "" {
		o.kept = m[2] + " new inputs, " + m[3] + " kept"
	}
	if m == nil {
		m = last(corpus) // the time was up within the corpus, each input of which was tried
	}
	if m != nil {
		o.executions, _ = strconv.ParseInt(m[1], 10, 64)
	}
	m = failed.FindStringSubmatch(log)
	if m != nil && strings.Contains(log, "fuzzing process hung or terminated unexpectedly") {
		o.slow, o.written = m[2], strings.HasPrefix(m[1], "Failing")
	}
	o.timeUp = strings.Contains(log, "context deadline exceeded") &&
		!strings.Contains(log, "Failing input") && !strings.Contains(log, "failure while testing")
	return o
}

// lastLines returns the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
