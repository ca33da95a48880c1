package load

import (
	"fmt"
	"strings"
	"time"
)

// An Objective is what one answer must hold to be of use to whoever waits for it. Those that do, by the second, are the
// goodput (Zhong et al., DistServe, arXiv 2401.09670). A zero time is no bound.
type Objective struct {
	TTFT time.Duration // due to first token, less than
	TPOT time.Duration // per token after the first, less than
	E2E  time.Duration // due to end, less than
}

// ObjectiveForm is how an Objective is written.
const ObjectiveForm = "ttft < 300ms, tpot < 50ms, e2e < 5s, or some of them"

// ParseObjective reads an objective.
func ParseObjective(s string) (Objective, error) {
	var o Objective
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(part, "<")
		bound, ok := map[string]*time.Duration{"ttft": &o.TTFT, "tpot": &o.TPOT, "e2e": &o.E2E}[strings.TrimSpace(name)]
		if !ok {
			return Objective{}, fmt.Errorf("%q", part)
		}
		if *bound != 0 {
			return Objective{}, fmt.Errorf("%s is given twice", strings.TrimSpace(name))
		}
		d, err := time.ParseDuration(strings.TrimSpace(value))
		if err != nil || d <= 0 {
			return Objective{}, fmt.Errorf("%q is no time above 0", strings.TrimSpace(value))
		}
		*bound = d
	}
	return o, nil
}

// String is the objective as it is written, "" where it bounds nothing.
func (o Objective) String() string {
	var parts []string
	for _, p := range []struct {
		name  string
		bound time.Duration
	}{{"ttft", o.TTFT}, {"tpot", o.TPOT}, {"e2e", o.E2E}} {
		if p.bound > 0 {
			parts = append(parts, p.name+" < "+p.bound.String())
		}
	}
	return strings.Join(parts, ", ")
}
