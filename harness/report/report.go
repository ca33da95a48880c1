// Package report turns the records and summaries of a load run into what people and tools read: the Go benchmark
// format, a baseline document in Markdown, one self-contained HTML page, and the table and progress line of a terminal.
//
// Everything is made from a [Report] value and nothing else, so that the same files can be made again from a stored one.
package report

import (
	"time"

	"loadstone/harness"
)

// A Report is one measurement of one subject: who was measured, on what machine, how, and what came out.
type Report struct {
	System    System
	Host      Host
	Load      Load
	Start     time.Time
	StartUp   time.Duration // from starting the subject to its being ready, model loading included; 0 when it was already up
	Scenarios []Scenario    // in the order they are shown
	Stopped   string        // why the measurement ended early; "" when it is complete

	// Limits are the verdicts on what a scenario file expects. nil: the four targets of a baseline are judged.
	Limits []Verdict

	// Highest is what a search found: the highest level at which all limits held. The zero Level where none was searched or
	// none held.
	Highest harness.Level
}

// System says what was measured.
type System struct {
	Name    string // "loadstone", or what the URL answered
	Version string
	Commit  string
	URL     string
	Model   string
	Backend string // "ref", "metal", "" when unknown
	Quant   string // weights as the model stores them: "f32", "q4", "" when unknown
	Threads int    // threads the subject may use; 0 unknown

	// What the subject's process had used by the end of the measurement; 0 unknown.
	Memory int64         // resident, bytes
	CPU    time.Duration // user and system
}

// Load says what was asked of the subject.
type Load struct {
	Runs, Reps   int // Reps per run
	PromptTokens int // 0: the scenario's own
	MaxTokens    int
	Seed         uint64
	Shape        string // when requests are due, in words: "poisson, 4/s"; "" closed, as bench's are
}

// Scenario is one scenario's results: all repetitions pooled, each run by itself, and the requests behind them.
type Scenario struct {
	Pooled  harness.Summary
	Runs    []harness.Summary // one benchmark line each
	Records []harness.Record
	Warmup  []harness.Record // unmeasured requests that filled the caches; they are in the raw records alone
	Samples []harness.Sample // what the server said of itself meanwhile; none where it says nothing

	Level        harness.Level // one point of a sweep or a search; the zero Level otherwise. All its levels share Pooled.Scenario
	Agents       int           // concurrent agents
	Cache        string        // state of the agents' caches when the clock starts: "cold", "warm", "restored"
	PromptTokens int           // as asked; 0 unknown
	MaxTokens    int
	About        string // one sentence for the reader
}

// find returns the scenario called name, or nil.
func (r *Report) find(name string) *Scenario {
	for i := range r.Scenarios {
		if r.Scenarios[i].Pooled.Scenario == name {
			return &r.Scenarios[i]
		}
	}
	return nil
}

// requests counts the requests sent and those answered in full.
func (r *Report) requests() (sent, ok int) {
	for i := range r.Scenarios {
		sent += r.Scenarios[i].Pooled.Requests
	}
	return sent, r.outcomes(harness.OK)
}

func (r *Report) outcomes(o harness.Outcome) int {
	n := 0
	for i := range r.Scenarios {
		n += r.Scenarios[i].Pooled.Outcomes[o]
	}
	return n
}
