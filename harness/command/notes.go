package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// tellSteady writes a note for each run whose beginning is not like the rest of it.
func tellSteady(e *env, runs []record.Run, cut bool) {
	for _, run := range runs {
		name := strings.TrimSpace(run.Scenario + " " + run.Level.String())
		switch s := run.Steady; {
		case s.Growing:
			fmt.Fprintf(e.stdout, "note: %s, run %d: latency grew as long as the load lasted; the "+
				"server does not keep up\n", name, run.Index+1)
		case s.Found && s.Requests > 0 && cut:
			fmt.Fprintf(e.stdout, "note: %s, run %d: the first %s came before the steady state "+
				"and are left out\n", name, run.Index+1, beginning(s))
		case s.Found && s.Requests > 0:
			fmt.Fprintf(e.stdout, "note: %s, run %d: the first %s are unlike the rest; warm-up: "+
				"auto leaves them out\n", name, run.Index+1, beginning(s))
		}
	}
}

// tellUnproven writes a note for each scenario whose caches may not have been in the state that it
// asks for, since nothing shows that they were.
func tellUnproven(w io.Writer, side string, runs []record.Run) {
	told := map[string]bool{}
	for i := range runs {
		name := runs[i].Scenario
		if why := harness.Unproven(&runs[i]); why != "" && !told[name] {
			told[name] = true
			fmt.Fprintf(w, "note: %s%s: %s\n", side, name, why)
		}
	}
}

// tellUntil writes a note of how precisely the figure is known that decides when runs end.
func tellUntil(e *env, u *scenario.Until, runs []record.Run) {
	if u == nil || len(runs) == 0 {
		return
	}
	n, spread := runs[len(runs)-1].Index+1, harness.Spread(u, runs)
	if spread <= u.Within {
		fmt.Fprintf(e.stdout, "note: the median of %s is known within %.1f %% after %d runs\n",
			u.Figure, 100*spread, n)
	} else {
		fmt.Fprintf(e.stdout, "note: the median of %s is known within %.1f %% only after all %d "+
			"runs, not within %g %%\n", u.Figure, 100*spread, n, 100*u.Within)
	}
}

// beginning describes the part of a run before the steady state: its requests, and its time, unless
// they were all due at once, as in a closed loop.
func beginning(s record.Steady) string {
	if s.From < time.Millisecond {
		return fmt.Sprintf("%d requests", s.Requests)
	}
	return fmt.Sprintf("%d requests (%v)", s.Requests, s.From.Round(time.Millisecond))
}
