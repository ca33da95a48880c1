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
func answered(name string, agents, n int, queue, prefill, decode, network time.Duration,
	perSecond float64) Result {
	total := queue + prefill + decode
	s := Result{Agents: agents, Cache: load.Hot}
	for range n {
		s.Records = append(s.Records, record.Record{Place: record.Place{Scenario: name},
			FirstContent: queue + prefill, End: total + network, Outcome: record.OK,
			PromptTokens: 100, CachedTokens: 90, OutputTokens: 10,
			Server: record.ServerTiming{FirstByte: queue, Total: total, Queue: queue,
				Prefill: prefill, Decode: decode}})
	}
	elapsed := time.Duration(float64(n) / perSecond * float64(time.Second))
	s.Pooled = record.Summarize(name, s.Records, elapsed, 0.04*float64(agents))
	return s
}

// The sentences follow the measurement: each case is another server, and the golden file has what
// the report says of it.
func TestDiagnosisAndAdvice(t *testing.T) {
	const ms = time.Millisecond
	cases := []struct {
		name      string
		scenarios []Result
	}{
		{"queue bound, saturated at five", []Result{
			answered("single-cached", 1, 10, 0, 10*ms, 90*ms, ms, 10),
			answered("concurrent-5", 5, 50, 50*ms, 10*ms, 90*ms, ms, 33),
			answered("concurrent-10", 10, 100, 200*ms, 10*ms, 95*ms, ms, 34)}},
		{"decode bound, misses p50", []Result{
			answered("single-cached", 1, 10, 0, 10*ms, 90*ms, ms, 10),
			answered("concurrent-5", 5, 50, 0, 15*ms, 450*ms, ms, 11),
			answered("concurrent-10", 10, 100, 0, 20*ms, 900*ms, ms, 11)}},
		{"hopeless", []Result{
			answered("single-cached", 1, 10, 0, 4000*ms, 6000*ms, ms, 0.1),
			answered("concurrent-5", 5, 50, 0, 4000*ms, 6000*ms, ms, 0.1),
			answered("concurrent-10", 10, 100, 0, 4000*ms, 9000*ms, ms, 0.1)}},
		{"network bound, still growing", []Result{
			answered("single-cached", 1, 10, 0, ms, 2*ms, 40*ms, 23),
			answered("concurrent-5", 5, 50, 0, ms, 2*ms, 40*ms, 115),
			answered("concurrent-10", 10, 100, 0, ms, 2*ms, 40*ms, 230)}},
		{"no part dominates", []Result{
			answered("single-cached", 1, 10, 30*ms, 35*ms, 35*ms, ms, 10)}},
		{"nothing measured", nil},
	}
	var b strings.Builder
	for _, c := range cases {
		r := &Report{Results: c.scenarios}
		b.WriteString("== " + c.name + "\n" + r.diagnosis() + "\n")
		for _, line := range r.advice() {
			b.WriteString("- " + line + "\n")
		}
		b.WriteString("\n")
	}
	golden.Assert(t, b.String(), "analysis.txt")
}

// The parts of a request add up to what the client saw, and a server that is silent is left out
// instead of counted as 0.
func TestBreakdownAddsUp(t *testing.T) {
	s := answered("single-cold", 1, 4, 1e6, 2e6, 3e6, 4e6, 1)
	s.Records = append(s.Records, record.Record{End: time.Hour, Outcome: record.OK,
		Server: record.ServerTiming{Total: -1, Queue: -1, Prefill: -1, Decode: -1}})
	b := s.Breakdown()
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

// The knee is the highest rate that was answered as it came, whatever the order in which the levels
// were measured.
func TestSweep(t *testing.T) {
	sweeps := swept().Sweeps()
	if len(sweeps) != 1 || len(sweeps[0].Points) != 5 {
		t.Fatalf("%d sweeps", len(sweeps))
	}
	w := sweeps[0]
	if w.Knee != 2 || w.Points[w.Knee].Level != 4 || w.Open {
		t.Errorf("the knee is point %d of %v: %s", w.Knee, w.Points, w.Text())
	}
	for i, want := range []float64{1, 2, 4, 8, 16} {
		if p := w.Points[i]; p.Level != want || p.Offered < 0.999*want || p.Offered > 1.001*want {
			t.Errorf("point %d is at %g, offered %g; want %g", i, p.Level, p.Offered, want)
		}
	}
	if got, want := w.Text(),
		"The knee is at 4.00 req/s: 4.02 req/s answered, p95 100 ms; at 16.0 req/s it is 4.02 "+
			"req/s and never."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Without levels the scenarios are a sweep of their agents, and a closed loop has its knee where it
// is nearly best.
func TestSweepOfStandardScenarios(t *testing.T) {
	const ms = time.Millisecond
	r := &Report{Results: []Result{
		answered("single-cached", 1, 10, 0, 10*ms, 90*ms, ms, 10),
		answered("concurrent-5", 5, 50, 50*ms, 10*ms, 90*ms, ms, 33),
		answered("concurrent-10", 10, 100, 200*ms, 10*ms, 95*ms, ms, 34)}}
	w := r.Sweeps()[0]
	if w.Kind != "concurrency" || len(w.Points) != 3 || w.Points[w.Knee].Level != 5 {
		t.Errorf("%+v", w)
	}
}

// Which results the capacity is judged by, and which one says what a full pool costs, is seen from
// what was measured: how many agents there were and how full the pool was, not from names.
func TestCapacityKnowsNoNames(t *testing.T) {
	const ms = time.Millisecond
	of := func(name string, agents int, cache load.Cache, peak float64) Result {
		s := answered(name, agents, 10*agents, 0, 10*ms, 90*ms, ms, 10*float64(agents))
		s.Cache, s.Pooled.PeakPool = cache, peak
		return s
	}
	for _, tc := range []struct {
		admit     float64
		last      float64 // peak of the third
		cold      float64 // and of sixteen new agents
		points    int
		pressured string
	}{
		{0, 0.3, 0.89, 3, "d"},   // as bench measures it
		{0, 0.3, -1, 3, "d"},     // more agents than the others, of a server that does not tell
		{0, 0.3, 0.5, 3, ""},     // a pool that was not full
		{0, 0.88, 0.5, 2, "c"},   // one that was, with hot caches
		{0.5, 0.3, 0.49, 3, "d"}, // of a server that refuses work earlier
	} {
		r := &Report{Meta: Meta{System: System{AdmitBelow: tc.admit}}, Results: []Result{
			of("a", 1, load.Hot, 0.1), of("b", 4, load.Hot, 0.2), of("c", 8, load.Hot, tc.last),
			of("d", 16, load.Cold, tc.cold)}}
		c := r.capacity()
		name := ""
		if s := r.pressured(&c); s != nil {
			name = s.Name()
		}
		if len(c.Points) != tc.points || name != tc.pressured {
			t.Errorf("%+v: %d points, pressured is %q", tc, len(c.Points), name)
		}
	}
}
