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

// pollInterval is how often the server is looked at while something is waited for.
const pollInterval = 20 * time.Millisecond

// state is what the server says it holds, and what the machine says of its process.
func (x *auditor) state(ctx context.Context) metrics.State {
	m, _ := x.c.Scrape(ctx) // the nil Metrics of a server that has none will do
	s := m.State()
	if x.Process == nil {
		return s
	}
	if u, err := x.Process(); err == nil {
		s[metrics.Memory] = float64(u.RSS)
		if u.Files >= 0 {
			s[metrics.OpenFiles] = float64(u.Files)
		}
	}
	return s
}

// compareCounters compares the rise of the server's own counters with what its answers add up to.
// Others may use the server as well, and the server counts cancelled requests, whose tokens are
// unknown here: so the counters may have risen by more, never by less. A server may count a request
// after its last byte, so it has a moment for that.
func (x *auditor) compareCounters(ctx context.Context) {
	const patience = 10 * time.Second
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for start := time.Now(); ; {
		now, _ := x.c.Scrape(ctx)
		missing, agreed := metrics.CheckCounters(x.counters, now, x.records)
		switch {
		case len(missing) > 0 && time.Since(start) < patience && ctx.Err() == nil:
			<-poll.C
			continue
		case len(missing)+len(agreed) == 0:
			x.unknown(Counters, "the server's /metrics count no requests and no tokens")
		default:
			x.found(Counters, missing, "the server's /metrics have counted all %s of its answers",
				strings.Join(agreed, ", "))
		}
		return
	}
}

// recovered waits until the server holds no more than before. It returns what the server has not
// given back in time, and how long it took.
func (x *auditor) recovered(ctx context.Context, before metrics.State) (
	lost []record.Violation, took time.Duration) {
	const patience = 15 * time.Second
	start := time.Now()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		above := x.state(ctx).Above(before)
		took = time.Since(start)
		if len(above) == 0 || took >= patience || ctx.Err() != nil {
			for _, held := range above {
				about := fmt.Sprintf("%v after the last request: %s",
					took.Round(time.Millisecond), held)
				lost = append(lost, record.Violation{Check: record.CheckRecovery, About: about})
			}
			return lost, took
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// cancel sends requests that are cancelled while they wait, are read or are answered, and checks
// that the server recovers.
func (x *auditor) cancel(ctx context.Context) error {
	x.begin(StepCancel, "%d requests that are cancelled midway", x.Aborts)
	before := x.state(ctx)
	prompts := x.cancelledPrompts()
	records, err := x.load.Send(ctx, load.Burst{Size: len(prompts)}, prompts)
	x.records = append(x.records, records...)
	if err != nil {
		return err
	}
	n, failed := outcomes(records, record.Cancelled, record.CheckRecovery,
		"a request that was to be cancelled")
	x.compareCounters(ctx)
	x.c.Close() // idle connections of ours are not the server's leak
	lost, took := x.recovered(ctx, before)
	if len(before) == 0 && len(failed) == 0 {
		x.unknown(Recovery,
			"the server's /metrics say nothing of requests in flight, blocks or memory")
	} else {
		x.found(Recovery, append(failed, lost...),
			"%d requests cancelled; %v later all was back: %v",
			n, took.Round(time.Millisecond), before)
	}
	return x.soloAgain(ctx)
}

// cancelledPrompts are those of cancel. Each is cancelled at some time in a little more than the
// first request took alone.
func (x *auditor) cancelledPrompts() []client.Prompt {
	rng := rand.New(rand.NewPCG(x.Seed, 0x61626f7274))
	whole := x.alone[0][0].Latency()
	prompts := make([]client.Prompt, x.Aborts)
	for i := range prompts {
		name := fmt.Sprintf("abort-%d-%d", x.Seed, i)
		agent := harness.NewConversation(name, x.Seed<<20+1<<19+uint64(i))
		prompts[i] = agent.Ask(x.Words, x.MaxTokens)
		prompts[i].CancelAfter = 1 + time.Duration(rng.Float64()*1.2*float64(whole))
	}
	return prompts
}

// soloRequests is how many requests find out how quick the server is alone: enough for the median's
// interval.
const soloRequests = 8

// solo measures the time to first token of agents that are new and alone.
func (x *auditor) solo(ctx context.Context, round uint64) (stats.Dist, error) {
	var times []time.Duration
	for i := range uint64(soloRequests) {
		name := fmt.Sprintf("solo-%d-%d-%d", x.Seed, round, i)
		agent := harness.NewConversation(name, x.Seed<<20+3<<18+round<<8+i)
		r := x.send(ctx, agent.Ask(x.Words, x.MaxTokens), 0)
		if !r.Ended() {
			if err := ctx.Err(); err != nil {
				return stats.Dist{}, err
			}
			return stats.Dist{}, fmt.Errorf("alone, a request ends as %s: %s", r.Outcome, r.Error)
		}
		if first := r.TTFT(); first >= 0 { // an empty answer has none
			times = append(times, first)
		}
	}
	return stats.Describe(times), nil
}

// soloAgain checks that an agent alone is served as quickly as before. A machine has slow moments
// of its own, and slow minutes while it does something else, so the server has several tries, the
// later ones after pauses of a minute in all, and is slower only from twice the time on.
func (x *auditor) soloAgain(ctx context.Context) error {
	const tries, atOnce = 12, 6
	before := x.unloaded
	bound, ok := before.Interval(0.50)
	if !ok {
		x.unknown(Solo, fmt.Sprintf("of %d requests alone %d had a first token", soloRequests,
			before.N))
		return nil
	}
	limit := max(bound.Hi, 2*before.P50) + 5*time.Millisecond
	var after stats.Dist
	for try := range uint64(tries) {
		if try >= atOnce {
			if try == atOnce {
				x.begin(StepCancel, "alone, an agent is served more slowly than before: it has a minute more")
			}
			select {
			case <-time.After(time.Second << (try - atOnce)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var err error
		if after, err = x.solo(ctx, 1+try); err != nil {
			return err
		}
		if after.N > 0 && after.P50 <= limit {
			break
		}
	}
	var slow []record.Violation
	if after.N == 0 {
		about := fmt.Sprintf("alone, no request has a first token, and it took %v before the load",
			before.P50)
		slow = append(slow, record.Violation{Check: record.CheckSolo, About: about})
	}
	if after.P50 > limit {
		about := fmt.Sprintf("alone, the first token takes %v, "+
			"and took %v (at most %v) before the load", after.P50, before.P50, bound.Hi)
		slow = append(slow, record.Violation{Check: record.CheckSolo, About: about})
	}
	const precision = 10 * time.Microsecond
	x.found(Solo, slow, "alone, the first token takes %v, and took %v before the load",
		after.P50.Round(precision), before.P50.Round(precision))
	return nil
}
