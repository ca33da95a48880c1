package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loadstone/engine/internal/kv"
)

// An op is one operation. It prints and parses itself, so that a failing list can be kept in
// testdata/meta.
type op struct {
	verb  string // see apply
	agent int    // 0..7; 0 is anonymous; see who
	seed  int    // of its tokens, and of its draws
	at    int    // where the conversation is cut: edit; how many iterations: iterate
	n     int    // new tokens
	max   int    // MaxTokens
	temp  float64
}

// fields returns the places of the op's numbers, by their names in text, in order.
func (o *op) fields() []struct {
	name string
	at   *int
} {
	return []struct {
		name string
		at   *int
	}{{"agent", &o.agent}, {"seed", &o.seed}, {"at", &o.at}, {"n", &o.n}, {"max", &o.max}}
}

// String leaves out what is 0.
func (o op) String() string {
	var out strings.Builder
	out.WriteString(o.verb)
	for _, f := range o.fields() {
		if *f.at != 0 {
			fmt.Fprintf(&out, " %s=%d", f.name, *f.at)
		}
	}
	if o.temp != 0 {
		fmt.Fprintf(&out, " temp=%g", o.temp)
	}
	return out.String()
}

func parseOp(line string) (o op, err error) {
	words := strings.Fields(line)
	o.verb = words[0]
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		if name == "temp" {
			if o.temp, err = strconv.ParseFloat(value, 64); err != nil {
				return o, err
			}
			continue
		}
		fields := o.fields()
		i := slices.IndexFunc(fields, func(f struct {
			name string
			at   *int
		}) bool {
			return f.name == name
		})
		if i < 0 {
			return o, fmt.Errorf("unknown word %q", word)
		}
		if *fields[i].at, err = strconv.Atoi(value); err != nil {
			return o, err
		}
	}
	return o, nil
}

func parseOps(text string) (ops []op, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOp(line)
		if err != nil {
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
	verbs := []string{"new", "new", "more", "more", "more", "more", "edit", "again",
		"iterate", "iterate", "iterate", "iterate", "cancel", "cancel", "fail", "panic",
		"save", "save", "restart", "kill", "delete", "evict", "evict"}
	ops := make([]op, 20+r.IntN(60))
	for i := range ops {
		o := op{
			verb:  verbs[r.IntN(len(verbs))],
			agent: r.IntN(8),
			seed:  r.IntN(1000),
			at:    r.IntN(40),
			n:     1 + r.IntN(12),
			max:   1 + r.IntN(12),
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

// shrink leaves out every operation that the failure does not need.
func shrink(on *network, ops []op, setup int) []op {
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

// A failure is the shortest list that still fails in a setup, and how it fails.
type failure struct {
	setup int
	first error
	ops   []op
	err   error
}

func (f *failure) String() string {
	return fmt.Sprintf("%s: %v\nsmallest list that fails, with: %v\n"+
		"keep it as testdata/meta/NAME.txt:\n%s",
		setups[f.setup].name, f.first, f.err, printOps(f.ops))
}

// run tries ops in all setups, and returns the first failure, nil if there is none.
func run(on *network, ops []op) *failure {
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

func check(t *testing.T, on *network, ops []op) {
	t.Helper()
	if f := run(on, ops); f != nil {
		t.Fatalf("on %s, %v", on.name, f)
	}
}

// principal returns whose the operation's agent is: 5 to 7 are the second principal's.
func (o *op) principal() string {
	if o.agent > 4 {
		return "second"
	}
	return ""
}

// who returns the operation's agent. 2 to 4 have the names of 5 to 7.
func (o *op) who() kv.Agent {
	n := o.agent
	if n > 4 {
		n -= 3
	}
	return kv.Agent{Principal: PrincipalID(o.principal()), Name: fmt.Sprint("agent", n)}
}
