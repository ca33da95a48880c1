package gate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchproc"

	"loadstone/harness/load"
)

// A Difference is a key that is not the same in two files that were to be compared: one of the
// configuration, or of the identity of a load.
type Difference struct {
	Key  string
	A, B string // which files
	InA  string // its values there, separated by commas
	InB  string

	Load bool // what was asked of the server differs, not where it ran
}

func (d Difference) String() string {
	if d.A == d.B {
		return fmt.Sprintf("%s mixes runs with %s: %s", d.A, d.Key, d.InA)
	}
	return fmt.Sprintf("%s is %s in %s and %s in %s", d.Key, d.InA, d.A, d.InB, d.B)
}

// An UnlikeError says that two files are of unlike loads, or that sessions of one noise floor are
// unlike.
type UnlikeError struct{ Differences []Difference }

func (e *UnlikeError) Error() string {
	var all []string
	for _, d := range e.Differences {
		all = append(all, d.String())
	}
	return strings.Join(all, "; ")
}

// UnlikeLoads is an error where base and head are of unlike loads: whatever their figures are, they
// answer different questions. That they were measured on unlike machines is no such error: that
// may be the question.
func (c *Comparison) UnlikeLoads() error {
	loads := slices.DeleteFunc(slices.Clone(c.Unlike), func(d Difference) bool { return !d.Load })
	if len(loads) == 0 {
		return nil
	}
	return &UnlikeError{loads}
}

// unlike finds what differs between two sides, or within one of them, but for the keys that are
// ignored.
func (p *pool) unlike(a, b string, ignored []string) []Difference {
	all := append(p.unlikeNames(a, b), p.unlikeLoads(a, b)...)
	seen := map[string]bool{}
	for _, s := range p.cells {
		for _, d := range unlikeConfigs(s, a, b) {
			if !seen[d.Key] {
				seen[d.Key] = true
				all = append(all, d)
			}
		}
	}
	return slices.DeleteFunc(all, func(d Difference) bool {
		return slices.Contains(ignored, d.Key)
	})
}

// unlikeConfigs finds the configuration keys in which two sides of a cell differ.
func unlikeConfigs(s *samples, a, b string) (all []Difference) {
	keys := append(slices.Clone(s.configs[a]), s.configs[b]...)
	for _, f := range benchproc.NonSingularFields(keys) {
		inA, inB := valuesOf(s.configs[a], f), valuesOf(s.configs[b], f)
		d := Difference{f.Name, sideName(a), sideName(b), quoted(inA), quoted(inB),
			f.Name == "load"}
		switch {
		case f.Name == toleratedKey && tolerable(slices.Concat(inA, inB)):
			continue
		case len(inA) > 1:
			d.B, d.InB = d.A, d.InA
		case len(inB) > 1:
			d.A, d.InA = d.B, d.InB
		}
		all = append(all, d)
	}
	return all
}

// memory is what machines are told apart by, but it is not exact: what the kernel keeps for itself
// changes with each of its versions, so that the same machine has 15.9 GiB today and had 16.0. The
// steps in which machines are built and rented are far larger than this.
const (
	toleratedKey = "mem"
	tolerated    = 0.05
)

// tolerable reports whether all values are sizes in the same unit that are nearly the same.
func tolerable(values []string) bool {
	lo, hi := math.Inf(1), 0.0
	for _, v := range values {
		bytes, ok := bytesOf(v)
		if !ok {
			return false
		}
		lo, hi = min(lo, bytes), max(hi, bytes)
	}
	return hi <= lo*(1+tolerated)
}

// bytesOf reads a size such as 15.9 GiB.
func bytesOf(s string) (float64, bool) {
	number, unit, _ := strings.Cut(s, " ")
	v, err := strconv.ParseFloat(number, 64)
	i := slices.Index([]string{"B", "KiB", "MiB", "GiB", "TiB"}, unit)
	return math.Ldexp(v, 10*max(i, 0)), err == nil && i >= 0
}

// unlikeLoads finds the keys in which the loads of two sides differ, where both say what they are.
func (p *pool) unlikeLoads(a, b string) (all []Difference) {
	seen := map[Difference]bool{}
	add := func(sideA, sideB string, x, y load.Identity) {
		if len(x) == 0 || len(y) == 0 {
			return
		}
		found := x.Differences(y)
		if len(found) > 1 { // the hash says nothing that the others do not say
			found = slices.DeleteFunc(found, func(u load.Unlike) bool { return u.Key == "hash" })
		}
		for _, u := range found {
			d := Difference{u.Key, sideName(sideA), sideName(sideB),
				quoted([]string{u.A}), quoted([]string{u.B}), true}
			if sideA == sideB {
				d.InA += ", " + d.InB
				d.InB = d.InA
			}
			if !seen[d] {
				seen[d] = true
				all = append(all, d)
			}
		}
	}
	for _, name := range p.names() {
		inA, inB := p.asked[name][a], p.asked[name][b]
		for _, side := range []string{a, b} {
			if ids := p.asked[name][side]; len(ids) > 1 {
				add(side, side, ids[0], ids[1])
			}
		}
		if len(inA) == 1 && len(inB) == 1 {
			add(a, b, inA[0], inB[0])
		}
	}
	return all
}

// unlikeNames finds scenarios that both sides have and no benchmark of which they share: the load
// is another one by the benchmark's name.
func (p *pool) unlikeNames(a, b string) (all []Difference) {
	type sides struct{ a, b, both []string }
	byScenario := map[string]*sides{}
	var order []string
	for _, name := range p.names() {
		key := scenarioAndLevel(name)
		if key == "" {
			continue
		}
		s := byScenario[key]
		if s == nil {
			s = &sides{}
			byScenario[key], order = s, append(order, key)
		}
		switch inA, inB := p.has(name, a), p.has(name, b); {
		case inA && inB:
			s.both = append(s.both, name)
		case inA:
			s.a = append(s.a, name)
		case inB:
			s.b = append(s.b, name)
		}
	}
	for _, key := range order {
		s := byScenario[key]
		if len(s.both) > 0 || len(s.a) == 0 || len(s.b) == 0 {
			continue
		}
		inA, inB := nameParts(s.a[0]), nameParts(s.b[0])
		keys := slices.Sorted(maps.Keys(inA))
		for k := range inB {
			if _, ok := inA[k]; !ok {
				keys = append(keys, k)
			}
		}
		for _, k := range keys {
			if inA[k] != inB[k] {
				all = append(all, Difference{k, sideName(a), sideName(b),
					quoted([]string{inA[k]}), quoted([]string{inB[k]}), true})
			}
		}
	}
	return all
}

// names are the benchmarks that are compared, in the order of the files.
func (p *pool) names() []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range p.cells {
		if !seen[s.name] {
			seen[s.name] = true
			names = append(names, s.name)
		}
	}
	return names
}

// has reports whether a side has a result of a benchmark.
func (p *pool) has(name, side string) bool { return len(p.asked[name][side]) > 0 }

// unnamed notes where one side says which load it is of and the other does not, as an older file:
// the two are compared by what both say.
func (p *pool) unnamed() (notes []string) {
	says := map[string]bool{}
	for _, name := range p.names() {
		for _, side := range []string{baseSide, headSide} {
			for _, id := range p.asked[name][side] {
				says[side] = says[side] || len(id) > 0
			}
		}
	}
	if says[baseSide] == says[headSide] {
		return nil
	}
	silent := baseSide
	if says[baseSide] {
		silent = headSide
	}
	return []string{silent + " does not say what its load asks, as older files do not: whether " +
		"the two are alike is told by the benchmarks' names and configuration alone"}
}

// sideName is what a side is called in messages.
func sideName(side string) string {
	if strings.HasPrefix(side, noiseSide) {
		return "the noise floor"
	}
	return side
}

// valuesOf are the values that a configuration key has.
func valuesOf(keys []benchproc.Key, f *benchproc.Field) []string {
	set := map[string]bool{}
	for _, k := range keys {
		set[k.Get(f)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// quoted are values for a message, in quotes where that is needed.
func quoted(values []string) string {
	var all []string
	for _, v := range values {
		v = cmp.Or(v, "not given")
		if v != "not given" && strings.ContainsAny(v, " ,") {
			v = `"` + strings.ReplaceAll(v, ", ", ",") + `"`
		}
		all = append(all, v)
	}
	return strings.Join(all, ", ")
}
