package gate_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"loadstone/harness/gate"
	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

// five are the scenarios of bench.
var five = []load.Load{
	scenario("single-cold", 1, load.Cold), scenario("single-cached", 1, load.Hot),
	scenario("concurrent-5", 5, load.Hot),
	scenario("concurrent-10", 10, load.Hot), scenario("pool-pressure", 16, load.Cold),
}

func scenario(name string, agents int, cache load.Cache) load.Load {
	return load.Load{Name: name, Concurrency: agents, Cache: cache, Prompt: load.Fixed(64),
		Answer: load.Fixed(16)}
}

// A server is one that a test measures without running it: how it differs from a healthy one.
type server struct {
	seed   uint64
	slower float64 // 0.2: all times are 20 % longer
	errors int     // failed requests in the last run
	runs   int     // 0: 10
	only   string  // the one scenario measured; "" all
	model  string
	lag    time.Duration
}

// measure writes the benchmark file of such a server: records with a run-to-run spread of 3 %, a
// drift over the runs, requests that spread by 10 %, and now and then one that took half as long
// again.
func measure(t *testing.T, s server) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(s.seed, 1))
	if s.runs == 0 {
		s.runs = 10
	}
	if s.model == "" {
		s.model = "tiny"
	}
	var loads []load.Load
	var runs []record.Run
	for _, l := range five {
		if s.only != "" && s.only != l.Name {
			continue
		}
		loads = append(loads, l)
		for i := range s.runs {
			speed := (1 + s.slower) * math.Exp(0.03*rng.NormFloat64()) * (1 +
				0.01*float64(i)/float64(s.runs))
			run := record.Run{Scenario: l.Name, Index: i, Cache: l.Cache, PeakPool: 0.3,
				Elapsed: time.Duration(float64(10*time.Second) * speed)}
			for rep := range 10 {
				for agent := range min(l.Concurrency, 3) { // more of them show the gate nothing new
					run.Records = append(run.Records, request(rng, speed, l, i, rep, agent, s.lag))
				}
			}
			if i == s.runs-1 {
				for j := range s.errors {
					run.Records[j].Outcome, run.Records[j].Error = record.Failed, "injected"
				}
			}
			runs = append(runs, run)
		}
	}
	r := report.New(report.Meta{
		System: report.System{Name: "loadstone", Model: s.model, Backend: "ref", Quant: "f32",
			Threads: 2},
		Host: report.Host{OS: "linux", Arch: "amd64", CPU: "Example CPU", Cores: 2,
			SIMD: "avx2", Memory: 8 << 30},
		Workload: report.Workload{Runs: s.runs, Reps: 10, Seed: s.seed},
	}, loads, runs)
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

func request(rng *rand.Rand, speed float64, l load.Load, run, rep, agent int,
	lag time.Duration) record.Record {
	slow := speed * math.Exp(0.1*rng.NormFloat64())
	if rng.IntN(50) == 0 {
		slow *= 1.5
	}
	of := func(d time.Duration) time.Duration { return time.Duration(float64(d) * slow) }
	sent := lag + time.Duration(rng.IntN(50_000))
	r := record.Record{Place: record.Place{Scenario: l.Name, Run: run, Rep: rep,
		Agent: fmt.Sprint(agent)}, Sent: sent, Outcome: record.OK, Status: 200,
		FirstContent: sent + of(40*time.Millisecond), PromptTokens: 64, OutputTokens: 16,
		Server: record.ServerTiming{FirstByte: -1, Total: -1, Queue: -1, Prefill: -1, Decode: -1}}
	if l.Cache == load.Hot {
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

// options are what to compare, by the names of files, and how.
type options struct {
	Base, Head, Floor, Filter string
	Scenarios, Units, Ignore  []string
	All                       bool
	Alpha                     float64
	Effects                   map[string]float64
}

// opened is a file to compare, and what opens and closes it.
func opened(name string, use func(gate.File) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return use(gate.File{Name: name, Reader: f})
}

func (o *options) gate() gate.Options {
	return gate.Options{Filter: o.Filter, Scenarios: o.Scenarios, Units: o.Units, Ignore: o.Ignore,
		All: o.All, Alpha: o.Alpha, Effects: o.Effects}
}

func compare(o options) (c *gate.Comparison, err error) {
	err = opened(o.Base, func(base gate.File) error {
		return opened(o.Head, func(head gate.File) error {
			if o.Floor == "" {
				c, err = gate.Compare(base, head, o.gate())
				return err
			}
			return opened(o.Floor, func(noise gate.File) error {
				how := o.gate()
				how.Noise = noise
				c, err = gate.Compare(base, head, how)
				return err
			})
		})
	})
	return c, err
}

func check(o options, limits []limit.Limit) (held []gate.Held, err error) {
	err = opened(o.Head, func(head gate.File) error {
		held, err = gate.CheckLimits(head, o.gate(), limits)
		return err
	})
	return held, err
}

func decide(t *testing.T, o options) (*gate.Comparison, error) {
	t.Helper()
	c, err := compare(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Decide()
}

// The gate's own test: what is 20 % slower never passes, and what is the same always does.
func TestGate(t *testing.T) {
	for seed := range uint64(20) {
		base := measure(t, server{seed: 2*seed + 1})
		if c, err := decide(t, options{Base: base,
			Head: measure(t, server{seed: 2*seed + 2})}); err != nil {
			var b strings.Builder
			c.WriteTable(&b, false, true)
			t.Errorf("A/A number %d: %v\n%s", seed, err, b.String())
		}
		_, err := decide(t, options{Base: base,
			Head: measure(t, server{seed: 2*seed + 2, slower: 0.2})})
		var regression *gate.Regression
		if !errors.As(err, &regression) {
			t.Errorf("20 %% slower, number %d: %v", seed, err)
		}
		// And the other way round it is an improvement.
		if _, err := decide(t, options{Base: measure(t, server{seed: 2*seed + 2, slower: 0.2}),
			Head: base}); err != nil {
			t.Errorf("20 %% faster, number %d: %v", seed, err)
		}
	}
}

// That there are too few runs is said once for all cells that have so many, with how many would do,
// which is so: one run less on each side is too few again.
func TestFewRuns(t *testing.T) {
	text := func(runs int) (string, int) {
		c, err := compare(options{Base: measure(t, server{seed: 1, runs: runs}),
			Head: measure(t, server{seed: 2, runs: runs, slower: 0.2})})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		c.WriteTable(&b, false, false)
		few := 0
		for i := range c.Cells {
			if c.Cells[i].Verdict == gate.Few {
				few++
			}
		}
		return b.String(), few
	}
	got, few := text(2)
	want := regexp.MustCompile(fmt.Sprintf(`(?m)^note: too few runs: 2 and 2, want at least (\d+) `+
		`on each side, in %d of \d+ cells$`, few)).FindStringSubmatch(got)
	if want == nil || few < 20 || strings.Count(got, "too few runs") != 2 || // and in the summary
		strings.Contains(got, "∞") || !strings.Contains(got, " ?") {
		t.Fatalf("of 2 runs, %d too few:\n%s", few, got)
	}
	enough, err := strconv.Atoi(want[1])
	if err != nil {
		t.Fatal(err)
	}
	if got, few := text(enough - 1); few == 0 {
		t.Errorf("%d runs are enough:\n%s", enough-1, got)
	}
	if got, few := text(enough); few > 0 || strings.Contains(got, "?") {
		t.Errorf("%d runs are too few:\n%s", enough, got)
	}
}

// Everything else that must not pass, and what it says.
func TestDecide(t *testing.T) {
	base := measure(t, server{seed: 1})
	for _, c := range []struct {
		name    string
		head    server
		options options
		invalid bool
		want    string
	}{
		{"one failed request", server{seed: 2, errors: 1}, options{}, false, "worse"},
		{"a scenario is missing", server{seed: 2, only: "single-cold"}, options{}, false,
			"missing"},
		{"few runs", server{seed: 2, runs: 4}, options{}, false, "too few runs"},
		{"few runs for so many cells", server{seed: 2, runs: 6}, options{Alpha: 0.001}, false,
			"too few runs"},
		{"another model", server{seed: 2, model: "smollm2"}, options{}, true,
			"model is tiny in base and smollm2 in head"},
		{"the client is slow", server{seed: 2, lag: 3500 * time.Microsecond},
			options{Units: []string{"p50-*"}}, true, "the load generator itself became slower"},
		{"the client explains it all", server{seed: 2, lag: 50 * time.Millisecond},
			options{Units: []string{"p50-*"}}, true,
			"client is not given in base and invalid in head"},
	} {
		c.options.Base, c.options.Head = base, measure(t, c.head)
		_, err := decide(t, c.options)
		var invalid *gate.Invalid
		if err == nil || errors.As(err, &invalid) != c.invalid ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if _, err := decide(t, options{Base: base, Head: measure(t, server{seed: 2, model: "smollm2"}),
		Ignore: []string{"model"}}); err != nil {
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
		options options
		want    string
	}{
		{"empty head", options{Base: base, Head: file("")}, "no benchmark result in it"},
		{"empty base", options{Base: file("PASS\nok\n"), Head: base}, "no benchmark result in it"},
		{"no file", options{Base: base, Head: "nosuch.txt"}, "nosuch.txt"},
		{"damaged", options{Base: base, Head: file(string(text) +
			"BenchmarkServe/scenario=single-cold 10 1.5e p50-ttft-ns\n")}, "f.txt:"},
		{"no number", options{Base: base, Head: file(string(text) +
			"BenchmarkServe/scenario=single-cold 10 NaN p50-ttft-ns\n")}, "is not a number"},
		{"typo in a scenario", options{Base: base, Head: base,
			Scenarios: []string{"single-*", "concurent-5"}},
			"scenario concurent-5 matches nothing; there are concurrent-10"},
		{"typo in a unit", options{Base: base, Head: base, Units: []string{"p50-ttft", "p99-tftt"}},
			"unit p99-tftt matches nothing"},
		{"filter for nothing", options{Base: base, Head: base, Filter: "model:big"},
			"the filter model:big lets through"},
		{"bad filter", options{Base: base, Head: base, Filter: "model:("}, "filter model:("},
		{"effect of no unit", options{Base: base, Head: base,
			Effects: map[string]float64{"p50": 0.1}}, "effect p50: no such unit"},
		{"no A/A measurement", options{Base: base, Head: base, Floor: base},
			"no benchmark result in it"},
	} {
		if _, err := compare(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	// A unit that nobody gave a direction, in an otherwise sound pair of files.
	odd := strings.ReplaceAll(string(text), "Unit tok/s better=higher\n", "")
	_, err = decide(t, options{Base: file(odd), Head: file(odd)})
	if err == nil || !strings.Contains(err.Error(), "Unit tok/s better=") {
		t.Errorf("a unit without better=: %v", err)
	}
}

// A run whose value is 0 is a run like the others: benchfmt leaves the unit of a 0 untidied.
func TestZero(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f.txt")
	text := "Unit p50-itl-ns better=lower\n" +
		strings.Repeat("BenchmarkX 1 5 p50-itl-ns\nBenchmarkX 1 0 p50-itl-ns\n", 5)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := decide(t, options{Base: name, Head: name})
	if err != nil || len(c.Cells) != 1 || c.Cells[0].NBase != 10 {
		t.Errorf("%v, %d cells: %+v; want one of 10 runs", err, len(c.Cells), c.Cells)
	}
}

// The noise floor raises what counts as worse, and a threshold under it is refused.
func TestNoiseFloor(t *testing.T) {
	a, b := measure(t, server{seed: 1}), measure(t, server{seed: 2})
	floor := filepath.Join(t.TempDir(), "bench.floor")
	f, err := os.Create(floor)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(opened(a, func(a gate.File) error {
		return opened(b, func(b gate.File) error {
			_, err := gate.WriteNoise(f, gate.File{}, a, b)
			return err
		})
	}), f.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := decide(t, options{Base: a, Head: b, Floor: floor})
	if err != nil {
		t.Error(err)
	}
	for _, cell := range c.Cells {
		if strings.HasPrefix(cell.Unit, "p50-") && (cell.Floor < 0.002 || cell.Floor > 0.10) {
			t.Errorf("%s %s: floor is %.4f; runs that spread by 3 %% cannot give that",
				cell.Scenario, cell.Unit, cell.Floor)
		}
		if cell.Bound < cell.Floor {
			t.Errorf("%s %s: bound %.4f is under the floor %.4f", cell.Scenario, cell.Unit,
				cell.Bound, cell.Floor)
		}
	}
	_, err = compare(options{Base: a, Head: b, Floor: floor,
		Effects: map[string]float64{"p50-e2e": 0.0005}})
	if err == nil || !strings.Contains(err.Error(), "cannot be told from noise") {
		t.Errorf("a threshold under the floor: %v", err)
	}
	_, err = decide(t, options{Base: measure(t, server{seed: 3, model: "smollm2"}),
		Head: measure(t, server{seed: 4, model: "smollm2"}), Floor: floor})
	if err == nil || !strings.Contains(err.Error(),
		"model is smollm2 in base and tiny in the noise floor") {
		t.Errorf("the floor of another model: %v", err)
	}
}

func TestLimits(t *testing.T) {
	head := measure(t, server{seed: 1})
	limits, err := gate.ParseLimits("p99-e2e<5s, p50-ttft<1ms,hit-ratio>=50%,error-ratio<=0")
	if err != nil {
		t.Fatal(err)
	}
	results, err := check(options{Head: head, Scenarios: []string{"concurrent-5"}}, limits)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []limit.Standing{limit.NotShown, limit.Missed, limit.Met, limit.Met} {
		if results[i].Standing != want {
			t.Errorf("%s: %s, got %v, %s", results[i].Limit.Text, results[i].Standing,
				results[i].Got, results[i].Word())
		}
	}
	if _, err := check(options{Head: head}, []limit.Limit{{Unit: "p98-e2e", Op: "<", Value: 1,
		Text: "p98-e2e<1s"}}); err == nil || !strings.Contains(err.Error(), "has no p98-e2e") {
		t.Errorf("an unknown unit: %v", err)
	}
	for _, bad := range []string{"", "p99-e2e", "p99-e2e<", "p99-e2e<fast", "<5s", "p99-e2e<5s,"} {
		if _, err := gate.ParseLimits(bad); err == nil {
			t.Errorf("ParseLimits(%q) is not an error", bad)
		}
	}
}

// A percentile within its limit is shown to hold by runs that are each large enough, or by all of
// them where none is beyond it; not by many small ones, nor by a file that does not say how large
// they are. A limit that is missed is, whatever the size.
func TestLimitsOfSmallSamples(t *testing.T) {
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
		standing        limit.Standing
		word            string
	}{
		{"ten runs of 20", "p99-e2e<5s", strings.Repeat(line(within, 20), 10), limit.NotShown,
			"not shown: needs 441 requests, has 200"},
		{"ten runs of 44", "p99-e2e<5s", strings.Repeat(line(within, 44), 10), limit.NotShown,
			"not shown: needs 441 requests, has 440"},
		{"ten runs of 45, all within", "p99-e2e<5s", strings.Repeat(line(within, 45), 10),
			limit.Met, "met"},
		{"ten runs of 45, one beyond", "p99-e2e<5s",
			strings.Repeat(line(within, 45), 9) + line(beyond, 45), limit.NotShown,
			"some runs are beyond the limit, and one has only 45 of the 441 requests it needs"},
		{"ten runs of 441, one beyond", "p99-e2e<5s",
			strings.Repeat(line(within, 441), 9) + line(beyond, 441), limit.Met, "met"},
		{"most beyond", "p99-e2e<5s", line(within, 5) + strings.Repeat(line(beyond, 5), 9),
			limit.Missed, "MISSED"},
		{"a file without sizes", "p99-e2e<5s", strings.Repeat(line(within, 0), 10), limit.NotShown,
			"not shown: needs 441 requests, and the file does not say how many it has"},
		{"one line without", "p99-e2e<5s", strings.Repeat(line(within, 500), 9) + line(within, 0),
			limit.NotShown, "does not say"},
		{"missed without sizes", "p99-e2e<5s", strings.Repeat(line(beyond, 0), 10), limit.Missed,
			"MISSED"},
		{"gaps", "p50-itl<1s", line(within, 5), limit.NotShown,
			"needs 6 gaps between pieces, has 5"},
		{"no percentile", "req/s>1", line(within, 0), limit.Met, "met"},
	} {
		name := filepath.Join(t.TempDir(), "f.txt")
		if err := os.WriteFile(name, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		limits, err := gate.ParseLimits(c.slo)
		if err != nil {
			t.Fatal(err)
		}
		results, err := check(options{Head: name}, limits)
		if err != nil || len(results) != 1 || results[0].Standing != c.standing ||
			!strings.Contains(results[0].Word(), c.word) {
			t.Errorf("%s: %v, %+v: %s; want %s, %q", c.name, err, results, results[0].Word(),
				c.standing, c.word)
		}
	}
}

// The number of requests behind a percentile is not compared: no cell is made of it.
func TestSizesAreNotCompared(t *testing.T) {
	base := measure(t, server{seed: 1})
	c, err := decide(t, options{Base: base, Head: measure(t, server{seed: 2}), All: true})
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

// baseline is the committed baseline of the embedded model.
const baseline = "../../benchdata/baseline/tiny.txt"

// What is measured now compares with the committed baselines: every cell of the baseline has its
// pair, and no unit that both had is on one side alone. Later units are in no older baseline: they
// are not gated, and would be no failure if they were.
func TestCommittedBaselineCompares(t *testing.T) {
	now := measure(t, server{seed: 1})
	c, err := compare(options{Base: baseline, Head: now, All: true})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(c.Notes, "\n")
	if err := c.UnlikeLoads(); err != nil ||
		strings.Count(notes, "base does not say what its load asks") != 1 {
		t.Errorf("%v, notes %q; want one note of what the baseline does not say", err, c.Notes)
	}
	if len(c.Cells) < 5*15 {
		t.Errorf("only %d cells", len(c.Cells))
	}
	scenarios := map[string]bool{}
	for _, cell := range c.Cells {
		scenarios[cell.Name] = true
		if later := []string{"p50-tpot-sec", "max-itl-sec", "stall-ratio"}; cell.NBase == 0 &&
			slices.Contains(later, cell.Unit) {
			if cell.Rule.Gated || cell.Verdict != gate.Sparse {
				t.Errorf("%s %s: %s", cell.Name, cell.Unit, cell.Verdict)
			}
			continue
		}
		if cell.NBase == 0 || cell.NHead == 0 {
			t.Errorf("%s %s: %d runs in the baseline, %d now", cell.Name, cell.Unit, cell.NBase,
				cell.NHead)
		}
	}
	if len(scenarios) != 5 {
		t.Errorf("%d benchmarks, want those of the five scenarios: %v", len(scenarios), scenarios)
	}
}

// A baseline that calls the backend by its former name compares with results of today.
func TestFormerNameOfBackend(t *testing.T) {
	lines := strings.Repeat("BenchmarkX 1 5 tok/s\n", 10)
	file := func(backend string) gate.File {
		return gate.File{Name: backend,
			Reader: strings.NewReader("Unit tok/s better=higher\nbackend: " + backend + "\n" +
				lines)}
	}
	c, err := gate.Compare(file("metal"), file("mlx"), gate.Options{})
	if err != nil || c.Decide() != nil {
		t.Errorf("%v, %v", err, c.Decide())
	}
	c, err = gate.Compare(file("metal"), file("ref"), gate.Options{})
	if err != nil || c.Decide() == nil || !strings.Contains(c.Decide().Error(),
		"backend is mlx in base and ref in head") {
		t.Errorf("%v, %v", err, c.Decide())
	}
}

// A unit may be named as it was called before, in files, effects and patterns.
func TestFormerNamesOfUnits(t *testing.T) {
	effects, err := gate.ParseEffects("hit_rate=3%,goodput=10%")
	if err != nil || effects["hit-ratio"] != 0.03 || effects["goodput-req/s"] != 0.1 {
		t.Errorf("%v, %v", effects, err)
	}
	base := measure(t, server{seed: 1})
	c, err := compare(options{Base: base, Head: measure(t, server{seed: 2}), Units: []string{"hit_rate"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range c.Cells {
		if cell.ShortUnit() != "hit-ratio" {
			t.Errorf("%s is compared", cell.ShortUnit())
		}
	}
	limits, err := gate.ParseLimits("hit_rate>=50%")
	if err != nil {
		t.Fatal(err)
	}
	held, err := check(options{Head: base, Scenarios: []string{"concurrent-5"}}, limits)
	if err != nil || len(held) != 1 || held[0].Standing != limit.Met {
		t.Errorf("%+v, %v", held, err)
	}
}
