package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"loadstone/harness/metrics"
	"loadstone/harness/record"
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
