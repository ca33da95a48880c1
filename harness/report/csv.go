package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// summaryColumns are those of summary.csv; a percentile has its interval beside it.
var summaryColumns = []string{
	"scenario", "level", "agents", "cache", "run", "metric", "unit", "n", "value", "min", "mean",
	"max",
	"p50", "p50_lo", "p50_hi", "p90", "p90_lo", "p90_hi", "p95", "p95_lo", "p95_hi",
	"p99", "p99_lo", "p99_hi", "p99.9", "p99.9_lo", "p99.9_hi",
}

// WriteSummaryCSV writes a row for each figure of each result, once for all runs together and once
// for each. Times are in milliseconds and have percentiles, each with its 95 % interval where the
// sample bounds it; all else has a value. An empty field was not measured; "never" is a percentile
// that falls on a failed request.
func (r *Report) WriteSummaryCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write(summaryColumns)
	for i := range r.Results {
		s := &r.Results[i]
		writeSummary(out, s, "all", &s.Pooled)
		for run := range s.Runs {
			writeSummary(out, s, strconv.Itoa(run+1), &s.Runs[run])
		}
	}
	out.Flush()
	return out.Error()
}

// writeSummary writes the rows of one run, or of all together.
func writeSummary(out *csv.Writer, s *Result, run string, sum *record.Summary) {
	head := []string{text(sum.Scenario), s.Level.String(), strconv.Itoa(s.Agents), string(s.Cache),
		run}
	for _, f := range figure.Scalars() {
		value := ""
		if v, ok := f.Value(sum); ok {
			value = strconv.FormatFloat(v, 'g', -1, 64)
		}
		row := append(head[:5:5], f.Name, f.Unit, strconv.Itoa(sum.Requests), value)
		out.Write(append(row, make([]string, 3+3*len(stats.Quantiles))...))
	}
	for _, times := range figure.AllTimes {
		d := times.Of(sum)
		row := append(head[:5:5], times.Name, "ms", strconv.Itoa(d.N), "")
		for _, t := range []time.Duration{d.Min, d.Mean, d.Max} {
			row = append(row, milliseconds(t, d.N > 0))
		}
		for _, q := range stats.Quantiles {
			ci, ok := d.Interval(q)
			row = append(row, milliseconds(d.At(q), d.N > 0), milliseconds(ci.Lo, ok),
				milliseconds(ci.Hi, ok))
		}
		out.Write(row)
	}
}

// requestColumns are those of requests.csv.
var requestColumns = []string{
	"scenario", "level", "run", "repetition", "agent", "turn", "outcome", "status", "resent",
	"due_ms", "sent_ms", "first_token_ms", "end_ms", "ttft_ms", "e2e_ms", "lag_ms", "mean_itl_ms",
	"max_itl_ms",
	"queue_ms", "prefill_ms", "decode_ms", "server_ms",
	"prompt_tokens", "cached_tokens", "output_tokens", "slo", "finish", "error",
	"claimed_tokens", "notes", "drafted_tokens", "accepted_tokens",
}

// WriteRequestsCSV writes a row for each measured request. Times are in milliseconds, on the clock
// of the run or as durations; an empty field never came.
func (r *Report) WriteRequestsCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write(requestColumns)
	objective := r.Workload.objective()
	for i := range r.Results {
		for j := range r.Results[i].Records {
			out.Write(requestRow(&r.Results[i].Records[j], objective))
		}
	}
	out.Flush()
	return out.Error()
}

func requestRow(r *record.Record, objective load.Objective) []string {
	ms := func(t time.Duration) string { return milliseconds(t, t >= 0) }
	count := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	meanITL, maxITL := time.Duration(-1), time.Duration(-1)
	if gaps := Gaps(r); len(gaps) > 0 {
		d := stats.Describe(gaps)
		meanITL, maxITL = d.Mean, d.Max
	}
	claimed, drafted, accepted := "", "", ""
	if r.Claimed > 0 {
		claimed = strconv.Itoa(r.Claimed)
	}
	if r.DraftedTokens > 0 {
		drafted, accepted = strconv.Itoa(r.DraftedTokens), strconv.Itoa(r.AcceptedTokens)
	}
	notes := make([]string, len(r.Notes))
	for i, n := range r.Notes {
		notes[i] = string(n)
	}
	return []string{
		text(r.Scenario), r.Level.String(), strconv.Itoa(r.Run + 1), strconv.Itoa(r.Rep + 1),
		text(r.Agent), strconv.Itoa(r.Turn + 1), string(r.Outcome), strconv.Itoa(r.Status),
		strconv.Itoa(r.Resent),
		ms(r.Due), ms(r.Sent), milliseconds(r.Due+r.TTFT(), r.TTFT() >= 0), ms(r.End),
		ms(r.TTFT()), ms(r.Latency()), ms(r.Sent - r.Due), ms(meanITL), ms(maxITL),
		ms(r.Server.Queue), ms(r.Server.Prefill), ms(r.Server.Decode), ms(r.Server.Total),
		count(r.PromptTokens), count(r.CachedTokens), count(r.OutputTokens),
		string(r.Judge(objective)), text(r.Finish), text(table.OneLine(r.Error)),
		claimed, text(table.OneLine(strings.Join(notes, "; "))),
		drafted, accepted,
	}
}

func milliseconds(t time.Duration, known bool) string {
	switch {
	case !known:
		return ""
	case t == stats.Never:
		return "never"
	}
	return strconv.FormatFloat(float64(t)/1e6, 'f', -1, 64)
}

// text is a field that came from outside. A spreadsheet would run one that begins like a formula.
func text(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
