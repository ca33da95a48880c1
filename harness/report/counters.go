package report

import (
	"fmt"
	"time"

	"loadstone/harness/record"
)

// counted says what the server counted in all scenarios, "" where it does not count.
func (r *Report) counted() string {
	var all *record.Counters
	for i := range r.Scenarios {
		all = all.Add(r.Scenarios[i].Pooled.Counters)
	}
	if all == nil {
		return ""
	}
	var server, client []string
	for _, f := range [][2]string{{"answered_requests", " answered requests"}, {"output_tokens", " output tokens"}} {
		if v, ok := all.Server[record.Count(f[0])]; ok {
			server, client = append(server, fmt.Sprintf("%.0f%s", v, f[1])), append(client, fmt.Sprintf("%.0f", all.Client[record.Count(f[0])]))
		}
	}
	text := fmt.Sprintf("%s (client: %s)", list(server), list(client))
	if n := all.Client["inexact_answers"]; n > 0 && all.Server["output_tokens"] > all.Client["output_tokens"] {
		text += fmt.Sprintf("; past the stop of %.0f answers it may have gone on", n)
	}
	if v, ok := all.Server["evictions"]; ok {
		text += fmt.Sprintf("; %.0f blocks evicted", v)
	}
	if cpu, tokens := all.Server["cpu_seconds"], all.Server["output_tokens"]; cpu > 0 && tokens > 0 {
		text += fmt.Sprintf("; %s of processor time an output token", duration(time.Duration(cpu/tokens*float64(time.Second))))
	}
	return text
}
