package metrics

import (
	"fmt"
	"slices"

	"loadstone/harness/record"
)

// A counter is a name of a counter and the labels that its series must have, name and value in
// turn.
type counter struct {
	name   string
	labels []string
	asked  bool // of them only the series whose route is one that answers questions
}

// has reports whether a series of the counter's name is one of it.
func (c counter) has(s Series) bool {
	return s.has(c.labels) && (!c.asked || slices.Contains(AskedRoutes, s.Label("route")))
}

// value is the sum of the counter's series, or -1 where the server does not publish any.
func (c counter) value(m Metrics) float64 {
	sum, found := 0.0, false
	for _, s := range m[c.name] {
		if c.has(s) {
			found = true
			sum += s.Value
		}
	}
	if !found {
		return -1
	}
	return sum
}

// AskedRoutes are the routes of our server that answer questions. It counts and logs requests by
// them.
var AskedRoutes = []string{
	"/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"}

// shared are the counts that both the server and the client keep. Servers have several names for
// them: the first that a server publishes counts.
var shared = []struct {
	count    record.Count
	text     string
	counters []counter
	of       func(*record.Record) int // what one answered request adds to the client's count
}{
	{record.AnsweredRequests, "answered requests",
		[]counter{{"loadstone_requests_total", []string{"status", "200"}, true},
			{name: "vllm:request_success_total"}},
		func(*record.Record) int { return 1 }},
	{record.PromptTokens, "prompt tokens",
		[]counter{{name: "loadstone_tokens_total", labels: []string{"kind", "prompt"}},
			{name: "vllm:prompt_tokens_total"}, {name: "llamacpp:prompt_tokens_total"}},
		func(r *record.Record) int { return r.PromptTokens }},
	{record.CachedTokens, "cached tokens",
		[]counter{{name: "loadstone_tokens_total", labels: []string{"kind", "cached"}}},
		func(r *record.Record) int { return r.CachedTokens }},
	{record.OutputTokens, "output tokens",
		[]counter{{name: "loadstone_tokens_total", labels: []string{"kind", "output"}},
			{name: "vllm:generation_tokens_total"}, {name: "llamacpp:tokens_predicted_total"}},
		func(r *record.Record) int { return r.OutputTokens }},
}

// own are the counts that only a server keeps. Where there is a label, each of its values is a
// count of its own, whose name ends in that value.
var own = []struct {
	count   record.Count
	counter counter
	label   string
}{
	{record.RequestsByStatus, counter{"loadstone_requests_total", nil, true}, "status"},
	{record.RejectsByReason, counter{name: "loadstone_rejects_total"}, "reason"},
	{record.Evictions, counter{name: "loadstone_evictions_total"}, ""},
	{record.Restores, counter{name: "loadstone_restores_total"}, ""},
	{record.Steps, counter{name: "loadstone_steps_total"}, ""},
	{record.CPUSeconds, counter{name: "process_cpu_seconds_total"}, ""},
}

// Account is what the server has counted since its start.
func (m Metrics) Account() record.Account {
	account := record.Account{}
	for _, s := range shared {
		for _, c := range s.counters {
			if v := c.value(m); v >= 0 {
				account[s.count] = v
				break
			}
		}
	}
	for _, o := range own {
		for _, s := range m[o.counter.name] {
			if o.counter.has(s) {
				account[o.count+record.Count(s.Label(o.label))] += s.Value
			}
		}
	}
	return account
}

// CheckCounters compares the rise of a server's counters between two scrapes with what the answered
// requests of the records add up to. A counter that rose by less is a violation; agreed lists, in
// words, the counts that rose by enough. They may have risen by more: others may use the server.
func CheckCounters(before, after Metrics, records []record.Record) (
	violations []record.Violation, agreed []string) {
	for _, s := range shared {
		answers := 0
		for i := range records {
			if r := &records[i]; r.Outcome == record.OK {
				answers += max(0, s.of(r))
			}
		}
		for _, c := range s.counters {
			now := c.value(after)
			if now < 0 {
				continue
			}
			if rise := now - max(c.value(before), 0); rise < float64(answers) {
				violations = append(violations, record.Violation{Check: record.CheckCounters,
					About: fmt.Sprintf("%s rose by %.0f, and the answers add up to %d %s",
						c.name, rise, answers, s.text)})
			} else {
				agreed = append(agreed, fmt.Sprintf("%d %s", answers, s.text))
			}
			break
		}
	}
	return violations, agreed
}
