package gate

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"

	"loadstone/harness/stats"
)

// A Comparison is what comparing two files found.
type Comparison struct {
	Options
	Base, Head string // what the files are called
	Cells      []Cell
	Unlike     []Difference // what keeps the two from being comparable
	Failures   []Failure    // what keeps them from being measurements
	Notes      []string     // what a reader should know beside the cells

	Alternation Alternation // whether the rounds of the two alternated
	Floor       Sessions    // of the noise floor; none: there is none

	drift float64 // how far sessions are apart in most cells
}

// Compare compares two files. An error is of the files, as [*EmptyError] is, or a [*FailedError]
// where one has no result because something failed, or of the options, an [*OptionError]. That the
// files are worse, unlike or incomplete is in the comparison.
func Compare(base, head File, o Options) (*Comparison, error) {
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.MinRuns == 0 {
		o.MinRuns = 6
	}
	if err := checkPatterns(&o); err != nil {
		return nil, err
	}
	p, err := readSides(base, head, &o)
	if err != nil {
		return nil, err
	}
	lags := p.lags()
	if err := p.choose(&o); err != nil {
		return nil, err
	}
	for unit := range o.Effects {
		if !slices.ContainsFunc(p.cells, func(s *samples) bool { return short(s.unit) == unit }) {
			return nil, &OptionError{"effect", unit + ": no such unit is judged"}
		}
	}
	c := &Comparison{Options: o, Base: base.Name, Head: head.Name,
		Unlike: p.unlike(baseSide, headSide, o.Ignore), Alternation: p.alternation(),
		Notes: p.unnamed(), Failures: append(p.failures, p.silent()...)}
	if o.Noise.Reader != nil {
		// What counts as good was not asked of the server: a floor without it is one of the others.
		ignored := append(slices.Clone(o.Ignore), "goodput")
		c.Unlike = append(c.Unlike, p.unlike(baseSide, noiseBase, ignored)...)
		c.Floor = sessionsOf(p.noiseSessions())
	}
	c.drift = p.drift()
	for _, s := range p.cells {
		cell, err := c.cell(s, p)
		if err != nil {
			return nil, err
		}
		c.Cells = append(c.Cells, cell)
	}
	c.judge(lags)
	c.applyAccepted(p)
	c.explainMissing()
	c.noteSessions()
	return c, nil
}

// noteSessions notes where it is unknown how much of what differs is the sessions'.
func (c *Comparison) noteSessions() {
	if n := c.Floor; c.Alternation != Interleaved && n.N >= minSessions && n.Over > 0 &&
		n.Over < time.Hour {
		c.Notes = append(c.Notes, "the noise floor has "+n.String()+
			": it does not show how far days are apart")
	}
	if c.Alternation == Unknown && c.count(Worse) > 0 {
		c.Notes = append(c.Notes, "neither file says whether the rounds of the two alternated; if "+
			"they are of different sessions, what is worse may be the sessions")
	}
}

// silent finds the benchmarks of the head of whose requests not one was answered: it was not
// measured how it answers. A base like that is nothing that an answer could be worse than.
func (p *pool) silent() (all []Failure) {
	for _, name := range p.names() {
		if share, ok := p.answered[headSide][name]; ok && share == 0 {
			all = append(all, Failure{Side: headSide, File: p.texts[headSide].name, Kind: Failed,
				Text: "not one request of " + p.labels[name] + " was answered"})
		}
	}
	return all
}

// noiseSessions are the names of the sessions of the noise floor.
func (p *pool) noiseSessions() []string {
	var names []string
	for _, s := range p.cells {
		for _, name := range slices.Concat(s.sessions[noiseBase], s.sessions[noiseHead]) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// explainMissing says of a benchmark that one side lacks where the other has it under the name of
// another number of processors.
func (c *Comparison) explainMissing() {
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.Verdict != Missing {
			continue
		}
		for _, other := range c.Cells {
			if other.Name != cell.Name && other.Unit == cell.Unit && other.Verdict == Missing &&
				withoutProcs(other.Name) == withoutProcs(cell.Name) {
				cell.Why += ", but has " + other.Name + ": another number of processors"
				break
			}
		}
	}
}

func (c *Comparison) count(v Verdict) int {
	n := 0
	for i := range c.Cells {
		if c.Cells[i].Verdict == v {
			n++
		}
	}
	return n
}

func checkPatterns(o *Options) error {
	for option, list := range map[string][]string{"scenario": o.Scenarios, "unit": o.Units} {
		for _, pattern := range list {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				return &OptionError{option, fmt.Sprintf("%q is not a pattern", pattern)}
			}
		}
	}
	return nil
}

// readSides reads the files, each of which must have results.
func readSides(base, head File, o *Options) (*pool, error) {
	files := []input{{baseSide, base}, {headSide, head}}
	if o.Noise.Reader != nil {
		files = append(files, input{noiseSide, o.Noise})
	}
	p, err := read(files, o)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.must(baseSide, base.Name, o),
		p.must(headSide, head.Name, o)); err != nil {
		return nil, err
	}
	if o.Noise.Reader != nil {
		err = errors.Join(p.must(noiseBase, o.Noise.Name, o), p.must(noiseHead, o.Noise.Name, o))
	}
	return p, err
}

// cell summarises one cell; its verdict is still open.
func (c *Comparison) cell(s *samples, p *pool) (Cell, error) {
	base, head := s.values[baseSide], s.values[headSide]
	cell := Cell{Scenario: p.labels[s.name], Name: s.name, Unit: s.unit, NBase: len(base),
		NHead: len(head), P: 1,
		Rule: rule(s.unit), better: p.units.GetBetter(s.unit)}
	if p.units.GetAssumption(s.unit) == benchmath.AssumeExact {
		cell.Rule.Exact = true
		c.noteInexact(&cell, s)
	}
	cell.Bound = cell.Rule.Effect
	effect, asked := c.Effects[short(s.unit)]
	if asked {
		cell.Bound = effect
	}
	n := min(len(base), len(head))
	if f, ok := c.floor(&cell, s, n); ok {
		cell.Floor = f
		if asked && effect < f {
			return cell, &OptionError{"effect", fmt.Sprintf(
				"%s=%s cannot be told from noise: the same server measured twice differs by %s "+
					"in %s",
				short(s.unit), percent(effect), percent(f), cell.Scenario)}
		}
		cell.Bound = max(cell.Bound, f)
	}
	if len(base) > 0 {
		cell.Base = summary(base)
	}
	if len(head) > 0 {
		cell.Head = summary(head)
	}
	if n > 0 {
		cell.Estimate = estimate(base, head, cell.Rule.Points)
		if !cell.Rule.Exact {
			cell.P = benchmath.AssumeNothing.Compare(sample(base), sample(head)).P
			if cell.better != 0 {
				cell.P = directed(cell.P)
			}
		}
	}
	if cell.Rule.Exact { // one error in ten runs is no median: what is judged is shown
		cell.Base.Center, cell.Head.Center = stats.Mean(base), stats.Mean(head)
		if n > 0 {
			cell.Delta = change(stats.Mean(base), stats.Mean(head), cell.Rule.Points)
		}
	}
	return cell, nil
}

// floor is the noise floor of a cell for sides of n runs, false where there is none. Between sides
// whose rounds alternated, only what differs within a session tells them apart; otherwise what
// differs between sessions does as well.
func (c *Comparison) floor(cell *Cell, s *samples, n int) (floor float64, ok bool) {
	if cell.Rule.Exact {
		return 0, false
	}
	sessions := s.bySession()
	floor, ok = noise(sessions, n, cell.Rule.Points)
	if c.Alternation == Interleaved {
		return floor, ok
	}
	between, known := betweenSessions(sessions, cell.Rule.Points)
	if cell.between = known; known && !cell.Rule.Points {
		between = max(between, c.drift)
	}
	return max(floor, between), ok || known
}

// noteInexact notes where a unit that a file calls exact is not: the mean of such values is judged,
// and what is called an increase may be one that the base shows of itself.
func (c *Comparison) noteInexact(cell *Cell, s *samples) {
	for _, side := range []string{baseSide, headSide} {
		values := s.values[side]
		if len(values) == 0 || slices.Min(values) == slices.Max(values) {
			continue
		}
		c.Notes = append(c.Notes, fmt.Sprintf("%s of %s is assume=exact, but %s has %s to %s: "+
			"means are shown and judged", short(cell.Unit), cell.Scenario, side,
			format(slices.Min(values), cell.Unit), format(slices.Max(values), cell.Unit)))
	}
}

func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// summary is the median with its interval. Interpolation makes a NaN of it where the middle is
// among runs of +Inf; it is +Inf then.
func summary(values []float64) benchmath.Summary {
	s := benchmath.AssumeNothing.Summary(sample(values), 0.95)
	for _, f := range []*float64{&s.Center, &s.Hi} {
		if math.IsNaN(*f) {
			*f = math.Inf(1)
		}
	}
	if math.IsNaN(s.Lo) {
		s.Lo = slices.Min(values)
	}
	return s
}

// judge gives every cell its verdict.
func (c *Comparison) judge(lags map[string]float64) {
	var tested []int
	var p []float64
	for i := range c.Cells {
		if cell := &c.Cells[i]; cell.NBase > 0 && cell.NHead > 0 && !cell.Rule.Exact {
			tested, p = append(tested, i), append(p, cell.P)
		}
	}
	for j, adjusted := range holm(p) {
		c.Cells[tested[j]].P = adjusted
	}
	for i := range c.Cells {
		cell := &c.Cells[i]
		cell.Verdict = cell.verdict(c, len(tested))
		if cell.Verdict == Worse && strings.HasSuffix(cell.Unit, "-sec") &&
			short(cell.Unit) != "p99-lag" {
			if rise := lags[cell.Name]; rise > 0 && rise >= (cell.Head.Center-cell.Base.Center)/2 {
				cell.Verdict = Client
				cell.Why = fmt.Sprintf("the load generator's own lag rose by %s: measure again "+
					"on a quieter machine", format(rise, cell.Unit))
			}
		}
	}
	c.noteFew(len(tested))
}

// verdict judges one cell among so many that were tested.
func (cell *Cell) verdict(c *Comparison, tested int) Verdict {
	worse := -float64(cell.better) * cell.Delta
	switch {
	case cell.Rule.Sparse && cell.NBase < c.MinRuns && c.runs(cell.Name) >= c.MinRuns:
		return Sparse
	case cell.NBase == 0 || cell.NHead == 0:
		side, has := baseSide, headSide
		if cell.NHead == 0 {
			side, has = headSide, baseSide
		}
		cell.Why = fmt.Sprintf("%s has it, %s has not", has, side)
		return Missing
	case cell.Rule.Exact && cell.Delta == 0:
		return Same
	case cell.Rule.Exact && cell.better == 0:
		return Changed
	case cell.Rule.Exact:
		if worse > 0 {
			cell.Why = "any increase is one too many"
			return Worse
		}
		return Better
	case min(cell.NBase, cell.NHead) < c.MinRuns,
		minP(cell.NBase, cell.NHead)*float64(tested) > c.Alpha:
		return Few // see noteFew
	case cell.P > c.Alpha:
		return Same
	case math.Abs(cell.Delta) <= cell.Bound ||
		math.Abs(cell.Head.Center-cell.Base.Center) < cell.Rule.Min:
		return Small
	case cell.better == 0:
		return Changed
	case c.Alternation == SetApart && !cell.between && cell.drifts() &&
		math.Abs(cell.Delta) <= plausibleDrift:
		cell.Why = "worse, or the session"
		if worse <= 0 {
			cell.Why = "better, or the session"
		}
		return Undecided
	case worse > 0:
		cell.Why = "more than " + cell.boundText()
		return Worse
	}
	return Better
}

// boundText is by how much the cell may change before that matters, and why by so much.
func (cell *Cell) boundText() string {
	text := percent(cell.Bound)
	if cell.Rule.Points {
		text = strings.TrimSuffix(text, "%") + "pp"
	}
	if cell.Floor == cell.Bound {
		text += ", the noise floor"
		if cell.between {
			text += " between sessions"
		}
	}
	return text
}

// runs is how many runs of a benchmark the base has.
func (c *Comparison) runs(name string) int {
	n := 0
	for _, cell := range c.Cells {
		if cell.Name == name {
			n = max(n, cell.NBase)
		}
	}
	return n
}

// lags is how much the load generator's own lag rose from base to head, in seconds, by benchmark
// name.
func (p *pool) lags() map[string]float64 {
	rise := map[string]float64{}
	for _, s := range p.cells {
		base, head := s.values[baseSide], s.values[headSide]
		if short(s.unit) == "p99-lag" && len(base) > 0 && len(head) > 0 {
			rise[s.name] = summary(head).Center - summary(base).Center
		}
	}
	return rise
}

// Sound is nil where both files are whole and sound measurements, else a [*FailedError].
func (c *Comparison) Sound() error {
	if len(c.Failures) == 0 {
		return nil
	}
	return &FailedError{c.Failures}
}

// Decide is the gate: nil if nothing got worse and everything was measured. Else it is an
// [*Invalid] or an [*ApartError], which say that nothing can be decided, or a [*FailedError] or a
// [*Regression].
func (c *Comparison) Decide() error {
	if len(c.Unlike) > 0 {
		unlike := &UnlikeError{c.Unlike}
		return &Invalid{"unlike measurements: " + unlike.Error()}
	}
	// Where the load generator could explain what was measured, a server that got worse has
	// nevertheless got worse.
	sound := c.Sound()
	if slices.ContainsFunc(c.Failures, Failure.fails) {
		return sound
	}
	count := map[Verdict]int{}
	undecided := 0
	for i := range c.Cells {
		cell := &c.Cells[i]
		if cell.better == 0 {
			return &Invalid{fmt.Sprintf("nothing says whether more %s is better; the file needs "+
				"a line: Unit %s better=lower (or higher)", cell.Unit, cell.Unit)}
		}
		count[cell.Verdict]++
		if cell.Verdict == Undecided && cell.Fails() {
			undecided++
		}
	}
	var parts []string
	for _, v := range []Verdict{Worse, Missing, Few, Client} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	regression := &Regression{fmt.Sprintf("of %d cells %s", len(c.Cells), strings.Join(parts, ", "))}
	switch {
	case count[Worse]+count[Missing] > 0:
		return regression
	case count[Client] > 0:
		return &Invalid{fmt.Sprintf("invalid measurement: in %d of %d cells the load generator "+
			"itself became slower", count[Client], len(c.Cells))}
	case sound != nil: // more runs of what is disturbed would decide no more
		return sound
	case count[Few] > 0:
		return regression
	case undecided > 0:
		return &ApartError{undecided, len(c.Cells)}
	}
	return nil
}
