package report

import (
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// answered is a scenario of n equal requests whose server reports the given parts.
func answered(name string, agents, n int, queue, prefill, decode, network time.Duration, perSecond float64) Scenario {
	total := queue + prefill + decode
	s := Scenario{Agents: agents, Cache: load.Hot}
	for range n {
		s.Records = append(s.Records, record.Record{Place: record.Place{Scenario: name}, FirstContent: queue + prefill, End: total + network, Outcome: record.OK,
			PromptTokens: 100, CachedTokens: 90, OutputTokens: 10,
			Server: record.ServerTiming{FirstByte: queue, Total: total, Queue: queue, Prefill: prefill, Decode: decode}})
	}
	elapsed := time.Duration(float64(n) / perSecond * float64(time.Second))
	s.Pooled = record.Summarize(name, s.Records, elapsed, 0.04*float64(agents))
	return s
}

// The sentences follow the measurement: each case is another subject, and the golden file holds what is said of it.
func TestDiagnosisAndAdvice(t *testing.T) {
	const ms = time.Millisecond
	cases := []struct {
		name      string
		scenarios []Scenario
	}{
		{"queue bound, saturated at five", []Scenario{
			answered("single-cached", 1, 10, 0, 10*ms, 90*ms, ms, 10),
			answered("concurrent-5", 5, 50, 50*ms, 10*ms, 90*ms, ms, 33),
			answered("concurrent-10", 10, 100, 200*ms, 10*ms, 95*ms, ms, 34)}},
		{"decode bound, misses p50", []Scenario{
			answered("single-cached", 1, 10, 0, 10*ms, 90*ms, ms, 10),
			answered("concurrent-5", 5, 50, 0, 15*ms, 450*ms, ms, 11),
			answered("concurrent-10", 10, 100, 0, 20*ms, 900*ms, ms, 11)}},
		{"hopeless", []Scenario{
			answered("single-cached", 1, 10, 0, 4000*ms, 6000*ms, ms, 0.1),
			answered("concurrent-5", 5, 50, 0, 4000*ms, 6000*ms, ms, 0.1),
			answered("concurrent-10", 10, 100, 0, 4000*ms, 9000*ms, ms, 0.1)}},
		{"network bound, still growing", []Scenario{
			answered("single-cached", 1, 10, 0, ms, 2*ms, 40*ms, 23),
			answered("concurrent-5", 5, 50, 0, ms, 2*ms, 40*ms, 115),
			answered("concurrent-10", 10, 100, 0, ms, 2*ms, 40*ms, 230)}},
		{"no part dominates", []Scenario{
			answered("single-cached", 1, 10, 30*ms, 35*ms, 35*ms, ms, 10)}},
		{"nothing measured", nil},
	}
	var b strings.Builder
	for _, c := range cases {
		r := &Report{Scenarios: c.scenarios}
		b.WriteString("== " + c.name + "\n" + r.diagnosis() + "\n")
		for _, line := range r.advice() {
			b.WriteString("- " + line + "\n")
		}
		b.WriteString("\n")
	}
	golden.Assert(t, b.String(), "analysis.txt")
}

// The parts of a request add up to what the client saw, and a server that is silent is left out instead of counted as 0.
func TestBreakdownAddsUp(t *testing.T) {
	s := answered("single-cold", 1, 4, 1e6, 2e6, 3e6, 4e6, 1)
	s.Records = append(s.Records, record.Record{End: time.Hour, Outcome: record.OK, Server: record.ServerTiming{Total: -1, Queue: -1, Prefill: -1, Decode: -1}})
	b := breakdown(s.Records)
	var sum time.Duration
	var shares float64
	for _, p := range b.Parts {
		sum += p.Mean
		shares += p.Share
	}
	if b.N != 4 || b.Total != 10e6 || sum != b.Total || shares < 0.999 || shares > 1.001 {
		t.Errorf("breakdown of %d requests: parts %v of %v, shares %v", b.N, sum, b.Total, shares)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 123: "0.123 µs", 1500: "1.50 µs", 999_400: "999 µs", 999_600: "1.00 ms", 999_999_999: "1.00 s", 12_345_678: "12.3 ms", 1_234_567_890: "1.23 s",
		never: "never", -1: "–", 100 * time.Second: "100 s", 1234 * time.Second: "1234 s",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%d) = %q, want %q", d, got, want)
		}
	}
}
