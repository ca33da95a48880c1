// Package report makes of the runs of a measurement what people and tools read: the Go benchmark
// format, a baseline document in Markdown, tables for a console and a spreadsheet, and
// results.json. Package page draws it as a page of HTML.
//
// Everything is made from a [Report] and nothing else, so that the same files can be made again
// from a stored one: record first, report later. [New] makes one of runs, [Report.WriteJSON] stores
// it, and [Read] brings it back together with the raw records.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Report is one measurement of one server: what was measured, on what machine, how, and what came
// of it. Its JSON is results.json, in which the requests themselves are left out.
type Report struct {
	Meta
	Results []Result `json:"scenarios"` // in the order in which they are shown

	// Violations are what in the records cannot be true, and words of another agent in an answer.
	// Any of them is an error of the server or of the client, to be found before a latency is
	// believed.
	Violations []string `json:"violations"`

	// Limits are what became of the limits of the workload. nil: the four targets of a baseline are
	// judged in their place.
	Limits []limit.Outcome `json:"limits"`
}

// Meta is what the runs do not say of a measurement.
type Meta struct {
	System   System    `json:"system"`
	Host     Host      `json:"host"`
	Workload Workload  `json:"load"`
	Start    time.Time `json:"start"`
	// Interleaved says that the measurement is one side of several whose rounds alternated, all with
	// the same Start.
	Interleaved bool      `json:"interleaved,omitempty"`
	Epoch       time.Time `json:"epoch,omitzero"` // when the clock of the records was 0
	// StartUp is the time from starting the server until it was ready; 0 unknown.
	StartUp time.Duration `json:"start_up_ns"`
	// Stopped says why the measurement ended early; "" it is complete.
	Stopped   string    `json:"stopped"`
	Generator Generator `json:"client"`

	// Proof is what the measurement is known by afterwards; nil in those of earlier versions.
	Proof *Proof `json:"proof,omitempty"`

	// Highest is what a search found: the highest level at which all limits held. It is the zero
	// Level where nothing was searched, or no level held.
	Highest load.Level `json:"highest,omitzero"`
}

// A Proof says what a measurement was made with and of: SHA-256 sums, in hexadecimal digits.
type Proof struct {
	Program string `json:"program_sha256,omitempty"` // of the load generator's executable
	// Server is of the server's executable, where this program started it.
	Server string `json:"server_sha256,omitempty"`
	// Model are the files of the model, where they are on this machine: those of a server that this
	// program started.
	Model []Sum `json:"model_files,omitempty"`
	// Fingerprints are what the server calls its model and settings in its answers.
	Fingerprints []string `json:"system_fingerprints,omitempty"`
	// Raw are the files that all figures are computed from.
	Raw []Sum `json:"raw_files"`
}

// A Sum is a file's.
type Sum struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A System is the server that was measured.
type System struct {
	Name    string `json:"name"` // "loadstone", or what the server calls itself
	Version string `json:"version"`
	Commit  string `json:"commit"`
	URL     string `json:"url"`
	Model   string `json:"model"`
	Backend string `json:"backend"` // "ref", "mlx", "" unknown
	Quant   string `json:"quant"`   // weights as the model stores them: "f32", "q4", "" unknown
	Threads int    `json:"threads"` // threads that the server may use; 0 unknown

	// AdmitBelow is the utilisation of its KV pool, 0 to 1, from which on the server refuses new
	// work, as its metrics say; 0 unknown.
	AdmitBelow float64 `json:"admit_below_ratio,omitempty"`

	// ReuseTokens is the tokens in whole numbers of which a server reuses prompts, as its metrics say;
	// 0 and 1: every one.
	ReuseTokens int `json:"reuse_tokens,omitempty"`

	// What the server's process had used by the end of the measurement; 0 unknown.
	Memory int64         `json:"memory_bytes"` // resident
	CPU    time.Duration `json:"cpu_ns"`       // user and system
}

// admitBelowUnknown is the utilisation from which on a server is taken to refuse work where its
// metrics do not say: that of every loadstone that did not publish it.
const admitBelowUnknown = 0.9

// PoolLimit is the utilisation of the KV pool from which on the server refuses new work.
func (s *System) PoolLimit() float64 { return cmp.Or(s.AdmitBelow, admitBelowUnknown) }

// A Workload is what was asked of the server.
type Workload struct {
	Runs         int    `json:"runs"`
	Reps         int    `json:"reps"`          // repetitions in a run
	PromptTokens int    `json:"prompt_tokens"` // of a first prompt; 0: the scenario's own
	MaxTokens    int    `json:"max_tokens"`
	Seed         uint64 `json:"seed"`
	// Goodput is what a good answer must hold, as limit.ParseObjective reads it.
	Goodput string `json:"goodput,omitempty"`
	// Body is how the requests' bodies differ from what every OpenAI server takes; "": in nothing.
	Body string `json:"body,omitempty"`
	// API is the one in which the server was asked; "" is chat.
	API string `json:"api,omitempty"`
	// Expect are the limits of a scenario file, as they were written.
	Expect []string `json:"expect,omitempty"`
	// Part is the share of the load that was asked, as load.ParseShare reads it; "" all of it.
	Part string `json:"part,omitempty"`
	// Search is what a search varied, "rate" or "concurrency"; "" nothing.
	Search string `json:"search,omitempty"`
	// Shape says in words when requests are due; "" one after the other, as those of bench.
	Shape string `json:"shape,omitempty"`
}

// objective is what an answer must hold to be good; the zero Objective where none is judged.
func (w *Workload) objective() load.Objective {
	o, err := limit.ParseObjective(w.Goodput)
	if err != nil {
		return load.Objective{}
	}
	return o
}

// A Result is what one scenario came to, or one level of it: all repetitions pooled, each run by
// itself, and the requests behind them.
type Result struct {
	Pooled  record.Summary   `json:"-"` // see MarshalJSON
	Runs    []record.Summary `json:"-"` // one benchmark line each
	Records []record.Record  `json:"-"`
	Warmup  []record.Record  `json:"-"` // unmeasured requests; they are in the raw records alone
	// Samples are what the server said of itself meanwhile; none: it says nothing.
	Samples []record.Sample `json:"-"`

	// Asked is the identity of the load, at the level; nil unknown.
	Asked load.Identity `json:"load_identity,omitempty"`

	Again record.Again `json:"again,omitzero"` // what came of asking some questions again, alone
	// recorded calls that were not sent, since they exceed the server's context
	Skipped int `json:"skipped_calls,omitzero"`
	// Made is what the requests can be made again from; nil: they cannot.
	Made *record.Asked `json:"requests_from,omitempty"`

	// Level is one point of a sweep or a search, of whose results all have the same scenario; the
	// zero Level otherwise.
	Level  load.Level `json:"level,omitzero"`
	Agents int        `json:"agents"` // at a time; 0 unknown
	// Cache is what the agents' caches held when the clock started.
	Cache        load.Cache `json:"cache"`
	PromptTokens int        `json:"prompt_tokens"` // of a first prompt, as asked; 0 unknown
	MaxTokens    int        `json:"max_tokens"`
	About        string     `json:"about"` // one sentence for the reader
}

// Name is the scenario's name, with the level where the scenario has several.
func (r *Result) Name() string { return name(r.Pooled.Scenario, r.Level) }

func name(scenario string, level load.Level) string {
	return strings.TrimSpace(scenario + " " + level.String())
}

// At is the result of a scenario at a level, or nil.
func (r *Report) At(scenario string, level load.Level) *Result {
	for i := range r.Results {
		if s := &r.Results[i]; s.Pooled.Scenario == scenario && s.Level == level {
			return s
		}
	}
	return nil
}

// Date is when the measurement began, "" where only its records are known.
func (r *Report) Date(layout string) string {
	if r.Start.IsZero() {
		return ""
	}
	return r.Start.Format(layout)
}

// HasObjective reports whether requests were held to an objective of their own.
func (r *Report) HasObjective() bool {
	return slices.ContainsFunc(r.Results, func(s Result) bool { return s.Pooled.Judged > 0 })
}

// Reuse is in what the ceiling of hits is counted.
func (r *Report) Reuse() string {
	if n := r.System.ReuseTokens; n > 1 {
		return fmt.Sprintf("whole blocks of %d tokens", n)
	}
	return "tokens"
}

// HasJobs reports whether some session had several calls.
func (r *Report) HasJobs() bool {
	return slices.ContainsFunc(r.Results, func(s Result) bool { return s.Pooled.Jobs.N > 0 })
}

// CountsPieces reports whether pieces of answers stand for tokens, because the server reports no
// usage.
func (r *Report) CountsPieces() bool {
	return slices.ContainsFunc(r.Results, func(s Result) bool { return s.Pooled.Pieces > 0 })
}

// Again is what came of asking questions again, alone, in all results.
func (r *Report) Again() record.Again {
	var all record.Again
	for i := range r.Results {
		all = all.Add(r.Results[i].Again)
	}
	return all
}

// requests counts the requests that were sent and those that were answered in full.
func (r *Report) requests() (sent, ok int) {
	for i := range r.Results {
		sent += r.Results[i].Pooled.Requests
	}
	return sent, r.count(record.OK)
}

// count is how many requests ended in one way.
func (r *Report) count(o record.Outcome) int {
	n := 0
	for i := range r.Results {
		n += r.Results[i].Pooled.Outcomes[o]
	}
	return n
}
