package report

import (
	"time"

	"loadstone/harness/record"
)

// A Breakdown is where the mean answered request of a scenario spent its time, by the server's own timings. Means are
// used because only they add up to the whole.
type Breakdown struct {
	N     int // answered requests whose server reported its timings
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
		return b
	}
	n := time.Duration(b.N)
	sum := queue + prefill + decode + server + network
	for _, p := range []Part{{Name: partQueue, Mean: queue}, {Name: partPrefill, Mean: prefill}, {Name: partDecode, Mean: decode},
		{Name: partServer, Mean: server}, {Name: partNetwork, Mean: network}} {
		b.Parts = append(b.Parts, Part{p.Name, p.Mean / n, float64(p.Mean) / float64(max(sum, 1))})
	}
	b.Total /= n
	return b
}
