package metrics

import (
	"fmt"
	"strings"

	"loadstone/harness/record"
)

// counted are the names that servers have for what they count of requests and tokens.
var counted = []struct {
	what  string     // as record.Counted names it, with blanks
	names [][]string // a counter, and the labels that its series must have
	of    func(*record.Record) int
}{
	{"answered requests", [][]string{{"loadstone_requests_total", "route", "/v1/chat/completions", "status", "200"}, {"vllm:request_success_total"}},
		func(*record.Record) int { return 1 }},
	{"prompt tokens", [][]string{{"loadstone_tokens_total", "kind", "prompt"}, {"vllm:prompt_tokens_total"}, {"llamacpp:prompt_tokens_total"}},
		func(r *record.Record) int { return r.PromptTokens }},
	{"cached tokens", [][]string{{"loadstone_tokens_total", "kind", "cached"}}, func(r *record.Record) int { return r.CachedTokens }},
	{"output tokens", [][]string{{"loadstone_tokens_total", "kind", "output"}, {"vllm:generation_tokens_total"}, {"llamacpp:tokens_predicted_total"}},
		func(r *record.Record) int { return r.OutputTokens }},
}

// counters are what is kept of a server's account beside what is counted on both sides. A name that ends in _ is one for each
// value of the label.
var counters = []struct {
	name, counter, label string
	only                 []string // labels that the series must have
}{
	{"requests_", "loadstone_requests_total", "status", []string{"route", "/v1/chat/completions"}},
	{"rejects_", "loadstone_rejects_total", "reason", nil},
	{"evictions", "loadstone_evictions_total", "", nil},
	{"restores", "loadstone_restores_total", "", nil},
	{"steps", "loadstone_steps_total", "", nil},
	{"cpu_seconds", "process_cpu_seconds_total", "", nil},
}

// Account is what a server has counted since its start.
func (m Metrics) Account() record.Account {
	account := record.Account{}
	for _, c := range counted {
		for _, name := range c.names {
			if v := m.Value(name[0], name[1:]...); v >= 0 {
				account[strings.ReplaceAll(c.what, " ", "_")] = v
				break
			}
		}
	}
	for _, c := range counters {
		for _, series := range m[c.counter].GetMetric() {
			if !labelled(series, c.only) {
				continue
			}
			name := c.name
			for _, l := range series.GetLabel() {
				if l.GetName() == c.label {
					name += l.GetValue()
				}
			}
			account[name] += series.GetCounter().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return account
}

// Against holds the rise of counters until now to the answered requests among the records.
func (m Metrics) Against(now Metrics, records []record.Record) (wrong []record.Violation, agreed []string) {
	for _, c := range counted {
		said := 0
		for i := range records {
			if r := &records[i]; r.Outcome == record.OK {
				said += max(0, c.of(r))
			}
		}
		for _, name := range c.names {
			before, after := m.Value(name[0], name[1:]...), now.Value(name[0], name[1:]...)
			if after < 0 {
				continue
			}
			if rose := after - max(before, 0); rose < float64(said) {
				wrong = append(wrong, record.Violation{Check: "counters", About: fmt.Sprintf("%s rose by %.0f, and the answers told of %d %s", name[0], rose, said, c.what)})
			} else {
				agreed = append(agreed, fmt.Sprintf("%d %s", said, c.what))
			}
			break
		}
	}
	return wrong, agreed
}
