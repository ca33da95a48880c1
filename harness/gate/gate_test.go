package gate_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/scenario"
)

// server is one that a test measures without running it: what it changes of a healthy one.
type server struct {
	seed   uint64
	slower float64 // 0.2: all times are 20 % longer
	errors int     // failed requests in the last run
	runs   int     // 0: 10
	only   string  // the one scenario measured; "" all
	model  string
	lag    time.Duration
}

// measure writes the benchmark file of such a server: records with a run-to-run spread of 3 %, a drift over the runs,
// requests that spread by 10 %, and now and then one that took half as long again.
func measure(t *testing.T, s server) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(s.seed, 1))
	if s.runs == 0 {
		s.runs = 10
	}
	if s.model == "" {
		s.model = "tiny"
	}
	r := &report.Report{System: report.System{Name: "loadstone", Model: s.model, Backend: "ref", Quant: "f32", Threads: 2},
		Host: report.Host{OS: "linux", Arch: "amd64", CPU: "Example CPU", Cores: 2, SIMD: "avx2", Memory: 8 << 30},
		Load: report.Load{Runs: s.runs, Reps: 10, Seed: s.seed}}
	files, err := scenario.Five()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		sc := file.Load
		if s.only != "" && s.only != sc.Name {
			continue
		}
		out := report.Scenario{Agents: sc.Together, Cache: sc.Cache, PromptTokens: 64, MaxTokens: 16}
		var all []record.Record
		for run := range s.runs {
			speed := (1 + s.slower) * math.Exp(0.03*rng.NormFloat64()) * (1 + 0.01*float64(run)/float64(s.runs))
			var records []record.Record
			for rep := range 10 {
				for agent := range min(sc.Together, 3) { // more of them show the gate nothing new
					records = append(records, request(rng, speed, sc, run, rep, agent, s.lag))
				}
			}
			if run == s.runs-1 {
				for i := range s.errors {
					records[i].Outcome, records[i].Error = record.Failed, "injected"
				}
			}
			out.Runs = append(out.Runs, record.Summarize(sc.Name, records, time.Duration(float64(10*time.Second)*speed), 0.3))
			all = append(all, records...)
		}
		out.Pooled = record.Summarize(sc.Name, all, time.Minute, 0.3)
		r.Scenarios = append(r.Scenarios, out)
	}
	name := filepath.Join(t.TempDir(), "bench.txt")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.WriteBench(f); err != nil {
		t.Fatal(err)
	}
	return name
}

func request(rng *rand.Rand, speed float64, sc load.Load, run, rep, agent int, lag time.Duration) record.Record {
	slow := speed * math.Exp(0.1*rng.NormFloat64())
	if rng.IntN(50) == 0 {
		slow *= 1.5
	}
	of := func(d time.Duration) time.Duration { return time.Duration(float64(d) * slow) }
	sent := lag + time.Duration(rng.IntN(50_000))
	r := record.Record{Place: record.Place{Scenario: sc.Name, Run: run, Rep: rep, Agent: fmt.Sprint(agent)}, Sent: sent, Outcome: record.OK, Status: 200,
		FirstContent: sent + of(40*time.Millisecond), PromptTokens: 64, OutputTokens: 16,
		Server: record.ServerTiming{FirstByte: -1, Total: -1, Queue: -1, Prefill: -1, Decode: -1}}
	if sc.Cache == load.Hot {
		r.CachedTokens = 60
	}
	at := r.FirstContent
	for range 16 {
		r.Chunks = append(r.Chunks, at)
		at += of(2 * time.Millisecond)
	}
	r.End = at
	return r
}

func decide(t *testing.T, o gate.Options) (*gate.Comparison, error) {
	t.Helper()
	c, err := gate.Compare(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Decide()
}

// The gate's own test: what is 20 % slower never passes, and what is the same always does.
func TestGate(t *testing.T) {
	for seed := range uint64(20) {
		base := measure(t, server{seed: 2*seed + 1})
		if c, err := decide(t, gate.Options{Base: base, Head: measure(t, server{seed: 2*seed + 2})}); err != nil {
			var b strings.Builder
			c.WriteTable(&b, false, true)
			t.Errorf("A/A number %d: %v\n%s", seed, err, b.String())
		}
		_, err := decide(t, gate.Options{Base: base, Head: measure(t, server{seed: 2*seed + 2, slower: 0.2})})
		var regression *gate.Regression
		if !errors.As(err, &regression) {
			t.Errorf("20 %% slower, number %d: %v", seed, err)
		}
		// And the other way round it is an improvement.
		if _, err := decide(t, gate.Options{Base: measure(t, server{seed: 2*seed + 2, slower: 0.2}), Head: base}); err != nil {
			t.Errorf("20 %% faster, number %d: %v", seed, err)
		}
	}
}

// Everything else that must not pass, and what it says.
func TestDecide(t *testing.T) {
	base := measure(t, server{seed: 1})
	for _, c := range []struct {
		name    string
		head    server
		options gate.Options
		invalid bool
		want    string
	}{
		{"one failed request", server{seed: 2, errors: 1}, gate.Options{}, false, "worse"},
		{"a scenario is missing", server{seed: 2, only: "single-cold"}, gate.Options{}, false, "missing"},
		{"few runs", server{seed: 2, runs: 4}, gate.Options{}, false, "too few runs"},
		{"few runs for so many cells", server{seed: 2, runs: 6}, gate.Options{Alpha: 0.001}, false, "too few runs"},
		{"another model", server{seed: 2, model: "smollm2"}, gate.Options{}, true, "model is tiny in base and smollm2 in head"},
		{"the client is slow", server{seed: 2, lag: 3500 * time.Microsecond}, gate.Options{Units: []string{"p50-*"}}, true, "the load generator itself became slower"},
		{"the client explains it all", server{seed: 2, lag: 50 * time.Millisecond}, gate.Options{Units: []string{"p50-*"}}, true, "client is not given in base and invalid in head"},
	} {
		c.options.Base, c.options.Head = base, measure(t, c.head)
		_, err := decide(t, c.options)
		var invalid *gate.Invalid
		if err == nil || errors.As(err, &invalid) != c.invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if _, err := decide(t, gate.Options{Base: base, Head: measure(t, server{seed: 2, model: "smollm2"}), Ignore: []string{"model"}}); err != nil {
		t.Errorf("another model, ignored: %v", err)
	}
}

// Files and options that nothing can be decided with.
func TestCompareErrors(t *testing.T) {
	base := measure(t, server{seed: 1})
	text, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "f.txt")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		name    string
		options gate.Options
		want    string
	}{
		{"empty head", gate.Options{Base: base, Head: file("")}, "no benchmark result in it"},
		{"empty base", gate.Options{Base: file("PASS\nok\n"), Head: base}, "no benchmark result in it"},
		{"no file", gate.Options{Base: base, Head: "nosuch.txt"}, "nosuch.txt"},
		{"damaged", gate.Options{Base: base, Head: file(string(text) + "BenchmarkServe/scenario=single-cold 10 1.5e p50-ttft-ns\n")}, "f.txt:"},
		{"no number", gate.Options{Base: base, Head: file(string(text) + "BenchmarkServe/scenario=single-cold 10 NaN p50-ttft-ns\n")}, "is not a number"},
		{"typo in a scenario", gate.Options{Base: base, Head: base, Scenarios: []string{"single-*", "concurent-5"}}, "-scenario concurent-5 matches nothing; there are concurrent-10"},
		{"typo in a unit", gate.Options{Base: base, Head: base, Units: []string{"p50-ttft", "p99-tftt"}}, "-unit p99-tftt matches nothing"},
		{"filter for nothing", gate.Options{Base: base, Head: base, Filter: "model:big"}, "-filter model:big lets through"},
		{"bad filter", gate.Options{Base: base, Head: base, Filter: "model:("}, "-filter model:("},
		{"effect of no unit", gate.Options{Base: base, Head: base, Effects: map[string]float64{"p50": 0.1}}, "-effect p50: no such unit"},
		{"no A/A measurement", gate.Options{Base: base, Head: base, Floor: base}, "no benchmark result in it"},
	} {
		if _, err := gate.Compare(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	// A unit that nobody gave a direction, in an otherwise sound pair of files.
	odd := strings.ReplaceAll(string(text), "Unit tok/s better=higher\n", "")
	_, err = decide(t, gate.Options{Base: file(odd), Head: file(odd)})
	if err == nil || !strings.Contains(err.Error(), "Unit tok/s better=") {
		t.Errorf("a unit without better=: %v", err)
	}
}

// A run whose value is 0 is a run like the others: benchfmt leaves the unit of a 0 untidied.
func TestZero(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f.txt")
	text := "Unit p50-itl-ns better=lower\n" + strings.Repeat("BenchmarkX 1 5 p50-itl-ns\nBenchmarkX 1 0 p50-itl-ns\n", 5)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := decide(t, gate.Options{Base: name, Head: name})
	if err != nil || len(c.Cells) != 1 || c.Cells[0].NBase != 10 {
		t.Errorf("%v, %d cells: %+v; want one of 10 runs", err, len(c.Cells), c.Cells)
	}
}

// The A/A floor raises what counts as worse, and a threshold under it is refused.
func TestFloor(t *testing.T) {
	a, b := measure(t, server{seed: 1}), measure(t, server{seed: 2})
	floor := filepath.Join(t.TempDir(), "bench.floor")
	f, err := os.Create(floor)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(gate.WriteFloor(f, a, b), f.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := decide(t, gate.Options{Base: a, Head: b, Floor: floor})
	if err != nil {
		t.Error(err)
	}
	for _, cell := range c.Cells {
		if strings.HasPrefix(cell.Unit, "p50-") && (cell.Floor < 0.002 || cell.Floor > 0.10) {
			t.Errorf("%s %s: floor is %.4f; runs that spread by 3 %% cannot give that", cell.Scenario, cell.Unit, cell.Floor)
		}
		if cell.Bound < cell.Floor {
			t.Errorf("%s %s: bound %.4f is under the floor %.4f", cell.Scenario, cell.Unit, cell.Bound, cell.Floor)
		}
	}
	_, err = gate.Compare(gate.Options{Base: a, Head: b, Floor: floor, Effects: map[string]float64{"p50-e2e": 0.0005}})
	if err == nil || !strings.Contains(err.Error(), "cannot be told from noise") {
		t.Errorf("a threshold under the floor: %v", err)
	}
	_, err = decide(t, gate.Options{Base: measure(t, server{seed: 3, model: "smollm2"}), Head: measure(t, server{seed: 4, model: "smollm2"}), Floor: floor})
	if err == nil || !strings.Contains(err.Error(), "model is smollm2 in base and tiny in the A/A floor") {
		t.Errorf("the floor of another model: %v", err)
	}
}

func TestSLO(t *testing.T) {
	head := measure(t, server{seed: 1})
	slos, err := gate.ParseSLOs("p99-e2e<5s, p50-ttft<1ms,hit-ratio>=50%,error-ratio<=0")
	if err != nil {
		t.Fatal(err)
	}
	results, err := gate.CheckSLOs(gate.Options{Head: head, Scenarios: []string{"concurrent-5"}}, slos)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []limit.Standing{limit.NotShown, limit.Missed, limit.Met, limit.Met} {
		if results[i].Stands != want {
			t.Errorf("%s: %s, got %v, %s", results[i].Text, results[i].Stands, results[i].Got, results[i].Word())
		}
	}
	if _, err := gate.CheckSLOs(gate.Options{Head: head}, []limit.Limit{{Unit: "p98-e2e", Op: "<", Value: 1, Text: "p98-e2e<1s"}}); err == nil || !strings.Contains(err.Error(), "has no p98-e2e") {
		t.Errorf("an unknown unit: %v", err)
	}
	for _, bad := range []string{"", "p99-e2e", "p99-e2e<", "p99-e2e<fast", "<5s", "p99-e2e<5s,"} {
		if _, err := gate.ParseSLOs(bad); err == nil {
			t.Errorf("ParseSLOs(%q) is no error", bad)
		}
	}
}

// A percentile within its limit is shown to hold by runs that are each large enough, or by all of them where none is beyond it;
// not by many small ones, nor by a file that does not say how large they are. A limit that is missed is, whatever the size.
func TestSLOSample(t *testing.T) {
	line := func(p99 float64, n int) string {
		text := fmt.Sprintf("BenchmarkServe/scenario=x 1 %g p99-e2e-ns 1e6 p50-itl-ns 9 req/s", p99)
		if n > 0 {
			text += fmt.Sprintf(" %d n-e2e %d n-itl", n, n)
		}
		return text + "\n"
	}
	const within, beyond = 1e9, 6e9
	for _, c := range []struct {
		name, slo, file string
		stands          limit.Standing
		word            string
	}{
		{"ten runs of 20", "p99-e2e<5s", strings.Repeat(line(within, 20), 10), limit.NotShown, "not shown: needs 441 requests, has 200"},
		{"ten runs of 44", "p99-e2e<5s", strings.Repeat(line(within, 44), 10), limit.NotShown, "not shown: needs 441 requests, has 440"},
		{"ten runs of 45, all within", "p99-e2e<5s", strings.Repeat(line(within, 45), 10), limit.Met, "met"},
		{"ten runs of 45, one beyond", "p99-e2e<5s", strings.Repeat(line(within, 45), 9) + line(beyond, 45), limit.NotShown, "some runs are beyond the limit, and one has only 45 of the 441 requests it needs"},
		{"ten runs of 441, one beyond", "p99-e2e<5s", strings.Repeat(line(within, 441), 9) + line(beyond, 441), limit.Met, "met"},
		{"most beyond", "p99-e2e<5s", line(within, 5) + strings.Repeat(line(beyond, 5), 9), limit.Missed, "MISSED"},
		{"a file without sizes", "p99-e2e<5s", strings.Repeat(line(within, 0), 10), limit.NotShown, "not shown: needs 441 requests, and the file does not say how many it has"},
		{"one line without", "p99-e2e<5s", strings.Repeat(line(within, 500), 9) + line(within, 0), limit.NotShown, "does not say"},
		{"missed without sizes", "p99-e2e<5s", strings.Repeat(line(beyond, 0), 10), limit.Missed, "MISSED"},
		{"gaps", "p50-itl<1s", line(within, 5), limit.NotShown, "needs 6 gaps between tokens, has 5"},
		{"no percentile", "req/s>1", line(within, 0), limit.Met, "met"},
	} {
		name := filepath.Join(t.TempDir(), "f.txt")
		if err := os.WriteFile(name, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		slos, err := gate.ParseSLOs(c.slo)
		if err != nil {
			t.Fatal(err)
		}
		results, err := gate.CheckSLOs(gate.Options{Head: name}, slos)
		if err != nil || len(results) != 1 || results[0].Stands != c.stands || !strings.Contains(results[0].Word(), c.word) {
			t.Errorf("%s: %v, %+v: %s; want %s, %q", c.name, err, results, results[0].Word(), c.stands, c.word)
		}
	}
}

// The number of requests behind a percentile is nothing to compare: no cell is made of it.
func TestSizesAreNoCells(t *testing.T) {
	base := measure(t, server{seed: 1})
	c, err := decide(t, gate.Options{Base: base, Head: measure(t, server{seed: 2}), All: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range c.Cells {
		if strings.HasPrefix(cell.Unit, "n-") {
			t.Errorf("%s is compared", cell.Unit)
		}
	}
	text, err := os.ReadFile(base)
	if err != nil || !strings.Contains(string(text), " 30 n-ttft 450 n-itl 30 n-e2e 30 n-lag") {
		t.Errorf("the file does not have the sizes: %v", err)
	}
}
