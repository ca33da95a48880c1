package page

import (
	"fmt"

	"loadstone/harness/record"
	"loadstone/harness/table"
)

// describe is what the pointer reads at a request.
func describe(r *record.Record) string {
	who := fmt.Sprintf("run %d, repetition %d, %s", r.Run+1, r.Rep+1, r.Agent)
	if r.Agent == "" {
		who = fmt.Sprintf("run %d, repetition %d", r.Run+1, r.Rep+1)
	}
	if r.Outcome != record.OK {
		what := string(r.Outcome)
		if r.Status > 0 {
			what += fmt.Sprintf(" (%d)", r.Status)
		}
		return who + "\n" + what + " after " + table.Duration(r.Latency()) + "\n" +
			table.Clip(table.OneLine(r.Error), 120)
	}
	text := who + "\nfirst token " + table.Duration(r.TTFT()) + ", end " +
		table.Duration(r.Latency())
	if r.PromptTokens > 0 {
		text += fmt.Sprintf("\n%d prompt tokens, %d cached, %d out", r.PromptTokens,
			max(r.CachedTokens, 0), max(r.OutputTokens, 0))
	}
	return text
}

// describeParts is what the pointer reads at a bar.
func describeParts(r *record.Record) string {
	text := describe(r)
	if t := r.Server; r.Outcome == record.OK && t.Queue >= 0 && t.Prefill >= 0 && t.Decode >= 0 {
		text += fmt.Sprintf("\nqueue %s, prefill %s, decode %s", table.Duration(t.Queue),
			table.Duration(t.Prefill), table.Duration(t.Decode))
	}
	return text
}
