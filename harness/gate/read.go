package gate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"
	"golang.org/x/perf/benchunit"

	"loadstone/harness/limit"
)

// What a file's runs are read as. An A/A file has two sides of its own, marked by the configuration key side.
const (
	baseSide   = "base"
	headSide   = "head"
	floorSide  = "floor"
	sideKey    = "side"
	mayDiffer  = "commit,version,date,seed,runstamp," + sideKey
	noiseBase  = floorSide + "/" + baseSide
	noiseHead  = floorSide + "/" + headSide
	scenarioIs = "/scenario="
)

// samples are the values of one cell, by side, in the order of the runs, and the configuration they were measured in.
type samples struct {
	name, unit string
	values     map[string][]float64
	sizes      map[string][]int // of a percentile: of how many requests or gaps each value is; 0 the file does not say
	configs    map[string][]benchproc.Key
}

// sizeUnit begins the units that say how many values a run's percentiles are of. They are nothing to compare: a load that is
// another one is told by its configuration.
const sizeUnit = "n-"

// SizeOf is the unit of the number of values that the percentiles of some times are of, such as n-e2e.
func SizeOf(times string) string { return sizeUnit + times }

// takeSizes takes from a result how many values its percentiles are of, by their times.
func takeSizes(r *benchfmt.Result) map[string]int {
	sizes := map[string]int{}
	r.Values = slices.DeleteFunc(r.Values, func(v benchfmt.Value) bool {
		of, ok := strings.CutPrefix(v.Unit, sizeUnit)
		if _, _, times := (limit.Limit{Unit: "p50-" + of}).Percentile(); !ok || !times {
			return false
		}
		sizes[of] = int(v.Value)
		return true
	})
	return sizes
}

// pool is everything that was read.
type pool struct {
	cells []*samples // in the order of the files
	units benchfmt.UnitMetadataMap
	lines map[string]int // results by side
}

// read reads the files, label=path each. What may not differ between the sides is left in the residue of the projections,
// so that a key nobody has thought of keeps unlike measurements apart as well.
func read(paths []string, o *Options) (*pool, error) {
	filter, err := benchproc.NewFilter(cmp.Or(o.Filter, "*"))
	if err != nil {
		return nil, fmt.Errorf("-filter %s: %w", o.Filter, err)
	}
	var parser benchproc.ProjectionParser
	row, unitField, err := parser.ParseWithUnit(".fullname", filter)
	if err != nil {
		return nil, err
	}
	nameField := row.Fields()[0]
	for _, keys := range []string{".file", mayDiffer, strings.Join(o.Ignore, ",")} {
		if keys == "" {
			continue
		}
		if _, err := parser.Parse(keys, filter); err != nil {
			return nil, fmt.Errorf("-ignore %s: %w", strings.Join(o.Ignore, ","), err)
		}
	}
	residue := parser.Residue()

	p := &pool{lines: map[string]int{}}
	byKey := map[benchproc.Key]*samples{}
	in := benchfmt.Files{Paths: paths, AllowLabels: true}
	for in.Scan() {
		r, ok := in.Result().(*benchfmt.Result)
		if !ok {
			if err, ok := in.Result().(error); ok {
				return nil, err // a syntax error, with file and line
			}
			continue // metadata of a unit
		}
		for i := range r.Values { // the reader leaves the unit of a 0 as it is, which would split the cell
			r.Values[i].Value, r.Values[i].Unit = benchunit.Tidy(r.Values[i].Value, r.Values[i].Unit)
		}
		if i, ok := r.ConfigIndex("backend"); ok && string(r.Config[i].Value) == "metal" {
			r.Config[i].Value = []byte("mlx") // its name since the committed baselines were measured
		}
		side := r.GetConfig(".file")
		if side == floorSide {
			side += "/" + r.GetConfig(sideKey)
		}
		sizes := takeSizes(r)
		if keep, err := filter.Apply(r); !keep || err != nil {
			continue
		}
		p.lines[side]++
		config := residue.Project(r)
		for i, key := range row.ProjectValues(r) {
			v := r.Values[i].Value
			if math.IsNaN(v) {
				file, line := r.Pos()
				return nil, fmt.Errorf("%s:%d: %s is not a number", file, line, key.Get(unitField))
			}
			s := byKey[key]
			if s == nil {
				s = &samples{key.Get(nameField), key.Get(unitField), map[string][]float64{}, map[string][]int{}, map[string][]benchproc.Key{}}
				byKey[key] = s
				p.cells = append(p.cells, s)
			}
			s.values[side] = append(s.values[side], v)
			_, of, _ := limit.Limit{Unit: short(s.unit)}.Percentile()
			s.sizes[side] = append(s.sizes[side], sizes[of])
			s.configs[side] = append(s.configs[side], config)
		}
	}
	p.units = benchfmt.UnitMetadataMap(in.Units())
	return p, in.Err()
}

// must fails when a side has no result: an empty file compares well with everything.
func (p *pool) must(side, file string, o *Options) error {
	if p.lines[side] > 0 {
		return nil
	}
	if o.Filter != "" {
		return fmt.Errorf("%s: no benchmark result that -filter %s lets through", file, o.Filter)
	}
	return fmt.Errorf("%s: no benchmark result in it; loadstone bench writes one", file)
}

// choose keeps the cells that the user named, or those that are gated. A pattern that matches nothing is an error: a typo
// must not loosen the gate.
func (p *pool) choose(o *Options) error {
	scenarios, units := newPatterns("-scenario", o.Scenarios), newPatterns("-unit", o.Units)
	var kept []*samples
	for _, s := range p.cells {
		if s.values[baseSide] == nil && s.values[headSide] == nil {
			continue // of the A/A file alone
		}
		// Both, not one after the other: a pattern is used when it names something, whatever the other one says.
		inScenario, inUnit := scenarios.match(scenario(s.name)), units.match(short(s.unit))
		gated := o.All || len(o.Units) > 0 || rule(s.unit).Gated
		if inScenario && inUnit && gated {
			kept = append(kept, s)
		}
	}
	for _, ps := range []*patterns{scenarios, units} {
		if err := ps.unused(); err != nil {
			return err
		}
	}
	if len(kept) == 0 {
		return fmt.Errorf("nothing to judge: no scenario has a unit that was asked for")
	}
	p.cells = kept
	return nil
}

// scenario is the short name of a benchmark: its scenario where it has one, else all of it.
func scenario(name string) string {
	_, rest, ok := strings.Cut(name, scenarioIs)
	if !ok {
		return name
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest
}

// patterns is a list of path.Match patterns that remembers which of them matched, and what they could have.
type patterns struct {
	flag  string
	used  map[string]bool
	known map[string]bool
}

func newPatterns(flag string, list []string) *patterns {
	p := &patterns{flag, map[string]bool{}, map[string]bool{}}
	for _, s := range list {
		if flag == "-unit" {
			s = short(s)
		}
		p.used[s] = false
	}
	return p
}

func (p *patterns) match(s string) bool {
	p.known[s] = true
	any := len(p.used) == 0
	for pattern := range p.used {
		// A unit has a slash of its own, which to path.Match is no ordinary character.
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00")); ok {
			p.used[pattern], any = true, true
		}
	}
	return any
}

func (p *patterns) unused() error {
	for _, pattern := range slices.Sorted(maps.Keys(p.used)) {
		if !p.used[pattern] {
			return fmt.Errorf("%s %s matches nothing; there are %s", p.flag, pattern, strings.Join(slices.Sorted(maps.Keys(p.known)), ", "))
		}
	}
	return nil
}

// A Difference is a configuration key that is not the same in two files that were to be compared.
type Difference struct {
	Key  string
	A, B string // which files
	InA  string // its values there, separated by commas
	InB  string
}

func (d Difference) String() string {
	if d.A == d.B {
		return fmt.Sprintf("%s mixes runs with %s: %s", d.A, d.Key, d.InA)
	}
	return fmt.Sprintf("%s is %s in %s and %s in %s", d.Key, d.InA, d.A, d.InB, d.B)
}

// unlike finds what differs between two sides, or within one of them.
func (p *pool) unlike(a, b string) []Difference {
	var all []Difference
	seen := map[string]bool{}
	for _, s := range p.cells {
		keys := append(slices.Clone(s.configs[a]), s.configs[b]...)
		for _, f := range benchproc.NonSingularFields(keys) {
			if seen[f.Name] {
				continue
			}
			seen[f.Name] = true
			inA, inB := valuesOf(s.configs[a], f), valuesOf(s.configs[b], f)
			switch {
			case strings.Contains(inA, ", "):
				all = append(all, Difference{f.Name, sideName(a), sideName(a), inA, inA})
			case strings.Contains(inB, ", "):
				all = append(all, Difference{f.Name, sideName(b), sideName(b), inB, inB})
			default:
				all = append(all, Difference{f.Name, sideName(a), sideName(b), inA, inB})
			}
		}
	}
	return all
}

func sideName(side string) string {
	if strings.HasPrefix(side, floorSide) {
		return "the A/A floor"
	}
	return side
}

func valuesOf(keys []benchproc.Key, f *benchproc.Field) string {
	set := map[string]bool{}
	for _, k := range keys {
		v := k.Get(f)
		if v == "" {
			v = "not given"
		} else if strings.ContainsAny(v, " ,") {
			v = `"` + strings.ReplaceAll(v, ", ", ",") + `"`
		}
		set[v] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}
