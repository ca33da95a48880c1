package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// WriteSummaryCSV writes a row for each metric of each scenario, once for all runs together and once for each. Times are in
// milliseconds and have percentiles, each with its 95 % interval where the sample bounds it, all else has a value. An empty field was not measured; "never" is a percentile that
// falls on a failed request.
func (r *Report) WriteSummaryCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"scenario", "level", "agents", "cache", "run", "metric", "unit", "n", "value", "min", "mean", "max",
		"p50", "p50_lo", "p50_hi", "p90", "p90_lo", "p90_hi", "p95", "p95_lo", "p95_hi", "p99", "p99_lo", "p99_hi", "p99.9", "p99.9_lo", "p99.9_hi"})
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		write := func(run string, sum *record.Summary) {
			head := []string{text(sum.Scenario), s.Level.String(), strconv.Itoa(s.Agents), string(s.Cache), run}
			for _, m := range scalars {
				value := ""
				if v, ok := m.of(sum); ok {
					value = strconv.FormatFloat(v, 'g', -1, 64)
				}
				row := append(head[:5:5], m.name, m.unit, strconv.Itoa(sum.Requests), value)
				out.Write(append(row, make([]string, 3+3*len(stats.Quantiles))...))
			}
			for _, m := range dists {
				d := m.of(sum)
				row := append(head[:5:5], m.name, "ms", strconv.Itoa(d.N), "")
				for _, t := range []time.Duration{d.Min, d.Mean, d.Max} {
					row = append(row, milliseconds(t, d.N > 0))
				}
				for _, q := range stats.Quantiles {
					ci, ok := d.Interval(q)
					row = append(row, milliseconds(d.At(q), d.N > 0), milliseconds(ci.Lo, ok), milliseconds(ci.Hi, ok))
				}
				out.Write(row)
			}
		}
		write("all", &s.Pooled)
		for run := range s.Runs {
			write(strconv.Itoa(run+1), &s.Runs[run])
		}
	}
	out.Flush()
	return out.Error()
}

// scalars are the metrics of a summary that are one number.
var scalars = []struct {
	name, unit string
	of         func(*record.Summary) (float64, bool)
}{
	{"answered", "requests", func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[record.OK]), true }},
	{"rejected", "requests", func(s *record.Summary) (float64, bool) { return float64(s.Outcomes[record.Rejected]), true }},
	{"failed", "requests", func(s *record.Summary) (float64, bool) { return float64(failures(*s)), true }},
	{"resent", "requests", func(s *record.Summary) (float64, bool) { return float64(s.Resent), true }},
	{"elapsed", "s", func(s *record.Summary) (float64, bool) { return s.Elapsed.Seconds(), true }},
	{"requests", "1/s", func(s *record.Summary) (float64, bool) { return s.RequestsPerSec, true }},
	{"tokens", "1/s", func(s *record.Summary) (float64, bool) { return s.TokensPerSec, s.OutputTokens+s.Pieces > 0 }},
	{"goodput", "1/s", func(s *record.Summary) (float64, bool) { return s.Goodput, s.Judged > 0 }},
	{"good_rate", "ratio", func(s *record.Summary) (float64, bool) { return s.GoodRate, s.Judged > 0 }},
	{"prompt_tokens", "tokens", func(s *record.Summary) (float64, bool) { return float64(s.PromptTokens), s.PromptTokens > 0 }},
	{"cached_tokens", "tokens", func(s *record.Summary) (float64, bool) { return float64(s.CachedTokens), s.PromptTokens > 0 }},
	{"output_tokens", "tokens", func(s *record.Summary) (float64, bool) { return float64(s.OutputTokens), s.OutputTokens > 0 }},
	{"hit_rate", "ratio", func(s *record.Summary) (float64, bool) { return s.HitRate, s.HitRate >= 0 }},
	{"error_rate", "ratio", func(s *record.Summary) (float64, bool) { return s.ErrorRate, true }},
	{"peak_pool", "ratio", func(s *record.Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }},
}

// WriteRequestsCSV writes a row for each measured request. Times are in milliseconds, on the clock of the run or as
// durations; an empty field never came.
func (r *Report) WriteRequestsCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"scenario", "level", "run", "repetition", "agent", "turn", "outcome", "status", "resent", "due_ms", "sent_ms", "first_token_ms", "end_ms",
		"ttft_ms", "e2e_ms", "lag_ms", "mean_itl_ms", "max_itl_ms", "queue_ms", "prefill_ms", "decode_ms", "server_ms",
		"prompt_tokens", "cached_tokens", "output_tokens", "slo", "finish", "error"})
	for i := range r.Scenarios {
		for j := range r.Scenarios[i].Records {
			out.Write(requestRow(&r.Scenarios[i].Records[j]))
		}
	}
	out.Flush()
	return out.Error()
}

func requestRow(r *record.Record) []string {
	ms := func(t time.Duration) string { return milliseconds(t, t >= 0) }
	count := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	itl := gaps(r)
	meanITL, maxITL := time.Duration(-1), time.Duration(-1)
	if len(itl) > 0 {
		d := stats.Describe(itl)
		meanITL, maxITL = d.Mean, d.Max
	}
	return []string{text(r.Scenario), r.Level.String(), strconv.Itoa(r.Run + 1), strconv.Itoa(r.Rep + 1), text(r.Agent), strconv.Itoa(r.Turn + 1),
		string(r.Outcome), strconv.Itoa(r.Status), strconv.Itoa(r.Resent), ms(r.Due), ms(r.Sent), milliseconds(r.Due+r.TTFT(), r.TTFT() >= 0), ms(r.End),
		ms(r.TTFT()), ms(r.Latency()), ms(r.Sent - r.Due), ms(meanITL), ms(maxITL),
		ms(r.Server.Queue), ms(r.Server.Prefill), ms(r.Server.Decode), ms(r.Server.Total),
		count(r.PromptTokens), count(r.CachedTokens), count(r.OutputTokens), string(r.SLO), text(r.Finish), text(oneLine(r.Error))}
}

func milliseconds(t time.Duration, known bool) string {
	switch {
	case !known:
		return ""
	case t == never:
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
