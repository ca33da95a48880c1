// Package verdict writes what a command has decided in the forms that continuous integration shows:
// Markdown for a step's summary or a comment on a change, GitHub's annotations, and JUnit's XML.
//
// A command that decides makes one [Verdict]; every form is of that, so that none says something
// else than the others.
package verdict

import (
	"fmt"
	"time"
)

// A Verdict is what was decided, and of what.
type Verdict struct {
	Name    string  // of what decided: "gate", "check"
	Outcome Outcome // all in all
	Why     string  // it did not pass, in one line; "" it did

	// Advisory says that nothing fails for it: it is only reported.
	Advisory bool

	Sections []Section
	Summary  string    // a line below them; "" none
	Notes    []string  // what a reader should know beside the cases
	Advice   []Snippet // what to do about it
	Time     time.Time // when it was decided
	Took     time.Duration
}

// An Outcome is how a verdict ends.
type Outcome string

const (
	Passed    Outcome = "pass"
	Failed    Outcome = "fail"
	Undecided Outcome = "undecided" // neither can be said
)

// A Section is a table of cases.
type Section struct {
	Title   string   // of the section and of its cases in JUnit
	Columns []string // of the cases' group ("": there is none), name and cells, and of their text
	Cases   []Case
}

// A Case is one thing that was judged.
type Case struct {
	Group, Name string // such as a scenario and a unit
	Cells       []string
	State       State
	Text        string // in one line; of what fails, why
	Details     []string
}

// A State is what a case came to.
type State string

const (
	Good     State = "good"
	Bad      State = "bad"      // it keeps the verdict from passing
	Open     State = "open"     // it cannot be told
	Accepted State = "accepted" // it is bad, and somebody has accepted that
)

// A Snippet is text to copy.
type Snippet struct {
	About string
	Lines []string
}

// count is how many cases have a state.
func (v *Verdict) count(state State) int {
	n := 0
	for _, s := range v.Sections {
		for i := range s.Cases {
			if s.Cases[i].State == state {
				n++
			}
		}
	}
	return n
}

// Headline is the verdict in one line.
func (v *Verdict) Headline() string {
	line := v.Name + ": " + string(v.Outcome)
	if n := v.count(Accepted); n > 0 {
		line += fmt.Sprintf(", %d accepted", n)
	}
	if v.Outcome != Passed {
		line = v.Name + ": " + v.Why
	}
	if v.Advisory && v.Outcome != Passed {
		line += " (advisory: nothing fails for it)"
	}
	return line
}
