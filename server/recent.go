package server

import (
	"slices"
	"sync"
	"time"
)

// recent remembers the answers given last, for the status page: what they took and where their prompts came from.
type recent struct {
	mu    sync.Mutex
	ring  []served // up to recentMost, then the oldest is overwritten
	total int      // answers since the start; that with number n is at n%recentMost
}

const recentMost = 2048

// served is one answer that was given in full.
type served struct {
	at                 time.Time // its end
	queue, ttft, total time.Duration
	token              time.Duration // mean time between two tokens, 0 where there were no two
	tier               string
}

func (r *recent) add(s served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < recentMost {
		r.ring = append(r.ring, s)
	} else {
		r.ring[r.total%recentMost] = s
	}
	r.total++
}

// since returns the answers from number n on, as far as they are remembered, oldest first, and the number of the next.
func (r *recent) since(n int) ([]served, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []served
	for i := max(n, r.total-len(r.ring)); i < r.total; i++ {
		list = append(list, r.ring[i%recentMost])
	}
	return list, r.total
}

// quantiles are exact ones of what was measured, by nearest rank, in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

func newQuantiles(d []time.Duration) *quantiles {
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d)
	rank := func(percent int) float64 { return inMilliseconds(d[(len(d)*percent+99)/100-1]) }
	return &quantiles{rank(50), rank(95), rank(99)}
}

// inMilliseconds keeps microseconds.
func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
