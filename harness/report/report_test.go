package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// objective is what a made-up answer must hold to be good.
var objective = load.Objective{TTFT: 60 * time.Millisecond, E2E: 500 * time.Millisecond}

// fixed is a report from made-up records that are the same every time: five scenarios, a few refusals, one failure with
// a hostile text in it.
func fixed() *Report {
	r := &Report{
		System: System{Name: "loadstone", Version: "v0.1.0", Commit: "0123456789ab", Model: "tiny", Backend: "ref", Quant: "f32", Threads: 2,
			Memory: 48 << 20, CPU: 91 * time.Second},
		Host: Host{OS: "linux", Arch: "amd64", System: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0", CPU: "Example CPU @ 2.50GHz",
			SIMD: "avx2", Cores: 2, Memory: 8 << 30, Go: "go1.26.0"},
		Load:    Load{Runs: 10, Reps: 10, Seed: 1, Goodput: objective.String()},
		Start:   time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		StartUp: 182 * time.Millisecond,
	}
	r.add("single-cold", 1, load.Cold, 512, 32, 0.0, 48, 0.31, "One request to an empty cache: the whole prompt is read.")
	r.add("single-cached", 1, load.Hot, 512, 32, 0.97, 3, 0.31, "The next turn of an agent whose cache is warm.")
	r.add("concurrent-5", 5, load.Hot, 512, 32, 0.94, 6, 0.45, "Five agents at once, each on its own warm cache.")
	r.add("concurrent-10", 10, load.Hot, 512, 32, 0.92, 11, 0.72, "Ten agents at once, each on its own warm cache.")
	r.add("pool-pressure", 14, load.Cold, 512, 32, 0.55, 40, 0.96, "More agents than the pool has room for: refusals are part of it.")
	return r
}

func (r *Report) add(name string, agents int, cache load.Cache, prompt, gen int, hits, prefillMs, pool float64, about string) {
	rng := rand.New(rand.NewPCG(uint64(len(r.Scenarios)), 7))
	s := Scenario{Agents: agents, Cache: cache, PromptTokens: prompt, MaxTokens: gen, About: about}
	for run := range 10 {
		var recs []record.Record
		at := time.Duration(0)
		for rep := range 10 {
			end := at
			for a := range agents {
				rec := oneRecord(rng, name, run, rep, a, at, gen, prompt, hits, prefillMs, float64(agents))
				rec.Judge(objective)
				recs = append(recs, rec)
				end = max(end, rec.End)
			}
			at = end + time.Millisecond
		}
		s.Runs = append(s.Runs, record.Summarize(name, recs, at, pool-0.01*float64(run%3)))
		if name != "pool-pressure" {
			s.Runs[run].Counters = counters(recs)
		}
		s.Samples = append(s.Samples, sampled(name, run, recs, at, agents, pool-0.01*float64(run%3))...)
		s.Records = append(s.Records, recs...)
	}
	var elapsed time.Duration
	for _, run := range s.Runs {
		elapsed += run.Elapsed
	}
	s.Pooled = record.Summarize(name, s.Records, elapsed, pool)
	for _, run := range s.Runs {
		s.Pooled.Counters = s.Pooled.Counters.Add(run.Counters)
	}
	r.Scenarios = append(r.Scenarios, s)
}

// counters are those of a server that counts as the client does.
func counters(recs []record.Record) *record.Counters {
	account := func() record.Account {
		a := record.Account{}
		for _, r := range recs {
			a["answered_requests"]++
			a["prompt_tokens"] += float64(r.PromptTokens)
			a["output_tokens"] += float64(r.OutputTokens)
		}
		return a
	}
	c := &record.Counters{Server: account(), Client: account()}
	c.Server["evictions"], c.Server["cpu_seconds"] = 3, c.Server["output_tokens"]/2048
	return c
}

// sampled is what a server would have said of itself every 20 ms: half of the agents fit into its batch.
func sampled(name string, run int, recs []record.Record, length time.Duration, agents int, pool float64) []record.Sample {
	var samples []record.Sample
	for at := time.Duration(0); at < length; at += 20 * time.Millisecond {
		n := 0
		for _, r := range recs {
			if r.Sent <= at && at < r.End {
				n++
			}
		}
		running := min(n, (agents+1)/2)
		samples = append(samples, record.Sample{Scenario: name, Run: run, At: at, Running: float64(running), Queue: float64(n - running),
			Pool: pool * float64(n) / float64(agents)})
	}
	return samples
}

func oneRecord(rng *rand.Rand, name string, run, rep, agent int, due time.Duration, gen, prompt int, hits, prefillMs, load float64) record.Record {
	ms := func(mean, spread float64) time.Duration {
		return time.Duration(mean * math.Exp(spread*rng.NormFloat64()) * 1e6).Round(time.Microsecond)
	}
	queue, prefill := ms(0.08*load*load/3, 0.6), ms(prefillMs, 0.25)
	rec := record.Record{Place: record.Place{Scenario: name, Run: run, Rep: rep, Agent: fmt.Sprintf("agent-%d", agent)}, Due: due, Sent: due + ms(0.02, 0.5),
		Outcome: record.OK, Status: 200, PromptTokens: prompt, CachedTokens: int(hits * float64(prompt)), OutputTokens: gen, Finish: "length"}
	if name == "pool-pressure" && rng.IntN(9) == 0 {
		rec.Outcome, rec.Status, rec.End, rec.FirstByte, rec.FirstContent = record.Rejected, 429, rec.Sent+ms(0.6, 0.2), -1, -1
		rec.PromptTokens, rec.CachedTokens, rec.OutputTokens = -1, -1, -1
		rec.Error = "pool exhausted: need 12 blocks, 3 free; retry in 2 s"
		rec.Server = record.ServerTiming{FirstByte: -1, Total: -1, Queue: -1, Prefill: -1, Decode: -1}
		return rec
	}
	if name == "pool-pressure" && run == 3 && rep == 3 && agent == 3 {
		rec.Outcome, rec.End = record.Truncated, rec.Sent+ms(9, 0.1)
		rec.Error = `stream ended without [DONE] </script><script>alert("x")</script>` + "\nBenchmarkForged 1 1 req/s"
		return rec
	}
	rec.FirstByte = rec.Sent + queue + prefill + ms(0.1, 0.3)
	rec.FirstContent = rec.FirstByte + ms(0.03, 0.2)
	at := rec.FirstContent
	for i := range gen {
		if i > 0 {
			at += ms(0.9+0.12*load, 0.3)
		}
		rec.Chunks = append(rec.Chunks, at)
	}
	rec.End = at + ms(0.05, 0.2)
	decode := at - rec.FirstContent
	rec.Server = record.ServerTiming{FirstByte: rec.FirstByte - rec.Sent, Queue: queue, Prefill: prefill, Decode: decode, Total: rec.End - rec.Sent - ms(0.1, 0.2)}
	return rec
}
