package gate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"
	"golang.org/x/perf/benchunit"

	"loadstone/harness/figure"
)

// mayDiffer are the configuration keys that may differ between files that are compared.
const mayDiffer = "commit,version,date,seed,runstamp," + sideKey

// samples are the values of one cell, by side, in the order of the runs, and the configuration they
// were measured in.
type samples struct {
	name, unit string
	values     map[string][]float64
	sizes      map[string][]int // how many values each percentile is of; 0: the file does not say
	configs    map[string][]benchproc.Key
}

// takeSizes takes from a result how many values its percentiles are of, by the name of their times.
// They are not compared: files of unlike loads differ in their configuration.
func takeSizes(r *benchfmt.Result) map[string]int {
	sizes := map[string]int{}
	r.Values = slices.DeleteFunc(r.Values, func(v benchfmt.Value) bool {
		times, ok := figure.SizedTimes(v.Unit)
		if ok {
			sizes[times] = int(v.Value)
		}
		return ok
	})
	return sizes
}

// rename gives a value of an older file its name of today, so that old files and new ones compare.
func rename(r *benchfmt.Result) {
	for i := range r.Config {
		if c := &r.Config[i]; c.Key == "backend" && string(c.Value) == "metal" {
			c.Value = []byte("mlx")
		}
	}
}

// pool is everything that was read.
type pool struct {
	cells []*samples // in the order of the files
	byKey map[benchproc.Key]*samples
	units benchfmt.UnitMetadataMap
	lines map[string]int // results by side
}

// A projection says which part of a result names its cell and which part may not differ.
type projection struct {
	filter     *benchproc.Filter
	row        *benchproc.Projection
	name, unit *benchproc.Field
	residue    *benchproc.Projection
}

// newProjection follows the options. What may not differ between the sides is left in the residue,
// so that a key nobody has thought of keeps unlike measurements apart as well.
func newProjection(o *Options) (*projection, error) {
	filter, err := benchproc.NewFilter(cmp.Or(o.Filter, "*"))
	if err != nil {
		return nil, &OptionError{"filter", fmt.Sprintf("%s: %v", o.Filter, err)}
	}
	var parser benchproc.ProjectionParser
	row, unit, err := parser.ParseWithUnit(".fullname", filter)
	if err != nil {
		return nil, err
	}
	ignored := strings.Join(o.Ignore, ",")
	for _, keys := range []string{mayDiffer, ignored} {
		if keys == "" {
			continue
		}
		if _, err := parser.Parse(keys, filter); err != nil {
			return nil, &OptionError{"ignore", fmt.Sprintf("%s: %v", ignored, err)}
		}
	}
	return &projection{filter, row, row.Fields()[0], unit, parser.Residue()}, nil
}

// read reads the files as the sides that they are.
func read(files []input, o *Options) (*pool, error) {
	by, err := newProjection(o)
	if err != nil {
		return nil, err
	}
	p := &pool{lines: map[string]int{}, byKey: map[benchproc.Key]*samples{}}
	var in benchfmt.Reader
	for _, f := range files {
		in.Reset(f.Reader, f.Name)
		for in.Scan() {
			switch r := in.Result().(type) {
			case *benchfmt.Result:
				side := f.side
				if side == noiseSide {
					side += "/" + r.GetConfig(sideKey)
				}
				if err := p.add(r, side, by); err != nil {
					return nil, err
				}
			case error:
				return nil, r // a syntax error, with file and line
			}
		}
		if err := in.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	p.units = in.Units()
	return p, nil
}

// add takes one result, a line of a benchmark file.
func (p *pool) add(r *benchfmt.Result, side string, by *projection) error {
	// The benchmark reader leaves the unit of a 0 as it is, which would split the cell.
	for i := range r.Values {
		r.Values[i].Value, r.Values[i].Unit = benchunit.Tidy(r.Values[i].Value, r.Values[i].Unit)
	}
	rename(r)
	sizes := takeSizes(r)
	if keep, err := by.filter.Apply(r); !keep || err != nil {
		return nil
	}
	p.lines[side]++
	config := by.residue.Project(r)
	for i, key := range by.row.ProjectValues(r) {
		v := r.Values[i].Value
		if math.IsNaN(v) {
			file, line := r.Pos()
			return fmt.Errorf("%s:%d: %s is not a number", file, line, key.Get(by.unit))
		}
		s := p.byKey[key]
		if s == nil {
			s = &samples{key.Get(by.name), key.Get(by.unit), map[string][]float64{},
				map[string][]int{}, map[string][]benchproc.Key{}}
			p.byKey[key] = s
			p.cells = append(p.cells, s)
		}
		f, _ := figure.Find(short(s.unit))
		s.values[side] = append(s.values[side], v)
		s.sizes[side] = append(s.sizes[side], sizes[f.Of])
		s.configs[side] = append(s.configs[side], config)
	}
	return nil
}

// must fails when a side has no result: an empty file compares well with everything.
func (p *pool) must(side, file string, o *Options) error {
	if p.lines[side] > 0 {
		return nil
	}
	return &EmptyError{file, o.Filter}
}

// choose keeps the cells that the user named, or those that are gated. A pattern that matches
// nothing is an error: a typo must not loosen the gate.
func (p *pool) choose(o *Options) error {
	scenarios, units := newPatterns("scenario", o.Scenarios), newPatterns("unit", o.Units)
	var kept []*samples
	for _, s := range p.cells {
		if s.values[baseSide] == nil && s.values[headSide] == nil {
			continue // of the A/A file alone
		}
		// Both, not one after the other: a pattern is used when it names something, whatever the
		// other one says.
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
		return errors.New("nothing to judge: no scenario has a unit that was asked for")
	}
	p.cells = kept
	return nil
}

// scenario is the short name of a benchmark: its scenario where its name has one, else the whole
// name.
func scenario(name string) string {
	_, rest, ok := strings.Cut(name, "/scenario=")
	if !ok {
		return name
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest
}

// patterns is a list of path.Match patterns that remembers which of them matched and what they
// could have matched.
type patterns struct {
	option string
	used   map[string]bool
	known  map[string]bool
}

func newPatterns(option string, list []string) *patterns {
	p := &patterns{option, map[string]bool{}, map[string]bool{}}
	for _, s := range list {
		if option == "unit" {
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
		// A unit may have a slash, which path.Match does not treat as an ordinary character.
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"),
			strings.ReplaceAll(s, "/", "\x00")); ok {
			p.used[pattern], any = true, true
		}
	}
	return any
}

func (p *patterns) unused() error {
	for _, pattern := range slices.Sorted(maps.Keys(p.used)) {
		if !p.used[pattern] {
			known := strings.Join(slices.Sorted(maps.Keys(p.known)), ", ")
			return &OptionError{p.option, fmt.Sprintf("%s matches nothing; there are %s", pattern,
				known)}
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

// sideName is what a side is called in messages.
func sideName(side string) string {
	if strings.HasPrefix(side, noiseSide) {
		return "the noise floor"
	}
	return side
}

// valuesOf are the values that a configuration key has, in quotes where that is needed.
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
