package report

import (
	"fmt"
	"time"

	"loadstone/harness/table"
)

// minCauseShare is how much of a request's time one part must take to be named the cause on its own.
const minCauseShare = 0.5

// diagnosis says in one sentence what bounds the subject's latency. It looks at the slowest scenario, where a target is
// lost first, and compares it with a lone request to tell work from waiting.
func (r *Report) diagnosis() string {
	s := r.slowest()
	if s == nil {
		return "No answer came in pieces or with the server's own timings, so where the time goes cannot be told."
	}
	b := breakdown(s.Records)
	first := b.Largest()
	where := fmt.Sprintf("In %s, the slowest scenario, %s takes %s of the mean request (%s of %s)",
		s.Name(), phrase[first.Name], percent(first.Share), duration(first.Mean), duration(b.Total))
	if first.Share < minCauseShare {
		second := runnerUp(&b, first)
		return where + fmt.Sprintf(", followed by %s with %s: no single part dominates.", phrase[second.Name], percent(second.Share))
	}
	if lone := r.lone(s); lone != nil && lone != s && first.Name != partNetwork && first.Name != partServer {
		alone := breakdown(lone.Records)
		if was := alone.Of(first.Name).Mean; was > 0 && first.Mean > was*3/2 {
			where += fmt.Sprintf(", %s times what a lone request needs (%s, %s)", table.Three(float64(first.Mean)/float64(was)), duration(was), lone.Name())
		}
	}
	return where + ": " + remedy[first.Name] + "."
}

var phrase = map[string]string{
	partQueue:   "waiting in the queue",
	partPrefill: "prefill",
	partDecode:  "decode",
	partServer:  "the server outside the engine",
	partNetwork: "the way between client and server",
	partWait:    "waiting for the first token",
}

var remedy = map[string]string{
	partQueue:   "requests wait for a slot, so more slots or another instance shorten them, a faster model step only in proportion",
	partPrefill: "reading the prompt bounds the latency, so shorter prompts, a higher cache hit rate or a faster prefill shorten it",
	partDecode:  "the speed of one decode step under this load bounds the latency, so fewer agents per instance, shorter answers or a faster step shorten it",
	partServer:  "the time goes outside the model, to HTTP, chat templates and tokenizing",
	partWait:    "queue and prompt are in it, which this server does not tell apart; what grows with the number of agents is the queue",
	partNetwork: "the server has answered long before the client has seen it; look at the connection and the client's own load first",
}

func runnerUp(b *Breakdown, first Part) Part {
	var second Part
	for _, p := range b.Parts {
		if p.Name != first.Name && p.Mean > second.Mean {
			second = p
		}
	}
	return second
}

// slowest is the scenario with the largest mean latency among those of which it is known where the time goes, or nil.
func (r *Report) slowest() *Scenario {
	var slowest *Scenario
	var most time.Duration
	for i := range r.Scenarios {
		if b := breakdown(r.Scenarios[i].Records); b.N > 0 && b.Total > most {
			slowest, most = &r.Scenarios[i], b.Total
		}
	}
	return slowest
}

// lone is the one-agent scenario whose cache was most like that of s, or nil: what concurrency costs must not be mixed
// with what a cache saves.
func (r *Report) lone(s *Scenario) *Scenario {
	var lone *Scenario
	apart := 2.0
	for i := range r.Scenarios {
		c := &r.Scenarios[i]
		if d := abs(c.Pooled.HitRate - s.Pooled.HitRate); c.Agents == 1 && c.Pooled.Requests > 0 && d < apart {
			lone, apart = c, d
		}
	}
	return lone
}

func abs(f float64) float64 { return max(f, -f) }
