package report

import (
	"fmt"
	"strings"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// Statements are what a report says in sentences, in whatever form. One that is "" does not apply.
type Statements struct {
	Verdict  string // how much was asked, how much of it was answered, and which limits hold
	Server   string // name, version, commit and address
	Cores    string
	Memory   string
	StartUp  string
	Used     string // what the server's process took of the machine
	ErrorBar string // how far the client itself can be off
	Counted  string // what the server counted
	Answers  string // how answers under load compare with those given alone
	Wrong    string // what in the records cannot be true
	Failed   string // why requests failed
	Replayed string // what was done to recorded calls for them to be replayed
	Resent   string // how many requests met a closed connection
	Pieces   string // where pieces have several tokens, and where answers stood still
	Drafts   string // what tokens computed ahead were worth
	Noted    string // what the client did not understand or believe

	Diagnosis string
	Advice    []string // each a complete statement
}

// Statements says it.
func (r *Report) Statements() Statements {
	return Statements{
		Verdict: r.verdict(), Server: r.server(),
		Cores: table.Plural(r.Host.Cores, "core"), Memory: OrUnknown(bytesIfKnown(r.Host.Memory)),
		StartUp: r.startUp(), Used: r.used(), ErrorBar: r.errorBar(), Counted: r.counted(),
		Answers: r.answers(),
		Wrong:   r.wrong(), Failed: r.whyFailed(), Replayed: r.replayed(), Resent: r.resent(),
		Pieces: r.pace(), Drafts: r.drafts(), Noted: strings.Join(r.noted(), "; "),
		Diagnosis: r.diagnosis(), Advice: r.advice(),
	}
}

// verdict is the executive summary: what was asked, how much of it was answered, and which limits
// hold.
func (r *Report) verdict() string {
	sent, ok := r.requests()
	text := fmt.Sprintf("%s answered %d of %s", r.Model(), ok, table.Plural(sent, "request"))
	if n := len(r.Results); n > 1 {
		text += fmt.Sprintf(" in %d scenarios", n)
	}
	var unanswered []string
	for _, o := range []struct {
		outcome record.Outcome
		word    string
	}{{record.Rejected, "refused"}, {record.Cancelled, "cancelled"}, {record.Empty, "empty"}} {
		if n := r.count(o.outcome); n > 0 {
			unanswered = append(unanswered, fmt.Sprintf("%d %s", n, o.word))
		}
	}
	named := r.count(record.Rejected) + r.count(record.Cancelled) + r.count(record.Empty)
	if n := sent - ok - named; n > 0 {
		unanswered = append(unanswered, fmt.Sprintf("%d failed", n))
	}
	if unanswered != nil {
		text += " (" + strings.Join(unanswered, ", ") + ")"
	}
	if r.Stopped != "" {
		text += " before the measurement stopped"
	}
	return text + r.whatHolds()
}

// whatHolds ends the verdict.
func (r *Report) whatHolds() string {
	var failed, unknown, few []string
	for _, o := range r.Outcomes() {
		switch o.Standing {
		case limit.Missed:
			failed = append(failed, fmt.Sprintf("%s (%s in %s)", o.Name, o.Figure, o.Scenario))
		case limit.Unmeasured:
			unknown = append(unknown, o.Name)
		case limit.NotShown:
			few = append(few, o.Name)
		}
	}
	if len(failed)+len(unknown)+len(few) == 0 {
		return r.allMet()
	}
	text := " and misses no target that was measured"
	if len(failed) > 0 {
		text = " and misses " + table.List(failed)
	}
	if len(few) > 0 {
		text += "; too few requests to tell " + table.List(few)
	}
	if len(unknown) > 0 {
		text += "; not measured: " + table.List(unknown)
	}
	return text + "."
}

func (r *Report) allMet() string {
	switch {
	case r.Limits == nil:
		return " and meets all four targets."
	case len(r.Limits) == 0:
		return "; no limit was set."
	}
	return fmt.Sprintf(" and holds %s.", table.Plural(len(r.Limits), "limit"))
}

// Model is the model with what runs it: "tiny on ref".
func (r *Report) Model() string {
	name := table.OneLine(r.System.Model) // as the server calls it
	if r.System.Backend == "" {
		return name
	}
	return name + " on " + r.System.Backend
}

func (r *Report) server() string {
	s := strings.TrimSpace(r.System.Name + " " + r.System.Version)
	if r.System.Commit != "" {
		s += " (" + r.System.Commit + ")"
	}
	if r.System.URL != "" {
		s += " at " + r.System.URL
	}
	return s
}

func (r *Report) startUp() string {
	if r.StartUp <= 0 {
		return "not measured: the server was already running"
	}
	return table.Duration(r.StartUp) +
		" from start to ready, loading the model included; not part of any latency"
}

func (r *Report) used() string {
	if r.System.Memory <= 0 {
		return ""
	}
	return fmt.Sprintf("%s of memory, %s of processor time", table.Bytes(r.System.Memory),
		table.Duration(r.System.CPU))
}

// errorBar names at most three loads under which the client was measured: the ends of a sweep say
// enough, and the file of results has all.
func (r *Report) errorBar() string {
	if len(r.Generator.Calibration) == 0 {
		return r.Generator.workers()
	}
	var parts []string
	for _, f := range r.Generator.Calibration {
		parts = append(parts, table.Duration(f.TTFT.Round(time.Microsecond))+" "+f.Load())
	}
	if n := len(parts); n > 3 {
		parts = []string{parts[0], parts[n-1]}
	}
	text := "the first token of a server that computes nothing takes " + table.List(parts)
	if r.Generator.Busy > 0 {
		text += fmt.Sprintf("; during the load the client took %s of the processors",
			table.Percent(r.Generator.Busy))
	}
	if by := r.Generator.workers(); by != "" {
		text += "; " + by
	}
	return text
}

// counted says what the server counted in all results, "" where it does not count.
func (r *Report) counted() string {
	var all *record.Counters
	for i := range r.Results {
		all = all.Add(r.Results[i].Pooled.Counters)
	}
	if all == nil {
		return ""
	}
	var server, client []string
	for _, f := range []struct {
		count record.Count
		what  string
	}{{record.AnsweredRequests, "answered requests"}, {record.OutputTokens, "output tokens"}} {
		if v, ok := all.Server[f.count]; ok {
			server = append(server, fmt.Sprintf("%.0f %s", v, f.what))
			client = append(client, fmt.Sprintf("%.0f", all.Client[f.count]))
		}
	}
	text := fmt.Sprintf("%s (client: %s)", table.List(server), table.List(client))
	if n := all.Client["inexact_answers"]; n > 0 &&
		all.Server["output_tokens"] > all.Client["output_tokens"] {
		text += fmt.Sprintf("; %.0f answers ended at a stop string, past which it may have gone on", n)
	}
	if v, ok := all.Server["evictions"]; ok {
		text += fmt.Sprintf("; %.0f blocks evicted", v)
	}
	if cpu, tokens := all.Server["cpu_seconds"],
		all.Server["output_tokens"]; cpu > 0 && tokens > 0 {
		each := time.Duration(cpu / tokens * float64(time.Second))
		text += fmt.Sprintf("; %s of processor time an output token", table.Duration(each))
	}
	return text
}

// answers says how answers under load compare with those given alone, "" where none was asked
// again.
func (r *Report) answers() string {
	a := r.Again()
	if a.Compared == 0 {
		return ""
	}
	text := fmt.Sprintf("%d asked for again, alone: ", a.Compared)
	if a.Differ == 0 && a.Alike {
		return text + "all are one text, whatever was asked, " +
			"so that a stored answer, or another agent's, would not show"
	}
	if a.Differ == 0 {
		return text + "all are the same"
	}
	text += fmt.Sprintf("%d differ", a.Differ)
	if a.Rounded > 0 {
		text += fmt.Sprintf(", %d where two tokens were nearly as likely and the batch decides",
			a.Rounded)
	}
	if wrong := a.Differ - a.Rounded - a.Open; wrong > 0 {
		text += fmt.Sprintf(", %d for no such reason", wrong)
	}
	if a.Open > 0 {
		text += fmt.Sprintf(", %d by rounding or corruption, "+
			"which a server without log-probabilities does not tell apart", a.Open)
	}
	return text
}

// maxViolations are shown; the file of results has all.
const maxViolations = 5

func (r *Report) wrong() string {
	n := len(r.Violations)
	if n == 0 {
		return ""
	}
	var shown []string
	for _, v := range r.Violations[:min(n, maxViolations)] {
		shown = append(shown, table.Clip(table.OneLine(v), 160))
	}
	verb := " violate"
	if n == 1 {
		verb = " violates"
	}
	text := table.Plural(n, "request") + verb + " what must always hold: " +
		strings.Join(shown, "; ")
	if n > maxViolations {
		text += "; and more"
	}
	return text
}
