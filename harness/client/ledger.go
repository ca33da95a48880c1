package client

import (
	"sync"
	"time"

	"loadstone/harness/record"
)

// ledger counts requests for a record.Ledger, any number of them at once.
type ledger struct {
	mu       sync.Mutex
	counts   record.Ledger
	inFlight int
	since    time.Duration // when inFlight last changed
}

// change notes that a request began (+1) or ended (-1) at a time of the client's clock. The times
// are those of the records. Two of them may arrive here in the wrong order; the sum is the same.
func (l *ledger) change(at time.Duration, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Seconds += float64(l.inFlight) * (at - l.since).Seconds()
	l.since = at
	l.inFlight += by
	if by > 0 {
		l.counts.Begun++
	} else {
		l.counts.Ended++
	}
}

// Ledger is what the client has counted until now. Its Seconds are complete while no request is in
// flight.
func (c *Client) Ledger() record.Ledger {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return c.ledger.counts
}
