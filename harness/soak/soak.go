// Package soak judges whether a server that is used for hours stays as it was: whether its cache
// hits, its times, its memory and what else it holds have a trend.
//
// A Log is given every request as it ends and, now and then, what the server holds. It cuts the
// time into windows, and keeps those alone, so that a day takes no more memory than an hour.
// [Judge] tests each series of windows for a trend. A trend is named where it is significant after
// Holm's correction for the number of series, changes the server by more than the smallest amount
// that matters, which each series has, and goes on in the second half: what rises while a cache
// fills and then stands still is no leak.
//
// Measured on two cores of an EPYC that others used as well, load averages of 20 to 38: an hour of two
// coding agents with tools of their own speed on SmolLM2 (mlx, 1655 requests, 96.1 % hits) has no
// trend, nor have six hours of such agents on tiny at 20 times their speed, in 18 minutes (32 MiB of
// KV). With tiny's usual pool, restarted every two hours of the six, memory rose with the pool's
// content, by up to its 256 MiB, which is what Filling names.
package soak

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"loadstone/harness/metrics"
	"loadstone/harness/record"
)

// A Window is what was seen in one part of the time, and of the server's life.
type Window struct {
	Start time.Duration `json:"start_ns"` // since the load began
	End   time.Duration `json:"end_ns"`
	Life  int           `json:"life"` // how often the server had been restarted before

	Requests int `json:"requests"` // that ended in it and were not cancelled
	Failed   int `json:"failed"`   // of them; refusals are among them

	// The answered requests'. -1: none is known.
	TTFT       time.Duration `json:"ttft_ns"` // median
	HitRatio   float64       `json:"hit_ratio"`
	PromptRate float64       `json:"prompt_tok_per_s"`

	// Held is the least that the server held, at any look, of what can leak: what it takes for a
	// request and gives back is not in it. What is not published is missing.
	Held metrics.State `json:"held,omitempty"`
}

// A Log gathers windows. Its methods may be called at once.
type Log struct {
	length time.Duration

	mu      sync.Mutex
	life    int
	windows map[key]*gathered
}

type key struct {
	index, life int
}

// gathered is a window that may still be under way.
type gathered struct {
	requests, failed     int
	ttft                 []time.Duration
	prompt, cached, hits int // tokens; hits are the requests whose cached tokens are known
	held                 metrics.State
	first, last          time.Duration // of what is in it
}

// NewLog makes a log with windows of a length.
func NewLog(window time.Duration) *Log {
	return &Log{length: window, windows: map[key]*gathered{}}
}

// Restarted says that what comes from now on is of a server that was started anew.
func (l *Log) Restarted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
}

// at is the window of a moment since the load began.
func (l *Log) at(t time.Duration) *gathered {
	k := key{int(max(t, 0) / l.length), l.life}
	if l.windows[k] == nil {
		l.windows[k] = &gathered{first: t}
	}
	g := l.windows[k]
	g.last = max(g.last, t)
	return g
}

// Add takes a request, which ended at a moment since the load began.
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

// Look takes what a server holds at a moment since the load began.
func (l *Log) Look(at time.Duration, held metrics.State) {
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

// Windows are those so far, in the order of time. One of which less than half was seen, such as the
// last, is left out.
func (l *Log) Windows() []Window {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Window
	for k, g := range l.windows {
		if g.last-g.first < l.length/2 { // of the end, or cut by a restart
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
