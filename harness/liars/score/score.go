// Package score puts this repository's own tool before the liars: it measures each of them as
// loadstone run does, checks it as loadstone check does, and has both judged by the truth.
package score

import (
	"context"
	"fmt"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/audit"
	"loadstone/harness/client"
	"loadstone/harness/figure"
	"loadstone/harness/liars"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/stats"
)

// A Target is a liar's server, and how it is reached.
type Target struct {
	Server *liars.Server
	Scale  float64                         // of its times
	Client func(key string) *client.Client // a new client of it, with a key
}

// Loadstone reports what this repository's tool says of a liar.
func Loadstone(ctx context.Context, l *liars.Liar, t Target) liars.Claims {
	x := &scorer{liar: l, target: t, claims: liars.Claims{
		Tool: "loadstone", Figures: map[liars.Figure]float64{}}}
	for range max(l.Load.Rounds, 1) {
		x.measure(ctx)
	}
	x.check(ctx)
	if l.Load.Keys || l.Name == liars.Truthful().Name {
		x.isolate(ctx)
	}
	return x.claims
}

type scorer struct {
	liar   *liars.Liar
	target Target
	claims liars.Claims
}

// alarm adds what the tool says to be wrong.
func (x *scorer) alarm(of, text string) {
	if text != "" {
		x.claims.Alarms = append(x.claims.Alarms, of+": "+text)
	}
}

// client is a new client, as the commands make it.
func (x *scorer) client(ctx context.Context, key string) *client.Client {
	c := x.target.Client(key)
	c.Key = key
	name, err := c.FindModel(ctx, 10*time.Second, nil)
	if err == nil {
		c.Model = name
	}
	return c
}

// load is the liar's.
func (x *scorer) load() load.Load {
	of := x.liar.Load
	// With -url the command has another seed each time.
	l := load.Load{Name: x.liar.Name, Seeds: load.OneSeed(uint64(time.Now().UnixMilli())),
		Concurrency: of.Concurrency, Requests: of.Requests,
		Prompt: load.Fixed(64), Answer: load.Fixed(liars.AnswerTokens)}
	if of.Rate > 0 {
		l.Rate = load.Constant(of.Rate / x.target.Scale)
	}
	return l
}

// measure measures the server as loadstone run does, and takes over what its report says.
func (x *scorer) measure(ctx context.Context) {
	const of = "run"
	c := x.client(ctx, "")
	defer c.Close()
	l := x.load()
	plan := harness.Plan{Loads: []load.Load{l}, Again: harness.AskedAgain, Tokens: liars.CountTokens}
	runs, _, err := plan.Run(ctx, c)
	if err != nil {
		x.alarm(of, err.Error())
	}
	if len(runs) == 0 {
		return
	}
	r := report.New(report.Meta{}, []load.Load{l}, runs)
	x.figures(&r.Results[0].Pooled)
	said := r.Statements()
	x.alarm(of, said.Wrong)
	x.alarm(of, said.Noted)
	x.alarm(of, said.Resent)
	if again := r.Again(); again.Differ > 0 || again.Alike {
		x.alarm(of, said.Answers)
	}
	x.alarm(of, strings.Join(r.Invalid(), "; "))
	for i := range runs {
		x.alarm(of, harness.Unproven(&runs[i]))
		if runs[i].Steady.Growing {
			x.alarm(of, "latency grew for as long as the run lasted")
		}
	}
}

// figures are those of the report.
func (x *scorer) figures(s *record.Summary) {
	put := func(name liars.Figure, v float64, known bool) {
		if known {
			x.claims.Figures[name] = v
		}
	}
	for _, name := range []liars.Figure{liars.TTFT50, liars.TTFT95, liars.TTFT99, liars.TPOT50,
		liars.ITL99, liars.ITLMax, liars.E2E50, liars.HitRatio} {
		if f, ok := figure.Find(string(name)); ok {
			v, known := f.Value(s)
			put(name, v, known)
		}
	}
	content := s.Content // is empty where no answer had reasoning
	if content.N == 0 {
		content = s.TTFT
	}
	put(liars.Content50, content.P50.Seconds(), content.N > 0 && content.P50 < stats.Never)
	put(liars.ErrorRatio, s.ErrorRatio+s.RejectRatio(), s.Requests > 0)
	put(liars.AnswerMean, float64(s.OutputTokens+s.Pieces)/float64(max(s.Outcomes[record.OK], 1)),
		s.Outcomes[record.OK] > 0)
}

// Sizes of a check. They are smaller than the command's, which is right for a server that does
// nothing at random.
const (
	checkAgents = 4
	checkTurns  = 2
	checkAborts = 8
	probes      = 60
)

// check checks the server as loadstone check does.
func (x *scorer) check(ctx context.Context) {
	c := x.client(ctx, "")
	defer c.Close()
	a := audit.Audit{Agents: checkAgents, Turns: checkTurns, Words: 48, MaxTokens: 16,
		Aborts: checkAborts, Seed: uint64(time.Now().UnixMilli()), Tokens: liars.CountTokens,
		Restart: func(context.Context) error { x.target.Server.Restart(); return nil }}
	findings, err := a.Run(ctx, c)
	for _, f := range findings {
		if f.Verdict != audit.Passed {
			x.alarm("check", fmt.Sprintf("%s %s: %s", f.Name, f.Verdict, f.About))
		}
	}
	if err != nil {
		x.alarm("check", err.Error())
	}
}

// isolate checks the server as loadstone check -keys does. What the truthful server has no routes
// for is unknown there, and no alarm.
func (x *scorer) isolate(ctx context.Context) {
	a, b := x.client(ctx, "key-a"), x.client(ctx, "key-b")
	defer a.Close()
	defer b.Close()
	i := audit.Isolation{A: a, B: b, Probes: probes, Words: 48, MaxTokens: 4,
		Seed: uint64(time.Now().UnixMilli())}
	findings, err := i.Run(ctx)
	for _, f := range findings {
		if f.Verdict == audit.Broken {
			x.alarm("check -keys", fmt.Sprintf("%s: %s", f.Name, f.About))
		}
	}
	if err != nil {
		x.alarm("check -keys", err.Error())
	}
}
