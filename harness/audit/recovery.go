package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/metrics"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// state is what the server says it holds, and what the machine says of its process.
func (x *auditor) state(ctx context.Context) metrics.State {
	m, _ := x.c.Scrape(ctx) // a nil Metrics knows no value
	s := m.State()
	if x.Process == nil {
		return s
	}
	if u, err := x.Process(); err == nil {
		for what, v := range map[string]int64{"MiB of memory": u.RSS, "open files": int64(u.Files)} {
			if v >= 0 {
				s.Values[what] = float64(v)
			}
		}
		if u.Files >= 0 {
			s.Known = append(s.Known, fmt.Sprintf("%d open files", u.Files))
		}
	}
	return s
}

// compareCounters holds what the server's own counters rose by to what its answers said. Others may use the server as well,
// and requests that were taken back count there and not here, so the counters may have risen by more, never by less.
// A server may count a request after its last byte, so it has a moment for that.
func (x *auditor) compareCounters(ctx context.Context) {
	const patience = 2 * time.Second
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for start := time.Now(); ; {
		now, _ := x.c.Scrape(ctx)
		wrong, agreed := x.counters.Against(now, x.records)
		switch {
		case len(wrong) > 0 && time.Since(start) < patience && ctx.Err() == nil:
			<-poll.C
			continue
		case len(wrong)+len(agreed) == 0:
			x.unknown("counters", "the server's /metrics count no requests and no tokens")
		default:
			x.found("counters", wrong, "the server's /metrics have counted all %s that its answers told of", strings.Join(agreed, ", "))
		}
		return
	}
}

// recovery waits until the server holds no more than before, and says what it has not given back in time, and how long it
// took.
func (x *auditor) recovery(ctx context.Context, before metrics.State) (lost []record.Violation, took time.Duration) {
	const patience = 15 * time.Second
	start := time.Now()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		above := x.state(ctx).Above(before)
		took = time.Since(start)
		if len(above) == 0 || took >= patience || ctx.Err() != nil {
			for _, what := range above {
				lost = append(lost, record.Violation{Check: "recovery", About: fmt.Sprintf("%v after the last request: %s", took.Round(time.Millisecond), what)})
			}
			return lost, took
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// abort sends requests that are taken back while they wait, are read or answered, and looks whether the server gets over it.
func (x *auditor) abort(ctx context.Context) error {
	x.Step(fmt.Sprintf("%d requests that are taken back in the middle", x.Aborts))
	alone, err := x.solo(ctx, 0)
	if err != nil {
		return err
	}
	before := x.state(ctx)
	rng := rand.New(rand.NewPCG(x.Seed, 0x61626f7274))
	whole := x.alone[0][0].Latency()
	prompts := make([]client.Prompt, x.Aborts)
	for i := range prompts {
		prompts[i] = harness.NewConversation(fmt.Sprintf("abort-%d-%d", x.Seed, i), x.Seed<<20+1<<19+uint64(i)).Ask(x.Words, x.MaxTokens)
		prompts[i].CancelAfter = 1 + time.Duration(rng.Float64()*1.2*float64(whole))
	}
	records, err := x.load.Send(ctx, load.Burst{Size: len(prompts)}, prompts)
	x.records = append(x.records, records...)
	if err != nil {
		return err
	}
	cancelled, failed := outcomes(records, record.Cancelled, "recovery", "a request that was to be taken back")
	x.compareCounters(ctx)
	x.c.Close() // idle connections of ours are not the server's leak
	lost, took := x.recovery(ctx, before)
	switch {
	case len(before.Known) == 0 && len(failed) == 0:
		x.unknown("recovery", "the server's /metrics tell nothing of requests in flight, blocks or memory")
	default:
		x.found("recovery", append(failed, lost...), "%d requests taken back; %v later all was back: %s", cancelled, took.Round(time.Millisecond), strings.Join(before.Known, ", "))
	}
	return x.soloAgain(ctx, alone)
}

// soloRequests are asked to find out how quick the server is alone: enough for the median's interval.
const soloRequests = 8

// solo is the time to first token of agents that are new and alone.
func (x *auditor) solo(ctx context.Context, round uint64) (stats.Dist, error) {
	var times []time.Duration
	for i := range uint64(soloRequests) {
		p := harness.NewConversation(fmt.Sprintf("solo-%d-%d-%d", x.Seed, round, i), x.Seed<<20+3<<18+round<<8+i).Ask(x.Words, x.MaxTokens)
		r := x.ask(ctx, p, 0)
		if r.Outcome != record.OK {
			if err := ctx.Err(); err != nil {
				return stats.Dist{}, err
			}
			return stats.Dist{}, fmt.Errorf("alone, a request ends as %s: %s", r.Outcome, r.Error)
		}
		times = append(times, max(r.TTFT(), 0))
	}
	return stats.Describe(times), nil
}

// soloAgain looks whether an agent alone is served as quickly as before. A machine has slow moments of its own, so it may
// try again, and is slower only from twice the time on.
func (x *auditor) soloAgain(ctx context.Context, before stats.Dist) error {
	bound, _ := before.Interval(0.50)
	limit := max(bound.Hi, 2*before.P50) + 5*time.Millisecond
	var after stats.Dist
	for try := range uint64(6) {
		var err error
		if after, err = x.solo(ctx, 1+try); err != nil {
			return err
		}
		if after.P50 <= limit {
			break
		}
	}
	var slow []record.Violation
	if after.P50 > limit {
		slow = append(slow, record.Violation{Check: "solo", About: fmt.Sprintf("alone, the first token takes %v, and took %v (at most %v) before the load", after.P50, before.P50, bound.Hi)})
	}
	x.found("solo", slow, "alone, the first token takes %v, and took %v before the load", after.P50.Round(10*time.Microsecond), before.P50.Round(10*time.Microsecond))
	return nil
}
