// Package audit asks of a server what a measurement takes for granted: that its answers are right under load and nobody
// else's, that its counts are true, and that nothing is left behind afterwards.
package audit

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/metrics"
	"loadstone/harness/proc"
	"loadstone/harness/record"
)

// An Audit is how much is asked.
//
// The same greedy conversations are held alone, alone again and all at once; then clients lose patience; then, where the
// server can be restarted, the conversations go on. Everything is judged from what is on the wire.
type Audit struct {
	Agents    int // conversations at once
	Turns     int // of each
	Words     int // of an agent's first question, roughly; later ones have a fourth
	MaxTokens int
	Aborts    int // requests that are taken back in the middle
	Seed      uint64

	Process func() (proc.Usage, error)  // what the server's process uses; nil: only what its /metrics tell of that
	Restart func(context.Context) error // ends the server and starts it again on the same memories; nil: it cannot be
	Step    func(string)                // is told what comes next
}

// A Finding is the outcome of one kind of check.
type Finding struct {
	Name       string
	Verdict    Judgement
	About      string // what was looked at, or what is wrong with the first Violation
	Violations []record.Violation
}

// Judgement is what a check comes to.
type Judgement string

const (
	Passed  Judgement = "pass"
	Broken  Judgement = "FAIL"
	Unknown Judgement = "unknown" // the server does not say what would be needed
	Variant Judgement = "variant" // answers differ for a reason that is no corruption: rounding, or a text encoded anew
)

// auditor is an Audit on its way.
type auditor struct {
	Audit
	c    *client.Client
	load harness.StressTestHarness

	asked    [][]client.Prompt // by agent and turn: what was asked alone
	alone    [][]record.Record // and answered
	encoded  []record.Record   // the last turn of each conversation, asked by one who is new
	records  []record.Record   // everything that was answered, in order
	counters metrics.Metrics   // the server's, before
	findings []Finding
}

// Run carries the audit out. The error is that it could not be: the server is gone, or does not answer even alone.
func (a Audit) Run(ctx context.Context, c *client.Client) ([]Finding, error) {
	x := &auditor{Audit: a, c: c, load: harness.StressTestHarness{Client: c}}
	if x.Step == nil {
		x.Step = func(string) {}
	}
	ledger := c.Ledger()
	counters, _ := c.Scrape(ctx) // a nil Metrics knows no value
	x.counters = counters
	for _, step := range []func(context.Context) error{x.askAlone, x.askAgain, x.askTogether, x.abort, x.restart} {
		if err := step(ctx); err != nil {
			return x.findings, err
		}
	}
	x.judgeRecords(record.Balance(x.records, ledger, c.Ledger()))
	return x.findings, nil
}

func (x *auditor) found(name string, violations []record.Violation, about string, args ...any) {
	f := Finding{Name: name, Verdict: Passed, About: fmt.Sprintf(about, args...), Violations: violations}
	if len(violations) > 0 {
		f.Verdict, f.About = Broken, violations[0].About
		if n := len(violations); n > 1 {
			f.About = fmt.Sprintf("%d times, the first: %s", n, f.About)
		}
	}
	x.findings = append(x.findings, f)
}

func (x *auditor) unknown(name, why string) {
	x.findings = append(x.findings, Finding{Name: name, Verdict: Unknown, About: why})
}

// ask is one request, kept.
func (x *auditor) ask(ctx context.Context, p client.Prompt, turn int) record.Record {
	r := x.c.Ask(ctx, x.c.Since(), p)
	r.Turn = turn
	x.records = append(x.records, r)
	return r
}

// askAlone holds the conversations while nothing else runs. What is said here is what must be said ever after.
func (x *auditor) askAlone(ctx context.Context) error {
	x.Step(fmt.Sprintf("%d conversations of %d turns, one after the other", x.Agents, x.Turns))
	for i := range x.Agents {
		agent := harness.NewConversation(fmt.Sprintf("audit-%d-%d", x.Seed, i), x.Seed<<20+uint64(i))
		var asked []client.Prompt
		var answered []record.Record
		for turn := range x.Turns {
			words := x.Words
			if turn > 0 {
				words = max(1, x.Words/4)
			}
			p := agent.Ask(words, x.MaxTokens)
			r := x.ask(ctx, p, turn)
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.Outcome != record.OK {
				x.found("answered", []record.Violation{endsAs(&r, "answered", "alone, a request")}, "")
				return fmt.Errorf("the server does not answer even alone: %s: %s", r.Outcome, r.Error)
			}
			agent.Told(r.Answer)
			asked, answered = append(asked, p), append(answered, r)
		}
		x.asked, x.alone = append(x.asked, asked), append(x.alone, answered)
	}
	return nil
}

// askAgain finds out whether the server is one whose greedy answers can be compared at all.
func (x *auditor) askAgain(ctx context.Context) error {
	x.Step("the same again, one after the other")
	var again []record.Record
	for i := range x.asked {
		for turn, p := range x.asked[i] {
			again = append(again, x.ask(ctx, p, turn))
		}
	}
	for _, prompts := range x.asked {
		p := prompts[len(prompts)-1]
		p.Agent += "-new"
		x.encoded = append(x.encoded, x.ask(ctx, p, len(prompts)-1))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// With its cache the server computes the same prompt in other pieces, which can round to another answer.
	x.judge(ctx, "repeatable", slices.Concat(x.alone...), again, "alone, the same prompts get the same answers, of which %d were compared", len(again))
	return nil
}

// askTogether holds all conversations at once, each with the history it had alone, so that one answer that differs does
// not make all later ones differ.
func (x *auditor) askTogether(ctx context.Context) error {
	x.Step("the same, all at once")
	const rounds = 2 // the first fills the batch as agents come, the second as they happen to fall
	var under []record.Record
	for range rounds {
		byAgent := make([][]record.Record, x.Agents)
		done := make(chan struct{})
		for i := range x.asked {
			go func() {
				for turn, p := range x.asked[i] {
					r := x.c.Ask(ctx, x.c.Since(), p)
					r.Turn = turn
					byAgent[i] = append(byAgent[i], r)
				}
				done <- struct{}{}
			}()
		}
		for range x.asked {
			<-done
		}
		under = append(under, slices.Concat(byAgent...)...)
	}
	x.records = append(x.records, under...)
	if err := ctx.Err(); err != nil {
		return err
	}
	compared, failed := outcomes(under, record.OK, "answered", "under load, a request")
	x.found("answered", failed, "%d of %d requests under load, the others refused cleanly", compared, len(under))
	x.judge(ctx, "identity", slices.Concat(x.alone...), under, "under load, %d answers are byte for byte those given alone", compared)
	return nil
}

// outcomes counts the requests that ended as they were to, and says of those that failed how they did: what was answered or
// refused cleanly has not, nor what was meant to be taken back.
func outcomes(records []record.Record, as record.Outcome, check, whose string) (n int, failed []record.Violation) {
	for i := range records {
		switch r := &records[i]; r.Outcome {
		case as:
			n++
		case record.OK, record.Rejected:
		default:
			failed = append(failed, endsAs(r, check, whose))
		}
	}
	return n, failed
}

// endsAs is the violation of a request that ended as it must not.
func endsAs(r *record.Record, check, whose string) record.Violation {
	return record.Violation{Check: check, Agent: r.Agent, Turn: r.Turn, About: fmt.Sprintf("%s ends as %s: %s", whose, r.Outcome, r.Error)}
}

// judge tells answers that rounding explains from those that it does not: where the answers part, the server is asked alone
// for the log-probabilities of the two likeliest tokens there. A server that has none is asked the same again when it knows
// nothing of the conversation: an answer that it then gives alone is no corruption either.
func (x *auditor) judge(ctx context.Context, name string, alone, answers []record.Record, about string, args ...any) {
	differ := record.CheckIdentity(alone, answers)
	var corrupt []record.Violation
	variants := 0
	for _, v := range differ {
		i := slices.IndexFunc(x.asked, func(p []client.Prompt) bool { return p[0].Agent == v.Agent })
		gap := x.c.Tie(ctx, x.asked[i][v.Turn], x.alone[i][v.Turn].Answer, v.At)
		switch {
		case gap < client.NearTie, math.IsInf(gap, 1) && x.saysAlone(ctx, i, v.Turn, answers):
			variants++
			continue
		case math.IsInf(gap, 1):
			v.About += "; the server does not say so alone, and gives no log-probabilities that would tell rounding from corruption"
		default:
			v.About += fmt.Sprintf("; there its choice was clear, by %.2f nats", gap)
		}
		corrupt = append(corrupt, v)
	}
	if variants > 0 && len(corrupt) == 0 {
		x.findings = append(x.findings, Finding{Name: name, Verdict: Variant, Violations: differ,
			About: fmt.Sprintf("%d answers differ from those given alone where two tokens were nearly as likely, or as the server differs alone: they depend on batch or cache, and are not corrupt", variants)})
		return
	}
	x.found(name, corrupt, about, args...)
}

// saysAlone tells whether the server gives one of the answers to a turn when it is asked alone by somebody new, with another
// conversation in between: some remember the last one, whoever sent it.
func (x *auditor) saysAlone(ctx context.Context, i, turn int, answers []record.Record) bool {
	other := x.asked[(i+1)%len(x.asked)][0]
	p := x.asked[i][turn]
	other.Agent, p.Agent = other.Agent+"-other", p.Agent+"-anew"
	x.ask(ctx, other, 0)
	r := x.ask(ctx, p, turn)
	return r.Outcome == record.OK && slices.ContainsFunc(answers, func(a record.Record) bool {
		return a.Agent == x.asked[i][turn].Agent && a.Turn == turn && a.Answer == r.Answer
	})
}

// judgeRecords holds all records to what must be true of each.
func (x *auditor) judgeRecords(balance []record.Violation) {
	const ownCheck = -1 // what all prompts share is the server's affair
	by := map[string][]record.Violation{}
	for _, v := range append(record.Check(x.records, ownCheck), balance...) {
		by[v.Check] = append(by[v.Check], v)
	}
	usage, cached := false, false
	for i := range x.records {
		usage, cached = usage || x.records[i].PromptTokens >= 0, cached || x.records[i].CachedTokens >= 0
	}
	n := len(x.records)
	x.found("leaks", by["leak"], "no answer of %d has another agent's secret in it", n)
	if cached {
		x.found("cache", by["cache"], "no conversation found more in the cache than it had left there itself")
	} else {
		x.unknown("cache", "the server's usage has no cached_tokens")
	}
	if usage {
		x.found("tokens", by["tokens"], "the server's counts agree with what it sent")
	} else {
		x.unknown("tokens", "the server's stream has no usage")
	}
	x.found("times", by["times"], "no stamp of %d requests is before the one it follows", n)
	x.found("count", by["count"], "%d requests begun, ended and recorded; Little's law holds", n)
}
