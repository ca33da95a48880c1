package server

import (
	"slices"
	"sync"
	"time"

	"loadstone/server/internal/generate"
)

// recent remembers the latest complete answers for the status page: the time they took and the
// cache tier of their prompts.
type recent struct {
	mu    sync.Mutex
	ring  []served // up to maxRecent; then the oldest is overwritten
	total int      // answers since the start; number n is at n%maxRecent
}

const maxRecent = 2048

// served is one complete answer.
type served struct {
	at                 time.Time // its end
	queue, ttft, total time.Duration
	itl                time.Duration // mean time between two tokens; 0 where there are no two
	tier               string
	principal          string
}

// newServed returns the answer of a generation that took total and ended at the time given.
func newServed(g *generate.Generation, at time.Time, total time.Duration) served {
	start := g.Usage().Start
	v := served{
		at:    at,
		queue: start.Queue,
		ttft:  g.TTFT(),
		total: total,
		itl:   g.MeanITL(),
		tier:  start.Tier,

		principal: g.Params.Principal,
	}
	if v.ttft == 0 { // the answer has no token
		v.ttft = total
	}
	return v
}

func (r *recent) add(s served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, s)
	} else {
		r.ring[r.total%maxRecent] = s
	}
	r.total++
}

// since returns the answers that a caller may know of from number n on, as far as they are
// remembered, oldest first, and the number of the next answer.
func (r *recent) since(n int, c caller) ([]served, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []served
	for i := max(n, r.total-len(r.ring)); i < r.total; i++ {
		if s := r.ring[i%maxRecent]; c.seesNames || s.principal == c.principal {
			list = append(list, s)
		}
	}
	return list, r.total
}

// quantiles are exact quantiles of measured times, by nearest rank, in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// newQuantiles sorts d and returns its quantiles, nil where there are no times.
func newQuantiles(d []time.Duration) *quantiles {
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d)
	rank := func(percent int) float64 { return inMilliseconds(d[(len(d)*percent+99)/100-1]) }
	return &quantiles{rank(50), rank(95), rank(99)}
}

// inMilliseconds returns d in milliseconds, with whole microseconds.
func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
