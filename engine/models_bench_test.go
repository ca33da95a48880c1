package engine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"loadstone/metal"
)

// The engine on the networks that users run: the embedded one in plain Go and, with -tags mlx,
// the real ones on MLX. An operation measures all that its ratios compare, one after the other,
// so that a machine that changes its speed changes both sides. benchdata/engine/README.md says
// how the files there are made.

// benchUnits are the units here, and which way is better.
var benchUnits = []struct{ name, better string }{
	{"cold-ttft-ns", "lower"}, {"warm-ttft-ns", "lower"}, {"hot-ttft-ns", "lower"},
	{"restart-ttft-ns", "lower"},
	{"warm/cold", "lower"}, {"hot/warm", "lower"}, {"restart/cold", "lower"},
	{"restored-B/token", "lower"},
	{"alone-p95-itl-ns", "lower"}, {"beside-p95-itl-ns", "lower"}, {"beside/alone", "lower"},
	{"p50-beside/alone", "lower"}, {"longest-itl-ns", "lower"},
	{"alone-ttft-ns", "lower"}, {"beside-ttft-ns", "lower"}, {"ttft-beside/alone", "lower"},
	{"p50-itl-ns", "lower"},
	{"mean-ttft-ns", "lower"}, {"last-ttft-ns", "lower"}, {"computed-tokens", "lower"},
	{"first-token-ns", "lower"}, {"first-token-cpu-ns", "lower"}, {"first-token/disk", "lower"},
	{"tok/s", "higher"}, {"x-single", "higher"},
}

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		// before the first result: benchstat needs to know which way is better
		for _, u := range benchUnits {
			fmt.Printf("Unit %s better=%s\n", u.name, u.better)
		}
	}
	os.Exit(m.Run())
}

// A benchModel is a network that outlives the engines that use it.
type benchModel struct {
	Model
	ready bool
}

func (m *benchModel) AllocKV(blocks, windowSlots, blockTokens int) error {
	if m.ready {
		return nil
	}
	m.ready = true
	return m.Model.AllocKV(blocks, windowSlots, blockTokens)
}

func (m *benchModel) Close() error { return nil }

// onModels runs a benchmark on each network that this build and machine have.
func onModels(b *testing.B, f func(b *testing.B, m *benchModel)) {
	for _, name := range []string{"tiny", "smollm2", "gemma3-270m"} {
		b.Run("model="+name, func(b *testing.B) {
			open := openTiny
			if name != "tiny" {
				if !metal.Available {
					b.Skip(metal.ErrUnavailable)
				}
				open = func() (Model, error) { return openMLX(name) }
			}
			m, err := open()
			if err != nil {
				b.Skip(err) // it says how to get the model
			}
			defer m.Close()
			f(b, &benchModel{Model: m})
		})
	}
}

// benchTokens is the size of the pool, for all benchmarks on a model alike.
const benchTokens = 16 << 10

// engine starts an engine without drafts: how many of those are right depends on the text, which
// BenchmarkDrafts measures.
func (m *benchModel) engine(b *testing.B, dir string) *Engine {
	b.Helper()
	e, err := New(Config{Model: m, KVBytes: benchTokens * int64(tokenBytes(m)), Dir: dir,
		SaveAfter: time.Hour, NoDrafts: true})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// prompt returns n tokens with which no other seed's prompt begins.
func (m *benchModel) prompt(seed, n int) []int32 {
	p := make([]int32, n)
	x := uint64(seed+1) * 0x9e3779b97f4a7c15
	for i := range p {
		x = x*6364136223846793005 + 1442695040888963407
		p[i] = 300 + int32((x>>33)%uint64(m.Vocab()-300))
	}
	return p
}

func benchSubmit(b *testing.B, e *Engine, ctx context.Context, agent string, prompt []int32,
	maxTokens int) *Stream {
	b.Helper()
	s, err := e.Submit(ctx, Request{Agent: agent, Prompt: prompt, MaxTokens: maxTokens})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// ttft returns the time to the first token from a tier.
func ttft(
	b *testing.B, e *Engine, agent string, prompt []int32, tier string,
) (time.Duration, Result) {
	b.Helper()
	began := time.Now()
	s := benchSubmit(b, e, b.Context(), agent, prompt, 1)
	<-s.Tokens()
	took := time.Since(began)
	drainTokens(s)
	if r := s.Result(); r.Tier != tier {
		b.Fatalf("want %s: %+v", tier, r)
	}
	return took, s.Result()
}

// evictHot drops an agent's memory from the pool.
func evictHot(b *testing.B, e *Engine, agent string) {
	b.Helper()
	err := e.save(named(agent).Agent)
	if err == nil {
		err = e.call(func() {
			st := e.sched.store
			for c := st.Agent(named(agent).Agent); c != nil; c = st.Agent(named(agent).Agent) {
				st.Cut(c)
			}
		})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTTFT measures the time to the first token of a prompt that is new (cold), in the pool
// (hot), on disk (warm, as the committed results call it) or on disk when the engine starts
// (restart: from the start of the engine on a loaded network).
func BenchmarkTTFT(b *testing.B) {
	onModels(b, func(b *testing.B, m *benchModel) {
		for _, n := range []int{1024, 2048, 4096} {
			b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
				dir := b.TempDir()
				e := m.engine(b, dir)
				defer func() { e.Close() }()
				seed, bytes := 0, int64(0)
				var cold, warm, hot, restart time.Duration
				for b.Loop() {
					seed++
					// A few less: where a memory ends with a block, the window before its last
					// token begins a block earlier.
					agent, p := fmt.Sprint(n, "-", seed), m.prompt(n+seed, n-8)
					took, _ := ttft(b, e, agent, p, "cold")
					cold += took
					took, _ = ttft(b, e, agent, p, "hot")
					hot += took
					evictHot(b, e, agent)
					took, r := ttft(b, e, agent, p, "disk")
					warm += took
					bytes += r.RestoredBytes
					if err := e.Close(); err != nil {
						b.Fatal(err)
					}
					began := time.Now()
					e = m.engine(b, dir)
					ttft(b, e, agent, p, "disk")
					restart += time.Since(began)
					if err := e.Principal("").Forget(agent); err != nil { // the disk is not to fill up
						b.Fatal(err)
					}
				}
				perOp(b, "cold-ttft-ns", cold)
				perOp(b, "warm-ttft-ns", warm)
				perOp(b, "hot-ttft-ns", hot)
				perOp(b, "restart-ttft-ns", restart)
				b.ReportMetric(warm.Seconds()/cold.Seconds(), "warm/cold")
				b.ReportMetric(hot.Seconds()/warm.Seconds(), "hot/warm")
				b.ReportMetric(restart.Seconds()/cold.Seconds(), "restart/cold")
				b.ReportMetric(float64(bytes)/float64(b.N)/float64(n), "restored-B/token")
			})
		}
	})
}

// perOp reports a time that all operations took together, per operation, and hides ns/op, which
// would be a mixture.
func perOp(b *testing.B, unit string, total time.Duration) {
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), unit)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPromptBesideStreams measures the time between the tokens of a stream, among some,
// without and while the prompt of another agent, of 2048 tokens, is computed; and how long that
// takes, without streams and beside them.
func BenchmarkPromptBesideStreams(b *testing.B) {
	onModels(b, func(b *testing.B, m *benchModel) {
		for _, streams := range []int{1, 4} {
			b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
				e := m.engine(b, "")
				defer e.Close()
				seed := 0
				var alone, beside []time.Duration
				var first, firstAlone time.Duration
				for b.Loop() {
					seed++
					quiet := benchSubmit(b, e, b.Context(), "other", m.prompt(seed, 2048), 1)
					drainTokens(quiet)
					firstAlone += quiet.Result().Queue + quiet.Result().Prefill
					ctx, cancel := context.WithCancel(b.Context())
					var running []*Stream
					for i := range streams {
						seed++
						running = append(running,
							benchSubmit(b, e, ctx, fmt.Sprint("stream", i), m.prompt(seed, 64),
								3000))
					}
					// when all of them run
					alone = append(alone, gaps(running[streams-1], 100)[20:]...)
					seed++
					other := benchSubmit(b, e, ctx, "other", m.prompt(seed, 2048), 1)
					beside = append(beside, gapsUntil(running[streams-1], other)...)
					// Before and after, because by then its longer history makes the stream's own
					// tokens cost more.
					alone = append(alone, gaps(running[streams-1], 80)...)
					drainTokens(other)
					first += other.Result().Queue + other.Result().Prefill
					cancel()
					for _, s := range running {
						drainTokens(s)
					}
				}
				b.ReportMetric(float64(p95(alone)), "alone-p95-itl-ns")
				b.ReportMetric(float64(p95(beside)), "beside-p95-itl-ns")
				b.ReportMetric(p95(beside).Seconds()/p95(alone).Seconds(), "beside/alone")
				b.ReportMetric(p50(beside).Seconds()/p50(alone).Seconds(), "p50-beside/alone")
				b.ReportMetric(float64(slices.Max(beside)), "longest-itl-ns")
				b.ReportMetric(first.Seconds()/firstAlone.Seconds(), "ttft-beside/alone")
				perOp(b, "alone-ttft-ns", firstAlone)
				perOp(b, "beside-ttft-ns", first)
			})
		}
	})
}

// BenchmarkBatch measures how many tokens a second requests get together, and how much more that
// is than one gets alone.
func BenchmarkBatch(b *testing.B) {
	onModels(b, func(b *testing.B, m *benchModel) {
		const tokens = 48
		for _, batch := range []int{1, 2, 4, 5, 8} {
			b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
				e := m.engine(b, "")
				defer e.Close()
				seed := 0
				// decode returns the tokens a second that n streams get between the last one's
				// first token and the first one's end.
				decode := func(n int) float64 {
					ctx, cancel := context.WithCancel(b.Context())
					var all []*Stream
					for range n {
						seed++
						all = append(all, benchSubmit(b, e, ctx, "", m.prompt(seed, 64), 4*tokens))
					}
					for _, s := range all {
						<-s.Tokens()
					}
					last := all[n-1]
					<-last.Tokens() // in a step with all of them
					began := time.Now()
					for range tokens {
						<-last.Tokens()
					}
					took := time.Since(began)
					cancel()
					for _, s := range all {
						drainTokens(s)
					}
					return float64(n*tokens) / took.Seconds()
				}
				var single, together float64
				for b.Loop() {
					single += decode(1)
					together += decode(batch)
				}
				b.ReportMetric(together/float64(b.N), "tok/s")
				b.ReportMetric(together/single, "x-single")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// BenchmarkTogether measures the times to the first tokens of agents that come at once, with a
// system prompt of 1000 tokens that is new and a question of 24 of their own, and how many tokens
// of their prompts are computed.
func BenchmarkTogether(b *testing.B) {
	onModels(b, func(b *testing.B, m *benchModel) {
		for _, agents := range []int{2, 10, 100} {
			b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) {
				e := m.engine(b, "")
				defer e.Close()
				seed := 0
				var mean, last time.Duration
				computed := 0
				for b.Loop() {
					seed++
					system := m.prompt(seed*1000, 1000)
					held, come := make(chan struct{}), make(chan struct{})
					go e.call(func() { close(held); <-come }) // no step begins before all have come
					<-held
					all := make([]*Stream, agents)
					for i := range all {
						p := slices.Concat(system, m.prompt(seed*1000+i+1, 24))
						all[i] = benchSubmit(b, e, b.Context(), fmt.Sprint(i), p, 8)
					}
					close(come)
					latest := time.Duration(0)
					for _, s := range all {
						drainTokens(s)
						r := s.Result()
						first := r.Queue + r.Prefill
						mean += first / time.Duration(agents)
						latest = max(latest, first)
						computed += r.PromptTokens - r.CachedTokens
					}
					last += latest
				}
				perOp(b, "mean-ttft-ns", mean)
				perOp(b, "last-ttft-ns", last)
				b.ReportMetric(float64(computed)/float64(b.N), "computed-tokens")
			})
		}
	})
}

// BenchmarkHistory measures the time between a stream's tokens after a history of so many: apart
// from attention it should be the same.
func BenchmarkHistory(b *testing.B) {
	onModels(b, func(b *testing.B, m *benchModel) {
		for _, n := range []int{128, 1024, 4096} {
			b.Run(fmt.Sprintf("history=%d", n), func(b *testing.B) {
				e := m.engine(b, "")
				defer e.Close()
				p := m.prompt(n, n)
				var all []time.Duration
				for b.Loop() {
					s := benchSubmit(b, e, b.Context(), "ann", p, 34)
					all = append(all, gaps(s, 32)...)
					drainTokens(s)
				}
				b.ReportMetric(float64(p50(all)), "p50-itl-ns")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}
