package report

import (
	"time"

	"loadstone/harness/record"
)

// A Breakdown is where the mean answered request of a result spent its time: by the server's own
// timings, or, where the server reports none, by when its first token came. Means are used because
// only they add up to the whole.
type Breakdown struct {
	N     int  // answered requests of which the parts are known
	Seen  bool // in two parts, by the client's clock: the server did not say
	Parts []Part
	Total time.Duration // mean end-to-end latency of those requests, as the client saw it
}

// A Part is a part of a request's time.
type Part struct {
	Name  string
	Mean  time.Duration
	Share float64 // of the sum of all parts
}

// These are the names of the parts, in the order in which a request passes through them.
const (
	PartQueue   = "queue"
	PartPrefill = "prefill"
	PartDecode  = "decode"
	PartServer  = "server"  // the rest of the server's time: HTTP, templates, tokenizing
	PartNetwork = "network" // beyond the server's total: connection, kernel, the client itself
	PartWait    = "wait"    // until the first token, where the server does not tell its parts apart
)

// Of is the part of that name; its share is 0 where nothing was reported.
func (b *Breakdown) Of(name string) Part {
	for _, p := range b.Parts {
		if p.Name == name {
			return p
		}
	}
	return Part{Name: name}
}

// Largest is the part that takes most of the time.
func (b *Breakdown) Largest() Part { return b.largestBut("") }

// largestBut is the largest part that has another name.
func (b *Breakdown) largestBut(name string) Part {
	var largest Part
	for _, p := range b.Parts {
		if p.Name != name && p.Mean > largest.Mean {
			largest = p
		}
	}
	return largest
}

// Breakdown says where the result's requests spent their time.
func (r *Result) Breakdown() Breakdown {
	var b Breakdown
	var queue, prefill, decode, server, network time.Duration
	for i := range r.Records {
		one, t := &r.Records[i], &r.Records[i].Server
		if one.Outcome != record.OK || t.Total < 0 || t.Queue < 0 || t.Prefill < 0 || t.Decode < 0 {
			continue
		}
		b.N++
		b.Total += one.Latency()
		queue += t.Queue
		prefill += t.Prefill
		decode += t.Decode
		// The server rounds its numbers, so a difference of two of them can fall just below zero.
		server += max(0, t.Total-t.Queue-t.Prefill-t.Decode)
		network += max(0, one.Latency()-t.Total)
	}
	if b.N == 0 {
		return seen(r.Records)
	}
	b.divide([]Part{
		{Name: PartQueue, Mean: queue}, {Name: PartPrefill, Mean: prefill},
		{Name: PartDecode, Mean: decode},
		{Name: PartServer, Mean: server}, {Name: PartNetwork, Mean: network},
	})
	return b
}

// seen is the breakdown by the client's clock alone. An answer that came in one piece has no parts.
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
		b.divide([]Part{{Name: PartWait, Mean: wait}, {Name: PartDecode, Mean: decode}})
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
		share := float64(p.Mean) / float64(max(sum, 1))
		b.Parts = append(b.Parts, Part{p.Name, p.Mean / time.Duration(b.N), share})
	}
	b.Total /= time.Duration(b.N)
}
