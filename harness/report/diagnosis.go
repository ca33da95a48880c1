package report

import (
	"fmt"
	"time"

	"loadstone/harness/table"
)

// minCauseShare is how much of a request's time one part must take to be named the cause on its
// own.
const minCauseShare = 0.5

// diagnosis says in one sentence what bounds the server's latency. It looks at the slowest result,
// where a target is missed first, and compares it with a lone agent to tell work from waiting.
func (r *Report) diagnosis() string {
	s := r.slowest()
	if s == nil {
		return "No answer came in pieces or with the server's own timings, so where the time " +
			"goes cannot be told."
	}
	b := s.Breakdown()
	first := b.Largest()
	where := fmt.Sprintf("In %s, the slowest scenario, %s takes %s of the mean request (%s of %s)",
		s.Name(), phrase[first.Name], table.Percent(first.Share), table.Duration(first.Mean),
		table.Duration(b.Total))
	if first.Share < minCauseShare {
		second := b.largestBut(first.Name)
		return where + fmt.Sprintf(", followed by %s with %s: no single part dominates.",
			phrase[second.Name], table.Percent(second.Share))
	}
	lone := r.lone(s)
	if lone != nil && lone != s && first.Name != PartNetwork && first.Name != PartServer {
		alone := lone.Breakdown()
		if was := alone.Of(first.Name).Mean; was > 0 && first.Mean > was*3/2 {
			where += fmt.Sprintf(", %s times what a lone request needs (%s, %s)",
				table.Three(float64(first.Mean)/float64(was)), table.Duration(was), lone.Name())
		}
	}
	return where + ": " + remedy[first.Name] + "."
}

// phrase is a part as a sentence says it.
var phrase = map[string]string{
	PartQueue:   "waiting in the queue",
	PartPrefill: "prefill",
	PartDecode:  "decode",
	PartServer:  "the server outside the engine",
	PartNetwork: "the way between client and server",
	PartWait:    "waiting for the first token",
}

// remedy is what helps where a part dominates.
var remedy = map[string]string{
	PartQueue: "requests wait for a slot, so more slots or another instance shorten them, " +
		"a faster model step only in proportion",
	PartPrefill: "reading the prompt bounds the latency, so shorter prompts, " +
		"a higher cache hit rate or a faster prefill shorten it",
	PartDecode: "the speed of one decode step under this load bounds the latency, " +
		"so fewer agents per instance, shorter answers or a faster step shorten it",
	PartServer: "the time goes outside the model, to HTTP, chat templates and tokenizing",
	PartWait: "queue and prompt are in it, which this server does not tell apart; " +
		"what grows with the number of agents is the queue",
	PartNetwork: "the server has answered long before the client has seen it; " +
		"look at the connection and the client's own load first",
}

// slowest is the result with the largest mean latency among those of which it is known where the
// time goes, or nil.
func (r *Report) slowest() *Result {
	var slowest *Result
	var longest time.Duration
	for i := range r.Results {
		if b := r.Results[i].Breakdown(); b.N > 0 && b.Total > longest {
			slowest, longest = &r.Results[i], b.Total
		}
	}
	return slowest
}

// lone is the result of one agent whose cache was most like that of s, or nil: what concurrency
// costs must not be mixed with what a cache saves.
func (r *Report) lone(s *Result) *Result {
	var lone *Result
	apart := 2.0
	for i := range r.Results {
		c := &r.Results[i]
		d := c.Pooled.HitRatio - s.Pooled.HitRatio
		if d = max(d, -d); c.Agents == 1 && c.Pooled.Requests > 0 && d < apart {
			lone, apart = c, d
		}
	}
	return lone
}
