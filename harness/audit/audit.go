// Package audit checks what a measurement takes for granted of a server: that its answers are right
// under load and not another agent's, that its counts are true, and that nothing is left behind
// afterwards.
package audit

import (
	"context"
	"fmt"
	"slices"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/metrics"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// An Audit says how much is checked.
//
// The same greedy conversations are held alone, alone again, and all at once; then requests are
// cancelled midway; then, where the server can be restarted, the conversations go on. Everything is
// judged by what is on the wire.
type Audit struct {
	Agents    int // conversations at once
	Turns     int // of each
	Words     int // of an agent's first question, roughly; later ones have a fourth of that
	MaxTokens int // of an answer
	Aborts    int // requests that are cancelled midway
	Seed      uint64

	// Process reports what the server's process uses. Where it is nil, only what the server's
	// /metrics say of that is known.
	Process func() (proc.Usage, error)
	// Restart ends the server and starts it again with the same memories on disk. Where it is nil,
	// the server is not restarted.
	Restart func(context.Context) error
	// Tokens counts the tokens of a text as the model's tokenizer does. Where it is nil, the server's
	// own /tokenize is asked, where there is one.
	Tokens func(text string) (int, error)
	// OnStep, unless nil, is called before each step.
	OnStep func(Step)
}

// A Step is one part of an audit.
type Step struct {
	Name  StepName
	About string // what is done in it
}

// StepName names a step.
type StepName string

// The steps, in their order.
const (
	StepAlone    StepName = "alone"    // the conversations, one after the other
	StepAgain    StepName = "again"    // the same once more
	StepTogether StepName = "together" // the same, all at once
	StepCancel   StepName = "cancel"   // requests that are cancelled midway
	StepRestart  StepName = "restart"  // the server is restarted, and the conversations go on
)

// A Finding is the result of one check.
type Finding struct {
	Name       Check
	Verdict    Judgement
	About      string // what was looked at, or what is wrong with the first Violation
	Violations []record.Violation
	Leak       *Leak `json:",omitempty"` // of Timing: the figures
}

// Check names what is checked.
type Check string

// The checks, in the order in which their findings come.
const (
	Repeatable Check = "repeatable" // alone, the same prompt gets the same answer
	Answered   Check = "answered"   // under load every request is answered or cleanly refused
	Identity   Check = "identity"   // under load every answer is the one given alone
	Counters   Check = "counters"   // the server's counters rose by what its answers add up to
	Recovery   Check = "recovery"   // the server gives back what cancelled requests held
	Solo       Check = "solo"       // an agent alone is then served as quickly as before
	Restart    Check = "restart"    // after a restart the conversations go on with the same answers
	Leaks      Check = "leaks"      // no answer contains another agent's secret
	Hits       Check = "hits"       // what is called cached is answered sooner
	Cache      Check = "cache"      // no conversation finds more in the cache than it left there
	Tokens     Check = "tokens"     // the server's counts agree with what it sent
	Times      Check = "times"      // a later event has a later time
	Count      Check = "count"      // every request has ended and is on record; Little's law holds
)

// Judgement is the verdict of a check.
type Judgement string

// The verdicts.
const (
	Passed  Judgement = "pass"
	Broken  Judgement = "FAIL"
	Unknown Judgement = "unknown" // the server does not say what the check needs
	// Variant says that answers differ and are not corrupt: by rounding, or by a text encoded anew.
	Variant Judgement = "variant"
)

// auditor is an Audit under way.
type auditor struct {
	Audit
	c    *client.Client
	load harness.StressTestHarness

	asked    [][]client.Prompt // by agent and turn: the prompts that were sent alone
	alone    [][]record.Record // and their answers
	encoded  []record.Record   // the last turn of each conversation, sent by an agent that is new
	again    []record.Record   // the prompts of alone once more, when they were in the cache
	resumed  []record.Record   // the last turn of each conversation, after a restart
	unloaded stats.Dist        // the time to first token of an agent alone, before the load
	records  []record.Record   // all requests, in order
	counters metrics.Metrics   // the server's, before
	findings []Finding
}

// Run carries the audit out. The error is that it could not be carried out: the server is gone, or
// does not answer even alone.
func (a Audit) Run(ctx context.Context, c *client.Client) ([]Finding, error) {
	x := &auditor{Audit: a, c: c, load: harness.StressTestHarness{Client: c}}
	ledger := c.Ledger()
	x.counters, _ = c.Scrape(ctx) // the nil Metrics of a server that has none will do
	for _, step := range []func(context.Context) error{
		x.askAlone, x.askAgain, x.askTogether, x.cancel, x.restart} {
		if err := step(ctx); err != nil {
			return x.findings, err
		}
	}
	balance := record.Balance(x.records, ledger, c.Ledger())
	err := harness.Recount(ctx, c, x.Tokens, x.records)
	x.judgeRecords(balance)
	x.judgeHits()
	return x.findings, err
}

// begin announces a step.
func (x *auditor) begin(name StepName, about string, args ...any) {
	if x.OnStep != nil {
		x.OnStep(Step{name, fmt.Sprintf(about, args...)})
	}
}

// found adds the finding of a check, which passes where there are no violations. about is then what
// was looked at.
func (x *auditor) found(name Check, violations []record.Violation, about string, args ...any) {
	x.findings = append(x.findings, finding(name, violations, fmt.Sprintf(about, args...)))
}

func finding(name Check, violations []record.Violation, about string) Finding {
	f := Finding{Name: name, Verdict: Passed, About: about, Violations: violations}
	if len(violations) > 0 {
		f.Verdict, f.About = Broken, violations[0].About
		if n := len(violations); n > 1 {
			f.About = fmt.Sprintf("%d times, the first: %s", n, f.About)
		}
	}
	return f
}

func (x *auditor) unknown(name Check, why string) {
	x.findings = append(x.findings, Finding{Name: name, Verdict: Unknown, About: why})
}

// send sends one request alone and keeps its record.
func (x *auditor) send(ctx context.Context, p client.Prompt, turn int) record.Record {
	p.Turn = turn
	r := x.c.Ask(ctx, x.c.Since(), p)
	x.records = append(x.records, r)
	return r
}

// askAlone holds the conversations while nothing else runs. Its answers are those that the server
// must give ever after.
func (x *auditor) askAlone(ctx context.Context) error {
	x.begin(StepAlone, "%d conversations of %d turns, one after the other", x.Agents, x.Turns)
	for i := range x.Agents {
		name := fmt.Sprintf("audit-%d-%d", x.Seed, i)
		agent := harness.NewConversation(name, x.Seed<<20+uint64(i))
		var asked []client.Prompt
		var answered []record.Record
		for turn := range x.Turns {
			words := x.Words
			if turn > 0 {
				words = max(1, x.Words/4)
			}
			p := agent.Ask(words, x.MaxTokens)
			r := x.send(ctx, p, turn)
			if err := ctx.Err(); err != nil {
				return err
			}
			if !r.Ended() {
				v := violation(&r, record.CheckAnswered, "alone, a request")
				x.found(Answered, []record.Violation{v}, "")
				return fmt.Errorf("the server does not answer even alone: %s: %s",
					r.Outcome, r.Error)
			}
			agent.Told(r.Answer)
			asked, answered = append(asked, p), append(answered, r)
		}
		x.asked, x.alone = append(x.asked, asked), append(x.alone, answered)
	}
	// A model may end an answer at once. One that never says anything shows nothing of its server.
	all := slices.Concat(x.alone...)
	said := func(r record.Record) bool { return r.Outcome == record.OK }
	if !slices.ContainsFunc(all, said) {
		v := violation(&all[0], record.CheckAnswered, "alone, a request")
		x.found(Answered, []record.Violation{v}, "")
		return fmt.Errorf("the server answers nothing: each of %d answers is empty", len(all))
	}
	return nil
}

// askAgain finds out whether the greedy answers of the server can be compared at all.
func (x *auditor) askAgain(ctx context.Context) error {
	x.begin(StepAgain, "the same again, one after the other")
	var again []record.Record
	for i := range x.asked {
		for turn, p := range x.asked[i] {
			again = append(again, x.send(ctx, p, turn))
		}
	}
	x.again = again
	for _, prompts := range x.asked {
		p := prompts[len(prompts)-1]
		p.Agent += "-new"
		x.encoded = append(x.encoded, x.send(ctx, p, len(prompts)-1))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// With its cache the server computes the same prompt in other pieces, which can round to
	// another answer.
	x.judge(ctx, Repeatable, slices.Concat(x.alone...), again, func(compared int) string {
		return fmt.Sprintf("alone, the same prompts get the same answers, of which %d were compared",
			compared)
	})
	return nil
}

// askTogether holds all conversations at once. Each has the history that it had alone, so that one
// answer that differs does not make all later ones differ. How quick the server is alone is
// measured before: it may be slower ever after.
func (x *auditor) askTogether(ctx context.Context) (err error) {
	x.begin(StepTogether, "the same, all at once")
	if x.unloaded, err = x.solo(ctx, 0); err != nil {
		return err
	}
	// In the first round the batch fills as the agents come; in the second it is mixed by chance.
	const rounds = 2
	var underLoad []record.Record
	for range rounds {
		byAgent := make([][]record.Record, x.Agents)
		done := make(chan struct{})
		for i := range x.asked {
			go func() {
				for turn, p := range x.asked[i] {
					p.Turn = turn
					byAgent[i] = append(byAgent[i], x.c.Ask(ctx, x.c.Since(), p))
				}
				done <- struct{}{}
			}()
		}
		for range x.asked {
			<-done
		}
		underLoad = append(underLoad, slices.Concat(byAgent...)...)
	}
	x.records = append(x.records, underLoad...)
	if err := ctx.Err(); err != nil {
		return err
	}
	alone := slices.Concat(x.alone...)
	var said []record.Record // without those that are empty alone, too
	for i, r := range underLoad {
		if r.Outcome != record.Empty || alone[i%len(alone)].Outcome != record.Empty {
			said = append(said, r)
		}
	}
	n, failed := outcomes(said, record.OK, record.CheckAnswered, "under load, a request")
	x.found(Answered, failed, "%d of %d requests under load, the others refused cleanly",
		n, len(said))
	x.judge(ctx, Identity, alone, underLoad, func(compared int) string {
		return fmt.Sprintf("under load, %d answers are byte for byte those given alone", compared)
	})
	return nil
}

// outcomes counts the requests that ended as wanted, and lists those that failed. A request that
// was answered or refused cleanly has not failed; one with an empty answer has.
func outcomes(records []record.Record, want record.Outcome, check record.CheckName,
	which string) (n int, failed []record.Violation) {
	for i := range records {
		switch r := &records[i]; r.Outcome {
		case want:
			n++
		case record.OK, record.Rejected:
		default:
			failed = append(failed, violation(r, check, which))
		}
	}
	return n, failed
}

// violation is that of a request that ended as it must not: which one, such as "alone, a request".
func violation(r *record.Record, check record.CheckName, which string) record.Violation {
	return record.Violation{Check: check, Agent: r.Agent, Turn: r.Turn,
		About: fmt.Sprintf("%s ends as %s: %s", which, r.Outcome, r.Error)}
}

// judgeRecords checks what must hold for each record.
func (x *auditor) judgeRecords(balance []record.Violation) {
	const unknownShared = -1 // how many tokens all prompts begin with
	byCheck := map[record.CheckName][]record.Violation{}
	for _, v := range append(record.Check(x.records, unknownShared), balance...) {
		byCheck[v.Check] = append(byCheck[v.Check], v)
	}
	usage, cached := false, false
	for i := range x.records {
		r := &x.records[i]
		if note := r.FalseClaim(); note != "" {
			byCheck[record.CheckTokens] = append(byCheck[record.CheckTokens], record.Violation{
				Check: record.CheckTokens, Agent: r.Agent, Turn: r.Turn, About: string(note)})
		}
		usage, cached = usage || r.PromptTokens >= 0, cached || r.CachedTokens >= 0
	}
	n := len(x.records)
	x.found(Leaks, byCheck[record.CheckLeak], "no answer of %d has another agent's secret in it", n)
	if cached {
		x.found(Cache, byCheck[record.CheckCache],
			"no conversation found more in the cache than it had left there itself")
	} else {
		x.unknown(Cache, "the server's usage has no cached_tokens")
	}
	if usage {
		x.found(Tokens, byCheck[record.CheckTokens], "the server's counts agree with what it sent")
	} else {
		x.unknown(Tokens, "the server's stream has no usage")
	}
	x.found(Times, byCheck[record.CheckTimes],
		"no stamp of %d requests is before the one it follows", n)
	x.found(Count, byCheck[record.CheckCount],
		"%d requests begun, ended and recorded; Little's law holds", n)
}
