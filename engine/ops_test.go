package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// An op is one operation. It prints and parses itself, so that a failing list can be kept in testdata/meta.
type op struct {
	verb string // see apply
	who  int    // agent 0..7; 0 is anonymous
	seed int    // its tokens, and its draws
	at   int    // where the conversation is cut: edit; how many turns: turns
	n    int    // new tokens
	most int    // MaxTokens
	temp float64
}

const opFormat = "%s who=%d seed=%d at=%d n=%d most=%d temp=%g"

func (o op) String() string {
	return fmt.Sprintf(opFormat, o.verb, o.who, o.seed, o.at, o.n, o.most, o.temp)
}

func parseOps(text string) (ops []op, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		var o op
		if _, err := fmt.Sscanf(line, opFormat, &o.verb, &o.who, &o.seed, &o.at, &o.n, &o.most, &o.temp); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

func printOps(ops []op) string {
	var out strings.Builder
	for _, o := range ops {
		fmt.Fprintln(&out, o)
	}
	return out.String()
}

// generate makes a list of operations from a seed.
func generate(seed uint64) []op {
	r := rand.New(rand.NewPCG(seed, 1))
	verbs := []string{"new", "new", "more", "more", "more", "more", "edit", "again", "turns", "turns", "turns", "turns", "cancel", "cancel", "fail", "panic",
		"save", "save", "restart", "kill", "delete", "evict", "evict"}
	ops := make([]op, 20+r.IntN(60))
	for i := range ops {
		o := op{
			verb: verbs[r.IntN(len(verbs))],
			who:  r.IntN(8),
			seed: r.IntN(1000),
			at:   r.IntN(40),
			n:    1 + r.IntN(12),
			most: 1 + r.IntN(12),
		}
		if r.IntN(3) == 0 {
			o.n, o.at = o.n*4, o.at/4
		}
		if r.IntN(4) == 0 {
			o.temp = 0.25
		}
		ops[i] = o
	}
	if r.IntN(3) == 0 {
		ops[len(ops)-1].verb = "quit"
	}
	return ops
}

// shrink leaves out whatever operation the failure does not need.
func shrink(on *subject, ops []op, setup int) []op {
	for changed := true; changed; {
		changed = false
		for i := len(ops) - 1; i >= 0; i-- {
			fewer := slices.Delete(slices.Clone(ops), i, i+1)
			if try(on, fewer, setup) != nil {
				ops, changed = fewer, true
			}
		}
	}
	return ops
}

// A failure is the list that shrinks to the least that still fails in a setup, and how it does.
type failure struct {
	setup int
	first error
	ops   []op
	err   error
}

func (f *failure) String() string {
	return fmt.Sprintf("%s: %v\nsmallest list that fails, with: %v\nkeep it as testdata/meta/NAME.txt:\n%s", setups[f.setup].name, f.first, f.err, printOps(f.ops))
}

// run tries ops in all setups, and returns the first failure, nil if there is none.
func run(on *subject, ops []op) *failure {
	for i, s := range setups {
		if on.only != nil && !slices.Contains(on.only, s.name) {
			continue
		}
		if err := try(on, ops, i); err != nil {
			small := shrink(on, ops, i)
			return &failure{i, err, small, try(on, small, i)}
		}
	}
	return nil
}

func check(t *testing.T, on *subject, ops []op) {
	t.Helper()
	if f := run(on, ops); f != nil {
		t.Fatalf("on %s, %v", on.name, f)
	}
}
