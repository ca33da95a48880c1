package load

import (
	"strings"
	"time"
)

// An Objective bounds the times of one answer that is of use to its reader, and of a job that is.
// The goodput is the number of answers a second that hold the objective (Zhong et al., DistServe,
// arXiv 2401.09670). A zero time bounds nothing.
type Objective struct {
	TTFT time.Duration // due to first token, less than
	TPOT time.Duration // per token after the first, less than
	E2E  time.Duration // due to end, less than

	// Job bounds a whole job, from when its first call was due to the end of its last answer. It says
	// nothing of the answers.
	Job time.Duration
}

// OfAnswers reports whether the objective bounds a time of an answer.
func (o Objective) OfAnswers() bool { return o.TTFT > 0 || o.TPOT > 0 || o.E2E > 0 }

// String is the objective as it is written, "" where it bounds nothing.
func (o Objective) String() string {
	var parts []string
	for _, p := range []struct {
		name  string
		bound time.Duration
	}{{"ttft", o.TTFT}, {"tpot", o.TPOT}, {"e2e", o.E2E}, {"job", o.Job}} {
		if p.bound > 0 {
			parts = append(parts, p.name+" < "+p.bound.String())
		}
	}
	return strings.Join(parts, ", ")
}
