package bisect

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"loadstone/harness/table"
)

// An Ending is how a search ended.
type Ending string

const (
	Found       Ending = "found"        // the commits are named
	NoChange    Ending = "no change"    // the bad commit is no worse than the good one
	Drifts      Ending = "drifts"       // it got worse, and no single commit made it so
	BudgetSpent Ending = "budget spent" // none of these is sure yet
	Interrupted Ending = "interrupted"  // the same, before the budget was spent
)

// A Change is by how much it got worse: 0.05 is 5 %, with the interval of 90 %.
type Change struct{ By, Lo, Hi float64 }

// A Suspect is a range of commits, all of which may have made the change.
type Suspect struct {
	From, To int     // the first and the last
	P        float64 // the probability that it got worse in them
	Change   Change  // if it did
}

// A Skip is a commit that could not be built or measured.
type Skip struct {
	Commit int
	Why    error
}

// A Result is what a search found.
type Result struct {
	Ending   Ending
	Culprits []Suspect // that are sure, in the order of the history
	Suspects []Suspect // all ranges, the most probable first
	Whole    Change    // from the good commit to the bad one
	None     float64   // the probability that there is no change
	Several  float64   // the probability that there is more than one
	Drift    float64   // the probability that each commit made it a little worse

	Sessions  []Session
	Builds    int
	Skips     []Skip
	Took      time.Duration
	SessionSD float64       // of the logarithm that a session measures, of one build
	More      time.Duration // that are needed after a budget that was too small; 0 not known
}

// Write writes the result for people: subject is what was measured, such as p50-e2e of
// concurrent-5.
func (r *Result) Write(w io.Writer, commits []Commit, subject string, effect float64) error {
	var b strings.Builder
	switch {
	case r.Ending == NoChange && len(r.Sessions) == 0:
		fmt.Fprintf(&b, "no change: the builds of %s and %s are one program\n", name(commits, 0),
			name(commits, len(commits)-1))
		_, err := io.WriteString(w, b.String())
		return err
	case r.Ending == NoChange:
		fmt.Fprintf(&b, "no change: %s of %s is %s against %s, worse by %s or more with probability %s\n",
			subject, name(commits, len(commits)-1), r.Whole, name(commits, 0), percent(effect),
			percent(1-r.None))
	case r.Ending == Drifts:
		n := len(commits) - 1
		fmt.Fprintf(&b, "no single commit: %s drifts, with probability %s: %s from %s to %s, "+
			"%s with each of %s\n", subject, percent(r.Drift), r.Whole, name(commits, 0),
			name(commits, n), r.Whole.each(n), table.Plural(n, "commit"))
	case len(r.Culprits) > 0:
		for _, c := range r.Culprits {
			c.write(&b, commits, subject, r.Skips)
		}
		if rest := r.Several; len(r.Culprits) == 1 && rest >= 0.1 {
			fmt.Fprintf(&b, "with probability %s it is not the only one\n", percent(rest))
		}
	}
	if r.Ending == BudgetSpent || r.Ending == Interrupted {
		r.writeOpen(&b, commits, subject, effect)
	}
	fmt.Fprintf(&b, "%s of %s in %s; a build differs by %s from session to session\n",
		table.Plural(len(r.Sessions), "session"), table.Plural(r.Builds, "build"), minutes(r.Took),
		percent(r.SessionSD))
	if n := len(r.Skips); n > 0 {
		fmt.Fprintf(&b, "%s could not be built or measured\n", table.Plural(n, "commit"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// write writes a suspect that is sure.
func (s *Suspect) write(b *strings.Builder, commits []Commit, subject string, skips []Skip) {
	if s.From == s.To {
		fmt.Fprintf(b, "%s is where %s got worse, with probability %s: %s\n  %s\n", commits[s.To].Short(),
			subject, percent(s.P), s.Change, commits[s.To].Subject)
		return
	}
	fmt.Fprintf(b, "one of %s is where %s got worse, with probability %s: %s\n",
		table.Plural(s.To-s.From+1, "commit"), subject, percent(s.P), s.Change)
	for i := s.From; i <= s.To; i++ {
		fmt.Fprintf(b, "  %s %s%s\n", commits[i].Short(), commits[i].Subject, skipped(skips, i))
	}
}

// skipped says of a commit that it could not be measured, "" where it could.
func skipped(skips []Skip, commit int) string {
	for _, s := range skips {
		if s.Commit == commit {
			return " (" + table.OneLine(s.Why.Error()) + ")"
		}
	}
	return ""
}

// writeOpen writes what remains likely.
func (r *Result) writeOpen(b *strings.Builder, commits []Commit, subject string, effect float64) {
	const listed = 5
	why := "the budget was too small"
	if r.Ending == Interrupted {
		why = "interrupted"
	}
	if len(r.Culprits) > 0 {
		fmt.Fprintf(b, "%s: whether there are others is not sure:\n", why)
	} else {
		fmt.Fprintf(b, "%s: which commit made %s worse is not sure.\n", why, subject)
		fmt.Fprintf(b, "%s is %s against %s. What remains likely:\n", name(commits, len(commits)-1),
			r.Whole, name(commits, 0))
	}
	for i, s := range r.Suspects {
		if i == listed || s.P < 0.02 {
			break
		}
		if s.From == s.To {
			fmt.Fprintf(b, "  %5s  %s %s, %s\n", percent(s.P), commits[s.To].Short(), s.Change,
				commits[s.To].Subject)
			continue
		}
		fmt.Fprintf(b, "  %5s  %s to %s, %s, %s\n", percent(s.P), commits[s.From].Short(),
			commits[s.To].Short(), table.Plural(s.To-s.From+1, "commit"), s.Change)
	}
	if r.None >= 0.02 {
		fmt.Fprintf(b, "  %5s  none: no change of %s\n", percent(r.None), percent(effect))
	}
	if r.Drift >= 0.02 {
		fmt.Fprintf(b, "  %5s  no single one: it drifts, by %s with each commit\n", percent(r.Drift),
			r.Whole.each(len(commits)-1))
	}
	if r.Ending == Interrupted {
		return
	}
	if r.More > 0 {
		fmt.Fprintf(b, "about %s more would do, in half of all cases\n", minutes(r.More))
	} else if len(r.Sessions) > 0 {
		b.WriteString("how much more time would do cannot be told: more than eighty steps\n")
	}
}

func name(commits []Commit, i int) string { return commits[i].Short() }

func (c Change) String() string {
	return fmt.Sprintf("%+.1f %% (%+.1f … %+.1f %%)", 100*c.By, 100*c.Lo, 100*c.Hi)
}

// each is the change of one of so many commits that drift.
func (c Change) each(n int) string {
	return fmt.Sprintf("%+.2g %%", 100*math.Expm1(math.Log1p(c.By)/float64(n)))
}

// percent is a probability or a share; what is almost sure is not called sure.
func percent(v float64) string {
	switch {
	case v > 0.99 && v < 1:
		return "> 99 %"
	case v > 0 && v < 0.001:
		return "< 0.1 %"
	case v < 0.1:
		return fmt.Sprintf("%.2g %%", 100*v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// minutes is a time that is planned with.
func minutes(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return d.Round(time.Second).String()
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// String is what the session measured, with the scatter of its rounds.
func (s Session) String() string {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range s.Ratios {
		lo, hi = min(lo, r), max(hi, r)
	}
	return fmt.Sprintf("%+.1f %% (rounds %+.1f … %+.1f %%)", 100*math.Expm1(s.Center()),
		100*math.Expm1(lo), 100*math.Expm1(hi))
}
