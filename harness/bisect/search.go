package bisect

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"loadstone/harness/stats"
)

// A Search looks for the commits of a history at which a server got worse.
type Search struct {
	// Commits is how many there are, from the good one, 0, to the bad one, Commits-1.
	Commits int
	// Budget is how long it may take; the step under way is ended nevertheless.
	Budget time.Duration
	// Effect is the smallest change that matters, 0.02 for 2 %, which is what 0 means.
	Effect float64
	// Confidence is how probable a commit must be to be named; 0 is 0.95.
	Confidence float64
	// Rounds is how many a session has.
	Rounds int

	// Build builds a commit. The text is the same for two builds that are the same program, ""
	// where that is not known. A [*SkipError] says that it cannot be built; any other error ends
	// the search.
	Build func(ctx context.Context, commit int) (program string, err error)
	// Measure measures a commit that was built against the good one and returns the logarithms of
	// how many times as bad it was in each round. A [*SkipError] says that it cannot be measured;
	// any other error ends the search.
	Measure func(ctx context.Context, commit int) ([]float64, error)

	// Earlier are sessions of a search that ended before, which this one continues.
	Earlier []Session
	// OnStep, unless nil, is called after each step.
	OnStep func(Step)
}

// A SkipError says that a commit cannot be built or measured, so that the search goes on without.
type SkipError struct {
	Commit int
	Err    error
}

func (e *SkipError) Error() string { return e.Err.Error() }
func (e *SkipError) Unwrap() error { return e.Err }

// A Step is what the search did and what it believes after it.
type Step struct {
	Commit  int
	Built   time.Duration // how long the build took; 0: it was there
	Same    int           // the commit whose build is the same program, -1 there is none
	Skipped error         // why there is no session; nil: there is one
	Session Session
	Took    time.Duration // of the session
	Left    time.Duration // of the budget
	Result  *Result       // what would be said if the search ended here
}

// A search is a Search under way.
type search struct {
	*Search
	*belief
	built    []bool
	broken   []bool
	programs []string
	skips    []Skip

	builds, measures []float64 // seconds that each took
	start            time.Time
}

// Run searches until one of these holds: it has found the commits; it has shown that there is no
// change, or that no single commit makes it; or it has spent the budget. An error, such as that of
// a context that ends, comes with what was found until then.
func (s Search) Run(ctx context.Context) (*Result, error) {
	if s.Commits < 2 {
		return nil, errors.New("bisect: want two commits or more")
	}
	if s.Effect == 0 {
		s.Effect = 0.02
	}
	if s.Confidence == 0 {
		s.Confidence = 0.95
	}
	u := &search{Search: &s, belief: newBelief(s.Commits, math.Log1p(s.Effect)),
		built: make([]bool, s.Commits), broken: make([]bool, s.Commits),
		programs: make([]string, s.Commits), start: time.Now()}
	for _, old := range s.Earlier {
		u.add(old)
	}
	err := u.run(ctx)
	r := u.result()
	switch {
	case r.Ending != BudgetSpent:
	case err != nil:
		r.Ending = Interrupted
	default:
		r.More = u.forecast()
	}
	return r, err
}

func (u *search) run(ctx context.Context) error {
	for _, end := range []int{0, u.n - 1} {
		if err := u.build(ctx, end, &Step{}); err != nil {
			return err
		}
	}
	for {
		next, ok := u.next()
		if !ok || u.ending() != BudgetSpent {
			return nil
		}
		cost := u.cost().of(u.built[next.commit])
		if len(u.measures) > 0 && time.Duration(cost*float64(time.Second)) > u.left() {
			return nil
		}
		if err := u.step(ctx, next.commit); err != nil {
			return err
		}
	}
}

func (u *search) left() time.Duration { return u.Budget - time.Since(u.start) }

// next is the step to take: the ends first, the good build against itself among them, because what
// differs between them is what is looked for.
func (u *search) next() (step, bool) {
	switch last := u.n - 1; {
	case u.measured(last) == 0:
		return step{commit: last}, true
	case u.measured(0) == 0:
		return step{commit: 0}, true
	case u.measured(last) == 1:
		return step{commit: last}, true
	}
	if commit, ok := u.unconfirmed(); ok {
		return step{commit: commit}, true
	}
	if u.drifting() >= u.Confidence {
		if commit := u.unseen(); commit >= 0 {
			return step{commit: commit}, true
		}
	}
	return u.choose(u.built, u.broken, u.cost(), u.Rounds)
}

// cost is what steps have cost so far.
func (u *search) cost() costs {
	c := costs{build: 60, session: 60}
	if len(u.builds) > 0 {
		c.build = stats.Mean(u.builds)
	}
	if len(u.measures) > 0 {
		c.session = stats.Mean(u.measures)
	}
	return c
}

// step builds a commit, where it is not built, and measures it.
func (u *search) step(ctx context.Context, commit int) error {
	done := Step{Commit: commit, Same: -1}
	err := u.build(ctx, commit, &done)
	var skip *SkipError
	if err == nil && (done.Same < 0 || u.measured(commit) == 0) {
		began := time.Now()
		var ratios []float64
		if ratios, err = u.Measure(ctx, commit); err == nil {
			done.Session, done.Took = Session{commit, ratios}, time.Since(began)
			u.measures = append(u.measures, done.Took.Seconds())
			u.add(done.Session)
		}
	}
	if errors.As(err, &skip) {
		if commit == 0 || commit == u.n-1 {
			return err
		}
		u.skip(commit, skip.Err)
		done.Skipped, err = skip.Err, nil
	}
	if err == nil && u.OnStep != nil {
		done.Left, done.Result = u.left(), u.result()
		u.OnStep(done)
	}
	return err
}

func (u *search) skip(commit int, why error) {
	u.broken[commit] = true
	u.skips = append(u.skips, Skip{commit, why})
}

// build builds a commit and finds out whether it is the same program as one that was built before:
// nothing between the two changes anything then.
func (u *search) build(ctx context.Context, commit int, done *Step) error {
	if u.built[commit] {
		return nil
	}
	began := time.Now()
	program, err := u.Build(ctx, commit)
	if err != nil {
		return err
	}
	done.Built = time.Since(began)
	u.builds = append(u.builds, done.Built.Seconds())
	u.built[commit], u.programs[commit] = true, program
	if program == "" {
		return nil
	}
	for other, p := range u.programs {
		if other != commit && p == program {
			u.join(min(commit, other), max(commit, other))
			done.Same = other
		}
	}
	return nil
}

// confirmed reports whether a point before which the level changes, and the one before that, were
// measured twice: one session may be disturbed as a whole.
func (u *search) confirmed(point int) bool {
	return u.unsure(point) < 0
}

// unsure is the commit beside a change that has only one session, -1 where there is none.
func (u *search) unsure(point int) int {
	for _, p := range []int{point, point - 1} {
		if commit := u.points[p]; p > 0 && u.measured(commit) < 2 {
			return commit
		}
	}
	return -1
}

// located reports whether no commit between a point and the one before it can be measured.
func (u *search) located(point int) bool {
	for i := u.points[point-1] + 1; i < u.points[point]; i++ {
		if !u.broken[i] && !u.excluded[i] {
			return false
		}
	}
	return true
}

// unconfirmed is a commit to measure once more before a change beside it is believed.
func (u *search) unconfirmed() (int, bool) {
	for j := 1; j < len(u.points); j++ {
		if u.located(j) && u.changed(j) >= u.Confidence {
			if commit := u.unsure(j); commit >= 0 {
				return commit, true
			}
		}
	}
	return 0, false
}

// culprits are the points before which the level changes surely, and where that is located.
func (u *search) culprits() (points []int) {
	for j := 1; j < len(u.points); j++ {
		if u.located(j) && u.confirmed(j) && u.changed(j) >= u.Confidence {
			points = append(points, j)
		}
	}
	return points
}

// ending reports whether the search is over, and how; BudgetSpent where it is not.
func (u *search) ending() Ending {
	if u.same[u.n-1] == 0 {
		return NoChange
	}
	if u.measured(u.n-1) < 2 {
		return BudgetSpent
	}
	if u.number(0) >= u.Confidence {
		return NoChange
	}
	if u.drifting() >= u.Confidence && u.unseen() < 0 {
		return Drifts
	}
	if found := len(u.culprits()); found > 0 && u.more(found) < 0.2 {
		return Found
	}
	return BudgetSpent
}

// more is the probability that there are more than so many changes.
func (u *search) more(found int) float64 {
	p := 0.0
	for n := found + 1; n <= maxChanges; n++ {
		p += u.number(n)
	}
	return p
}

// result is what the search knows.
func (u *search) result() *Result {
	r := &Result{Ending: u.ending(), None: u.number(0), Several: u.more(1), Drift: u.drifting(),
		Sessions: slices.Clone(u.sessions), Builds: len(u.builds), Skips: slices.Clone(u.skips),
		Took: time.Since(u.start), SessionSD: u.sessionSD(u.Rounds)}
	r.Whole = u.change(len(u.points) - 1)
	for _, j := range u.culprits() {
		r.Culprits = append(r.Culprits, u.suspect(j))
	}
	for j := 1; j < len(u.points); j++ {
		r.Suspects = append(r.Suspects, u.suspect(j))
	}
	slices.SortStableFunc(r.Suspects, func(a, b Suspect) int {
		switch {
		case a.P > b.P:
			return -1
		case a.P < b.P:
			return 1
		}
		return 0
	})
	return r
}

// suspect is the change before a point.
func (u *search) suspect(point int) Suspect {
	s := Suspect{From: u.points[point-1] + 1, To: u.points[point], P: u.changed(point)}
	for s.From < s.To && u.excluded[s.From] {
		s.From++
	}
	for s.From < s.To && u.excluded[s.To] {
		s.To--
	}
	var mean, square, sum float64
	for i := range u.found {
		h := &u.found[i]
		if !slices.Contains(h.changes, point) {
			continue
		}
		m, sd := u.jump(h, point)
		mean, square, sum = mean+h.p*m, square+h.p*(m*m+sd*sd), sum+h.p
	}
	if sum > 0 {
		mean, square = mean/sum, square/sum
		s.Change = around(mean, math.Sqrt(max(square-mean*mean, 0)))
	}
	return s
}

// change is the level of a point.
func (u *search) change(point int) Change {
	mean, square := 0.0, 0.0
	for i := range u.found {
		m, sd := u.level(&u.found[i], point)
		mean, square = mean+u.found[i].p*m, square+u.found[i].p*(m*m+sd*sd)
	}
	return around(mean, math.Sqrt(max(square-mean*mean, 0)))
}

// around is a change with its interval of 90 %, of logarithms.
func around(mean, sd float64) Change {
	return Change{math.Expm1(mean), math.Expm1(mean - 1.645*sd), math.Expm1(mean + 1.645*sd)}
}
