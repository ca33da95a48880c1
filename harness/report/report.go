// Package report turns the records and summaries of a load run into what people and tools read: the Go benchmark
// format, a baseline document in Markdown, one self-contained HTML page, and the table and progress line of a terminal.
//
// Everything is made from a [Report] value and nothing else, so that the same files can be made again from a stored one:
// record first, report later. [Report.WriteJSON] stores it, [Read] brings it back together with the raw records.
package report

import (
	"slices"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Report is one measurement of one subject: who was measured, on what machine, how, and what came out. Its JSON is
// results.json, in which the requests themselves are left out.
type Report struct {
	System    System        `json:"system"`
	Host      Host          `json:"host"`
	Load      Load          `json:"load"`
	Start     time.Time     `json:"start"`
	Epoch     time.Time     `json:"epoch,omitzero"` // of a load: when the clock of its records was 0
	StartUp   time.Duration `json:"start_up_ns"`    // from starting the subject to its being ready, model loading included; 0 when it was already up
	Scenarios []Scenario    `json:"scenarios"`      // in the order they are shown
	Stopped   string        `json:"stopped"`        // why the measurement ended early; "" when it is complete
	Client    Client        `json:"client"`

	// Violations are what in the records cannot be true, or tells of another agent's words in an answer. Any is a bug, of the
	// subject or of the client, and one to find before a latency is believed.
	Violations []string `json:"violations"`

	// Limits are the verdicts on what a scenario file expects. nil: the four targets of a baseline are judged.
	Limits []Verdict `json:"limits"`

	// Highest is what a search found: the highest level at which all limits held. The zero Level where none was searched or
	// none held.
	Highest load.Level `json:"highest,omitzero"`

	// An earlier measurement to set beside this one, which only the page does; nil: none.
	Comparison *gate.Comparison `json:"-"`
	Before     *Report          `json:"-"` // its requests, whose curves stand behind; nil where they are not at hand
}

// System says what was measured.
type System struct {
	Name    string `json:"name"` // "loadstone", or what the URL answered
	Version string `json:"version"`
	Commit  string `json:"commit"`
	URL     string `json:"url"`
	Model   string `json:"model"`
	Backend string `json:"backend"` // "ref", "mlx", "" when unknown
	Quant   string `json:"quant"`   // weights as the model stores them: "f32", "q4", "" when unknown
	Threads int    `json:"threads"` // threads the subject may use; 0 unknown

	// What the subject's process had used by the end of the measurement; 0 unknown.
	Memory int64         `json:"memory_bytes"` // resident
	CPU    time.Duration `json:"cpu_ns"`       // user and system
}

// Load says what was asked of the subject.
type Load struct {
	Runs         int      `json:"runs"`
	Reps         int      `json:"reps"`          // per run
	PromptTokens int      `json:"prompt_tokens"` // 0: the scenario's own
	MaxTokens    int      `json:"max_tokens"`
	Seed         uint64   `json:"seed"`
	Goodput      string   `json:"goodput,omitempty"` // what an answer must hold to be good, as limit.ParseObjective reads it
	Expect       []string `json:"expect,omitempty"`  // the limits of a scenario file, as they were written
	Search       string   `json:"search,omitempty"`  // what a search turned, "rate" or "concurrency"; "" it was none
	Shape        string   `json:"shape,omitempty"`   // when requests are due, in words: "poisson, 4/s"; "" closed, as bench's are
}

// Scenario is one scenario's results: all repetitions pooled, each run by itself, and the requests behind them.
type Scenario struct {
	Pooled  record.Summary   `json:"-"` // see MarshalJSON
	Runs    []record.Summary `json:"-"` // one benchmark line each
	Records []record.Record  `json:"-"`
	Warmup  []record.Record  `json:"-"` // unmeasured requests that filled the caches; they are in the raw records alone
	Samples []record.Sample  `json:"-"` // what the server said of itself meanwhile; none where it says nothing

	Again record.Again `json:"again,omitzero"` // what came of asking some of its questions again, alone

	Level        load.Level `json:"level,omitzero"` // one point of a sweep or a search; the zero Level otherwise. All its levels share Pooled.Scenario
	Agents       int        `json:"agents"`         // concurrent agents
	Cache        load.Cache `json:"cache"`          // state of the agents' caches when the clock starts
	PromptTokens int        `json:"prompt_tokens"`  // as asked; 0 unknown
	MaxTokens    int        `json:"max_tokens"`
	About        string     `json:"about"` // one sentence for the reader
}

// Name is what the scenario is called where its levels stand side by side.
func (s Scenario) Name() string {
	if s.Level.Kind == "" {
		return s.Pooled.Scenario
	}
	return s.Pooled.Scenario + " " + s.Level.String()
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

// at returns the scenario of that name and level, or nil.
func (r *Report) at(name string, level load.Level) *Scenario {
	for i := range r.Scenarios {
		if s := &r.Scenarios[i]; s.Pooled.Scenario == name && s.Level == level {
			return s
		}
	}
	return nil
}

// requests counts the requests sent and those answered in full.
func (r *Report) requests() (sent, ok int) {
	for i := range r.Scenarios {
		sent += r.Scenarios[i].Pooled.Requests
	}
	return sent, r.outcomes(record.OK)
}

// judged tells whether requests were held to an objective of their own.
func (r *Report) judged() bool {
	return slices.ContainsFunc(r.Scenarios, func(s Scenario) bool { return s.Pooled.Judged > 0 })
}

func (r *Report) outcomes(o record.Outcome) int {
	n := 0
	for i := range r.Scenarios {
		n += r.Scenarios[i].Pooled.Outcomes[o]
	}
	return n
}
