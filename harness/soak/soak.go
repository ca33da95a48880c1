// Package soak runs a load for hours and tests whether the server degrades: whether its hit ratio,
// its latency, its memory or its other resources have a trend.
//
// A Log takes every request as it ends and, once a second, the resources that the server holds. It
// divides the time into windows and keeps only their figures, so a day takes no more memory than an
// hour. [Judge] tests each series of windows for a trend. It reports a trend that is significant
// after Holm's correction for the number of series, that exceeds the smallest change that matters
// for the series, and that continues in the second half: a value that rises while a cache fills and
// then stays level is no leak.
//
// Measured on two shared cores of an EPYC, load averages of 20 to 38: an hour of two coding agents
// with tools at recorded speed on SmolLM2 (mlx, 1655 requests, 96.1 % hits) has no trend, nor have
// six hours of such agents on tiny at 20 times their speed, in 18 minutes (32 MiB of KV). With
// tiny's default pool, restarted every two hours of the six, memory rose with the pool's content,
// by up to its 256 MiB; Judge reports that as Filling.
package soak

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"loadstone/harness/metrics"
	"loadstone/harness/record"
)

// A Window summarizes one interval of the soak within one life of the server. A life lasts from a
// start of the server to the next.
type Window struct {
	Start time.Duration `json:"start_ns"` // since the load began
	End   time.Duration `json:"end_ns"`
	Life  int           `json:"life"` // number of restarts before

	Requests int `json:"requests"` // requests that ended in the window and were not cancelled
	Failed   int `json:"failed"`   // those of them that failed or were refused

	// These describe the answered requests. -1 if not known.
	TTFT       time.Duration `json:"ttft_ns"` // median
	HitRatio   float64       `json:"hit_ratio"`
	PromptRate float64       `json:"prompt_tok_per_s"`

	// Held is the minimum of each resource that can leak over the scrapes in the window, so
	// resources that a request holds for a while do not count. It lacks the resources that the
	// server does not publish.
	Held metrics.State `json:"held,omitempty"`
}

// A Log collects windows. It is safe for concurrent use.
type Log struct {
	length time.Duration

	mu      sync.Mutex
	life    int
	windows map[key]*gathered
}

type key struct {
	index, life int
}

// gathered is a window that may not have ended yet.
type gathered struct {
	requests, failed     int
	ttft                 []time.Duration
	prompt, cached, hits int // tokens; hits counts the requests whose cached tokens are known
	held                 metrics.State
	first, last          time.Duration // times of the first and the last event
}

// NewLog returns an empty log with windows of a length.
func NewLog(window time.Duration) *Log {
	return &Log{length: window, windows: map[key]*gathered{}}
}

// Restarted tells the log that the server was restarted.
func (l *Log) Restarted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
}

// at returns the window of a time since the load began.
func (l *Log) at(t time.Duration) *gathered {
	k := key{int(max(t, 0) / l.length), l.life}
	if l.windows[k] == nil {
		l.windows[k] = &gathered{first: t}
	}
	g := l.windows[k]
	g.last = max(g.last, t)
	return g
}

// Add adds a request that ended at a time since the load began.
func (l *Log) Add(at time.Duration, r *record.Record) {
	if r.Outcome == record.Cancelled {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.at(at)
	if g.requests++; r.Outcome != record.OK {
		g.failed++
		return
	}
	if v := r.TTFT(); v >= 0 {
		g.ttft = append(g.ttft, v)
	}
	if r.PromptTokens > 0 && r.CachedTokens >= 0 {
		g.hits++
		g.prompt, g.cached = g.prompt+r.PromptTokens, g.cached+r.CachedTokens
	}
}

// AddState adds the resources that the server held at a time since the load began.
func (l *Log) AddState(at time.Duration, held metrics.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.at(at)
	if g.held == nil {
		g.held = metrics.State{}
	}
	for kind, v := range held {
		if old, ok := g.held[kind]; !ok || v < old {
			g.held[kind] = v
		}
	}
}

// Windows returns the windows so far, in the order of time. It leaves out windows of which the log
// saw less than half, such as the last.
func (l *Log) Windows() []Window {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Window
	for k, g := range l.windows {
		if g.last-g.first < l.length/2 { // the last window, or one that a restart cut
			continue
		}
		start := time.Duration(k.index) * l.length
		w := Window{Start: start, End: start + l.length, Life: k.life, Requests: g.requests,
			Failed: g.failed, TTFT: -1, HitRatio: -1, PromptRate: -1, Held: g.held}
		if n := len(g.ttft); n > 0 {
			slices.Sort(g.ttft)
			w.TTFT = g.ttft[(n-1)/2]
		}
		if g.hits > 0 && g.prompt > 0 {
			w.HitRatio = float64(g.cached) / float64(g.prompt)
			w.PromptRate = float64(g.prompt) / l.length.Seconds()
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b Window) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), a.Life-b.Life)
	})
	return all
}
