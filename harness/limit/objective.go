package limit

import (
	"fmt"
	"strings"
	"time"

	"loadstone/harness/load"
)

// ObjectiveForm is how an objective is written.
const ObjectiveForm = "ttft < 300ms, tpot < 50ms, e2e < 5s, job < 2m, or some of them"

// ParseObjective reads what one answer, or a whole job, must hold: limits, each an upper bound on
// one of its times.
func ParseObjective(s string) (load.Objective, error) {
	var o load.Objective
	bounds := map[string]*time.Duration{"ttft": &o.TTFT, "tpot": &o.TPOT, "e2e": &o.E2E, "job": &o.Job}
	for part := range strings.SplitSeq(s, ",") {
		l, err := ParseAny(part)
		if err != nil {
			return load.Objective{}, err
		}
		bound, ok := bounds[l.Unit]
		switch {
		case !ok || l.Op != "<":
			return load.Objective{}, fmt.Errorf("%q is not an upper bound on a time of an answer",
				l.Text)
		case *bound != 0:
			return load.Objective{}, fmt.Errorf("%s is given twice", l.Unit)
		case l.Duration() <= 0:
			return load.Objective{}, fmt.Errorf("%q leaves no time above 0", l.Text)
		}
		*bound = l.Duration()
	}
	return o, nil
}
