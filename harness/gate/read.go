package gate

import (
	"bytes"
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
	"loadstone/harness/load"
)

// mayDiffer are the configuration keys that may differ between files that are compared. What failed
// is found by itself; see [Failure].
const mayDiffer = "commit,version,date,seed,runstamp,violations,incomplete," + sideKey + "," +
	sessionKey

// samples are the values of one cell, by side, in the order of the runs, and the configuration they
// were measured in.
type samples struct {
	name, unit string
	values     map[string][]float64
	sessions   map[string][]string // in which session each value was measured, of an A/A file
	sizes      map[string][]int    // how many values each percentile is of; 0: the file does not say
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

// rename gives a value of an older file its name of today, so that old files and new ones compare,
// and a rate that it left out: where no request was answered, 0 tokens came a second.
func rename(r *benchfmt.Result) {
	if answered(r) == 0 && !slices.ContainsFunc(r.Values, func(v benchfmt.Value) bool {
		return v.Unit == "tok/s"
	}) {
		r.Values = append(r.Values, benchfmt.Value{Value: 0, Unit: "tok/s"})
	}
	for i := range r.Config {
		if c := &r.Config[i]; c.Key == "backend" && string(c.Value) == "metal" {
			c.Value = []byte("mlx")
		}
	}
}

// answered is the share of a run's requests that were answered, 1 where the line does not say.
func answered(r *benchfmt.Result) float64 {
	share := 1.0
	for _, v := range r.Values {
		switch v.Unit {
		case "error-ratio", "reject-ratio", "empty-ratio":
			share -= v.Value
		}
	}
	return max(0, math.Round(share*1e9)/1e9)
}

// checkValues refuses a number that cannot be one of its unit. A unit of somebody's own may be
// below 0.
func checkValues(r *benchfmt.Result) error {
	file, line := r.Pos()
	if r.Iters < 0 {
		return fmt.Errorf("%s:%d: %d iterations", file, line, r.Iters)
	}
	for i, v := range r.Values {
		value, unit := v.Value, v.Unit
		if v.OrigUnit != "" {
			value, unit = v.OrigValue, v.OrigUnit
		}
		switch {
		case slices.ContainsFunc(r.Values[:i], func(before benchfmt.Value) bool {
			return before.Unit == v.Unit
		}):
			return fmt.Errorf("%s:%d: two values of %s in one line", file, line, unit)
		case math.IsNaN(value):
			return fmt.Errorf("%s:%d: %s is not a number", file, line, unit)
		case value < 0 && (math.IsInf(value, -1) || countsSomething(unit)):
			return fmt.Errorf("%s:%d: %g %s is less than nothing", file, line, value, unit)
		}
	}
	return nil
}

// countsSomething reports whether figures of a unit cannot be negative: times, rates, shares,
// bytes, and counts for each operation.
func countsSomething(unit string) bool {
	_, known := figure.Find(short(unit))
	return known || unit == "B" || unit == "bytes" ||
		slices.ContainsFunc([]string{"-ns", "-sec", "-ratio", "/op", "/s", "-bytes"},
			func(suffix string) bool { return strings.HasSuffix(unit, suffix) })
}

// pool is everything that was read.
type pool struct {
	cells    []*samples // in the order of the files
	byKey    map[benchproc.Key]*samples
	units    benchfmt.UnitMetadataMap
	lines    map[string]int                        // results by side
	keys     map[string]bool                       // configuration keys, and those of loads
	asked    map[string]map[string][]load.Identity // by benchmark and side
	sessions map[string][]session                  // by side
	answered map[string]map[string]float64         // the largest share, by side and benchmark
	labels   map[string]string                     // of benchmarks, for people
	failures []Failure
	texts    map[string]*text // by side
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
	p := &pool{lines: map[string]int{}, byKey: map[benchproc.Key]*samples{},
		keys: map[string]bool{}, asked: map[string]map[string][]load.Identity{},
		sessions: map[string][]session{}, answered: map[string]map[string]float64{},
		labels: map[string]string{}, texts: map[string]*text{}}
	var in benchfmt.Reader
	for _, f := range files {
		t, err := readText(f.File)
		if err != nil {
			return nil, err
		}
		p.texts[f.side] = t
		for _, failure := range t.failures {
			failure.Side = sideName(f.side)
			p.failures = append(p.failures, failure)
		}
		if err := p.readSide(&in, f.side, t, by); err != nil {
			return nil, err
		}
	}
	p.units = in.Units()
	p.label()
	return p, p.checkIgnored(o)
}

// readSide reads the results of one file.
func (p *pool) readSide(in *benchfmt.Reader, side string, t *text, by *projection) error {
	in.Reset(bytes.NewReader(t.body), t.name)
	at := position{text: t, asked: map[string]load.Identity{}}
	for in.Scan() {
		switch r := in.Result().(type) {
		case *benchfmt.Result:
			_, line := r.Pos()
			at.advance(line)
			own := side
			if side == noiseSide {
				own += "/" + r.GetConfig(sideKey)
			}
			if err := p.add(r, own, by, &at); err != nil {
				return err
			}
		case *benchfmt.SyntaxError:
			return t.syntax(r)
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// A position in a file knows what its Session and Load lines have said so far.
type position struct {
	*text
	next    int
	session *session
	asked   map[string]load.Identity
}

func (at *position) advance(line int) {
	for ; at.next < len(at.lines) && at.lines[at.next].line < line; at.next++ {
		d := at.lines[at.next]
		if d.session != nil {
			at.session = d.session
		} else {
			at.asked[d.name] = d.asked
		}
	}
}

// askedOf is the load of a benchmark, nil unknown. The Load lines of Go's own benchmarks are
// printed before testing adds the number of processors to the name.
func (at *position) askedOf(name string) load.Identity {
	if id := at.asked[name]; id != nil {
		return id
	}
	return at.asked[withoutProcs(name)]
}

// checkIgnored refuses to ignore a key that there is not: a typo must not look like a decision.
func (p *pool) checkIgnored(o *Options) error {
	for _, key := range o.Ignore {
		if !p.keys[key] && !slices.Contains(strings.Split(mayDiffer, ","), key) {
			return &OptionError{"ignore", fmt.Sprintf("%s matches no key; there are %s", key,
				strings.Join(slices.Sorted(maps.Keys(p.keys)), ", "))}
		}
	}
	return nil
}

// add takes one result, a line of a benchmark file.
func (p *pool) add(r *benchfmt.Result, side string, by *projection, at *position) error {
	if err := checkValues(r); err != nil {
		return err
	}
	// The benchmark reader leaves the unit of a 0 as it is, which would split the cell.
	for i := range r.Values {
		r.Values[i].Value, r.Values[i].Unit = benchunit.Tidy(r.Values[i].Value, r.Values[i].Unit)
	}
	rename(r)
	sizes := takeSizes(r)
	for _, c := range r.Config {
		p.keys[c.Key] = true
	}
	for _, a := range at.askedOf(string(r.Name)) {
		p.keys[a.Key] = true
	}
	if keep, err := by.filter.Apply(r); !keep || err != nil {
		return nil
	}
	p.lines[side]++
	p.place(r, side, at)
	config := by.residue.Project(r)
	for i, key := range by.row.ProjectValues(r) {
		v := r.Values[i].Value
		s := p.byKey[key]
		if s == nil {
			s = &samples{key.Get(by.name), key.Get(by.unit), map[string][]float64{},
				map[string][]string{}, map[string][]int{}, map[string][]benchproc.Key{}}
			p.byKey[key] = s
			p.cells = append(p.cells, s)
		}
		f, _ := figure.Find(short(s.unit))
		s.values[side] = append(s.values[side], v)
		s.sessions[side] = append(s.sessions[side], r.GetConfig(sessionKey))
		s.sizes[side] = append(s.sizes[side], sizes[f.Of])
		s.configs[side] = append(s.configs[side], config)
	}
	return nil
}

// place keeps what the file says of a result beside its values: its session, its load, and how many
// requests were answered.
func (p *pool) place(r *benchfmt.Result, side string, at *position) {
	name := string(r.Name)
	if s := at.session; s != nil && !slices.Contains(p.sessions[side], *s) {
		p.sessions[side] = append(p.sessions[side], *s)
	}
	if p.asked[name] == nil {
		p.asked[name] = map[string][]load.Identity{}
	}
	id, all := at.askedOf(name), p.asked[name][side]
	same := func(known load.Identity) bool { return slices.Equal(known, id) }
	if !slices.ContainsFunc(all, same) {
		p.asked[name][side] = append(all, id)
	}
	if p.answered[side] == nil {
		p.answered[side] = map[string]float64{}
	}
	p.answered[side][name] = max(p.answered[side][name], answered(r))
}

// must fails when a side has no result: an empty file compares well with everything. The error is a
// *FailedError where the file says that something failed, else an *EmptyError.
func (p *pool) must(side, file string, o *Options) error {
	if p.lines[side] > 0 {
		return nil
	}
	failures := slices.DeleteFunc(slices.Clone(p.failures), func(f Failure) bool {
		return f.Side != sideName(side)
	})
	if len(failures) > 0 && o.Filter == "" {
		return &FailedError{failures}
	}
	empty := &EmptyError{File: file, Filter: o.Filter}
	for _, t := range p.texts {
		if t.name == file && t.json {
			return &FormatError{file, "what go test -json prints; want the text without -json"}
		}
		if t.name == file {
			empty.Behind, empty.Why = t.behind, t.whyEmpty()
		}
	}
	return empty
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
		inScenario := scenarios.match(p.labels[s.name], scenario(s.name))
		inUnit := units.match(short(s.unit))
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

// match reports whether a pattern matches one of the names of a thing, of which the first is shown.
func (p *patterns) match(names ...string) bool {
	p.known[names[0]] = true
	any := len(p.used) == 0
	for pattern := range p.used {
		for _, s := range names {
			// A unit may have a slash, which path.Match does not treat as an ordinary character.
			if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"),
				strings.ReplaceAll(s, "/", "\x00")); ok {
				p.used[pattern], any = true, true
			}
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
