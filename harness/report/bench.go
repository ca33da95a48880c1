package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"loadstone/harness/gate"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// units are the measurements of one run, in the order of the benchmark line. Times end in -ns, which benchstat tidies to
// seconds and scales for the reader; it knows no other unit of ours, hence the Unit lines. What a run's percentiles are of,
// how many requests and how many gaps between tokens, comes last: without it a p99 of 20 would be as good as one of 2000.
//
// Note: no unit is assume=exact. The exact assumption calls any difference significant, and a rejection more or less in
// a run under pressure is not.
var units = []struct {
	name, better string
	of           func(*record.Summary) (value float64, ok bool)
}{
	{"p50-ttft-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.TTFT, s.TTFT.P50) }},
	{"p95-ttft-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.TTFT, s.TTFT.P95) }},
	{"p99-ttft-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.TTFT, s.TTFT.P99) }},
	{"p50-itl-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.ITL, s.ITL.P50) }},
	{"p95-itl-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.ITL, s.ITL.P95) }},
	{"p99-itl-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.ITL, s.ITL.P99) }},
	{"p50-e2e-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.E2E, s.E2E.P50) }},
	{"p95-e2e-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.E2E, s.E2E.P95) }},
	{"p99-e2e-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.E2E, s.E2E.P99) }},
	{"req/s", "higher", func(s *record.Summary) (float64, bool) { return s.RequestsPerSec, true }},
	{"tok/s", "higher", func(s *record.Summary) (float64, bool) { return s.TokensPerSec, s.OutputTokens+s.Pieces > 0 }},
	{"goodput-req/s", "higher", func(s *record.Summary) (float64, bool) { return s.Goodput, s.Judged > 0 }},
	{"good-ratio", "higher", func(s *record.Summary) (float64, bool) { return s.GoodRate, s.Judged > 0 }},
	{"hit-ratio", "higher", func(s *record.Summary) (float64, bool) { return s.HitRate, s.HitRate >= 0 }},
	{"peak-pool-ratio", "lower", func(s *record.Summary) (float64, bool) { return s.PeakPool, s.PeakPool >= 0 }},
	{"error-ratio", "lower", func(s *record.Summary) (float64, bool) { return s.ErrorRate, true }},
	{"reject-ratio", "lower", func(s *record.Summary) (float64, bool) { return rejectRate(s), true }},
	{"p99-lag-ns", "lower", func(s *record.Summary) (float64, bool) { return ns(s.Lag, s.Lag.P99) }},
	{gate.SizeOf("ttft"), "higher", func(s *record.Summary) (float64, bool) { return float64(s.TTFT.N), s.TTFT.N > 0 }},
	{gate.SizeOf("itl"), "higher", func(s *record.Summary) (float64, bool) { return float64(s.ITL.N), s.ITL.N > 0 }},
	{gate.SizeOf("e2e"), "higher", func(s *record.Summary) (float64, bool) { return float64(s.E2E.N), s.E2E.N > 0 }},
	{gate.SizeOf("lag"), "higher", func(s *record.Summary) (float64, bool) { return float64(s.Lag.N), s.Lag.N > 0 }},
}

// ns is one percentile as benchmark value: +Inf where the percentile falls on a failed request, absent where nothing was
// measured.
func ns(d stats.Dist, p time.Duration) (float64, bool) {
	if p == never {
		return math.Inf(1), d.N > 0
	}
	return float64(p), d.N > 0
}

func rejectRate(s *record.Summary) float64 {
	if s.Requests == 0 {
		return 0
	}
	return float64(s.Outcomes[record.Rejected]) / float64(s.Requests)
}

// WriteBench writes the Go benchmark format: one line per run of a scenario, the run being the sample.
//
// What must be alike for two files to be compared (host, model, backend, load) stands in configuration keys: benchstat
// puts unlike ones into separate tables. Version, commit, time and seed may differ between any two files worth comparing,
// so they stand in comment lines, which every reader of the format skips; as keys they would keep benchstat from setting
// two files side by side. What differs between scenarios is part of the name.
func (r *Report) WriteBench(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "# %s\n", strings.Join(r.provenance(), "\n# ")); err != nil {
		return err
	}
	out := benchfmt.NewWriter(w)
	for _, u := range units {
		for _, m := range [][2]string{{"better", u.better}, {"assume", "nothing"}} {
			meta := &benchfmt.UnitMetadata{OrigUnit: u.name, Value: m[1]}
			meta.Unit, meta.Key = u.name, m[0]
			if err := out.Write(meta); err != nil {
				return err
			}
		}
	}
	config := r.config()
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		for j := range s.Runs {
			run := &s.Runs[j]
			result := &benchfmt.Result{Config: config, Name: benchfmt.Name(s.benchName()), Iters: run.Reps}
			for _, u := range units {
				if v, ok := u.of(run); ok {
					result.Values = append(result.Values, benchfmt.Value{Value: v, Unit: u.name})
				}
			}
			if err := out.Write(result); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Scenario) benchName() string {
	name := "Serve/scenario=" + s.Pooled.Scenario
	if s.Level.Kind != "" {
		name += "/" + s.Level.String()
	}
	for _, part := range []struct {
		key   string
		value int
	}{{"agents", s.Agents}, {"prompt", s.PromptTokens}, {"gen", s.MaxTokens}} {
		if part.value > 0 {
			name += "/" + part.key + "=" + strconv.Itoa(part.value)
		}
	}
	if s.Cache != "" {
		name += "/cache=" + s.Cache.Key()
	}
	return name
}

func (r *Report) provenance() []string {
	lines := []string{"loadstone bench, " + r.Start.UTC().Format(time.RFC3339)}
	if r.System.Version != "" {
		lines = append(lines, "version "+r.System.Version)
	}
	if r.System.Commit != "" {
		lines = append(lines, "commit "+r.System.Commit)
	}
	lines = append(lines, "seed "+strconv.FormatUint(r.Load.Seed, 10))
	if r.Stopped != "" {
		lines = append(lines, "incomplete: "+oneLine(r.Stopped))
	}
	return lines
}

func (r *Report) config() []benchfmt.Config {
	var config []benchfmt.Config
	for _, kv := range [][2]string{
		{"goos", r.Host.OS},
		{"goarch", r.Host.Arch},
		{"cpu", r.Host.CPU},
		{"cores", positive(r.Host.Cores)},
		{"mem", bytesIfKnown(r.Host.Memory)},
		{"hostclass", r.Host.Class()},
		{"system", r.System.Name},
		{"model", r.System.Model},
		{"backend", r.System.Backend},
		{"quant", r.System.Quant},
		{"threads", positive(r.System.Threads)},
		{"load", cmp.Or(r.Load.Shape, fmt.Sprintf("closed, %d repetitions a run", r.Load.Reps))},
		{"client", r.invalid()},
	} {
		if v := oneLine(kv[1]); v != "" { // an empty value would delete the key
			config = append(config, benchfmt.Config{Key: kv[0], Value: []byte(v), File: true})
		}
	}
	return config
}

// invalid marks a measurement that the client itself could explain. As a key it keeps such a one from being compared with any
// that is sound; where there is no doubt there is no key.
func (r *Report) invalid() string {
	if len(r.Doubts()) > 0 {
		return "invalid"
	}
	return ""
}

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func bytesIfKnown(n int64) string {
	if n <= 0 {
		return ""
	}
	return byteSize(n)
}

// oneLine keeps text that came from outside from starting a line of its own.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
