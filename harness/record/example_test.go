package record_test

import (
	"fmt"
	"time"

	"loadstone/harness/record"
)

// Three requests of one run: two were answered, one was refused. Latency counts from when a request
// was due. A refusal is counted, and is in no latency.
func ExampleSummarize() {
	const ms = time.Millisecond
	answer := func(agent string, due, first, end time.Duration) record.Record {
		r := record.Unsent(record.Place{Agent: agent})
		r.Due, r.Sent, r.FirstContent, r.End = due, due+1*ms, first, end
		r.Chunks = []time.Duration{first, end}
		r.Outcome, r.PromptTokens, r.CachedTokens, r.OutputTokens = record.OK, 100, 80, 2
		return r
	}
	refused := record.Unsent(record.Place{Agent: "carol"})
	refused.Outcome, refused.Status, refused.End = record.Rejected, 429, 1*ms
	records := []record.Record{
		answer("alice", 0, 20*ms, 30*ms),
		answer("bob", 100*ms, 140*ms, 180*ms),
		refused,
	}

	s := record.Summarize("chat", records, time.Second, -1)
	fmt.Println(s.Requests, "requests:", s.Outcomes[record.OK], "ok,", s.Outcomes[record.Rejected],
		"rejected")
	fmt.Println("first token:", s.TTFT.Min, "to", s.TTFT.Max)
	fmt.Println("end:", s.E2E.Min, "to", s.E2E.Max)
	fmt.Println("cache hits:", s.HitRatio)
	fmt.Println("violations:", len(record.Check(records, -1)))
	// Output:
	// 3 requests: 2 ok, 1 rejected
	// first token: 20ms to 40ms
	// end: 30ms to 80ms
	// cache hits: 0.8
	// violations: 0
}
