package report

import (
	"slices"
	"time"

	"loadstone/harness/record"
)

// A Breakdown is where the mean answered request of a scenario spent its time: by the server's own timings, or, where it
// reports none, by when its first token came. Means are used because only they add up to the whole.
type Breakdown struct {
	N     int  // answered requests that say so
	Seen  bool // by the client, in two parts, not told by the server
	Parts []Part
	Total time.Duration // mean end-to-end latency of those requests, as the client saw it
}

// A Part of a request's time.
type Part struct {
	Name  string
	Mean  time.Duration
	Share float64 // of Total
}

// Names of the parts, in the order in which a request passes through them.
const (
	partQueue   = "queue"
	partPrefill = "prefill"
	partDecode  = "decode"
	partServer  = "server"  // the rest of the server's time: HTTP, templates, tokenizing
	partNetwork = "network" // what the client waited beyond the server's total: connection, kernel, the client itself
	partWait    = "wait"    // until the first token, where the server does not tell queue, prefill and network apart
)

// Of returns the part's share, 0 when nothing was reported.
func (b *Breakdown) Of(name string) Part {
	for _, p := range b.Parts {
		if p.Name == name {
			return p
		}
	}
	return Part{Name: name}
}

// Largest returns the part that takes most of the time.
func (b *Breakdown) Largest() Part {
	var largest Part
	for _, p := range b.Parts {
		if p.Mean > largest.Mean {
			largest = p
		}
	}
	return largest
}

func breakdown(records []record.Record) Breakdown {
	var b Breakdown
	var queue, prefill, decode, server, network time.Duration
	for i := range records {
		r, t := &records[i], &records[i].Server
		if r.Outcome != record.OK || t.Total < 0 || t.Queue < 0 || t.Prefill < 0 || t.Decode < 0 {
			continue
		}
		b.N++
		b.Total += r.Latency()
		queue += t.Queue
		prefill += t.Prefill
		decode += t.Decode
		// The server rounds its numbers, so a difference of two of them can fall just below zero.
		server += max(0, t.Total-t.Queue-t.Prefill-t.Decode)
		network += max(0, r.Latency()-t.Total)
	}
	if b.N == 0 {
		return seen(records)
	}
	b.divide([]Part{{Name: partQueue, Mean: queue}, {Name: partPrefill, Mean: prefill}, {Name: partDecode, Mean: decode},
		{Name: partServer, Mean: server}, {Name: partNetwork, Mean: network}})
	return b
}

// seen is the breakdown by the client's stamps alone. An answer that came in one piece has no parts.
func seen(records []record.Record) Breakdown {
	b := Breakdown{Seen: true}
	var wait, decode time.Duration
	for i := range records {
		r := &records[i]
		if r.Outcome != record.OK || r.TTFT() < 0 || len(r.Chunks) < 2 {
			continue
		}
		b.N++
		b.Total += r.Latency()
		wait += r.TTFT()
		decode += r.Latency() - r.TTFT()
	}
	if b.N > 0 {
		b.divide([]Part{{Name: partWait, Mean: wait}, {Name: partDecode, Mean: decode}})
	}
	return b
}

// divide makes means of sums.
func (b *Breakdown) divide(sums []Part) {
	var sum time.Duration
	for _, p := range sums {
		sum += p.Mean
	}
	for _, p := range sums {
		b.Parts = append(b.Parts, Part{p.Name, p.Mean / time.Duration(b.N), float64(p.Mean) / float64(max(sum, 1))})
	}
	b.Total /= time.Duration(b.N)
}

// pieces tells whether tokens are counted by the pieces in which they came, for want of a usage.
func (r *Report) pieces() bool {
	return slices.ContainsFunc(r.Scenarios, func(s Scenario) bool { return s.Pooled.Pieces > 0 })
}
