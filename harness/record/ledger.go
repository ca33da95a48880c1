package record

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A Ledger is what a client counts of the requests that pass through it, apart from all records. It
// is the other side of the account that Balance closes.
type Ledger struct {
	Begun, Ended int
	Seconds      float64 // request-seconds: the integral of the number in flight over time
}

// Add is the sum of two ledgers, such as those of two clients.
func (l Ledger) Add(o Ledger) Ledger {
	return Ledger{l.Begun + o.Begun, l.Ended + o.Ended, l.Seconds + o.Seconds}
}

// A Window is a time of the client's clock at whose ends nothing was in flight, and what the client
// counted in it: the records of a run that were sent in the window are as many.
type Window struct {
	From    time.Duration `json:"from_ns"`
	To      time.Duration `json:"to_ns"`
	Begun   int           `json:"begun"`
	Ended   int           `json:"ended"`
	Seconds float64       `json:"request_seconds"` // see Ledger
}

// NewWindow is the window between two readings of a client's ledger.
func NewWindow(from time.Duration, before Ledger, to time.Duration, after Ledger) *Window {
	return &Window{from, to, after.Begun - before.Begun, after.Ended - before.Ended,
		after.Seconds - before.Seconds}
}

// Check holds records to the window, as Balance does: those of them that were sent in it.
func (w *Window) Check(records []Record) []Violation {
	var within []Record
	for i := range records {
		if r := &records[i]; w.From <= r.Sent && r.Sent <= w.To {
			within = append(within, *r)
		}
	}
	return Balance(within, Ledger{}, Ledger{w.Begun, w.Ended, w.Seconds})
}

// Held is what the server said it held right before a run and after it, once it had given back what
// the run took: requests, and blocks and window slots of its pool, by the names of metrics.Held.
type Held struct {
	Before map[string]float64 `json:"before"`
	After  map[string]float64 `json:"after"`
}

// Left lists, in words, what the server held after the run beyond what it held before.
func (h *Held) Left() (left []string) {
	if h == nil {
		return nil
	}
	for _, kind := range slices.Sorted(maps.Keys(h.After)) {
		if before, ok := h.Before[kind]; ok && h.After[kind] > before {
			left = append(left, fmt.Sprintf("%g %s, %g before", h.After[kind],
				strings.ReplaceAll(kind, "_", " "), before))
		}
	}
	return left
}

// Balance compares the records of a load with what the client counted while the load ran, from one
// reading of its Ledger to another, both taken while nothing was in flight. Two laws must hold:
//
//   - conservation: every request that was begun has ended, and has one record
//   - Little's law: the mean number in flight is the rate of requests times their mean time in
//     flight. The left side is the client's count of the requests in flight, the right side is what
//     the records say
//
// A load for which they do not hold was not measured, whatever its figures.
func Balance(records []Record, before, after Ledger) []Violation {
	var found []Violation
	report := func(format string, args ...any) {
		found = append(found, Violation{Check: CheckCount, About: fmt.Sprintf(format, args...)})
	}
	begun, ended := after.Begun-before.Begun, after.Ended-before.Ended
	if begun != ended {
		report("%d requests were begun and %d have ended", begun, ended)
	}
	if len(records) != begun {
		report("%d requests were begun, and there are records of %d", begun, len(records))
	}
	var recorded float64
	for i := range records {
		recorded += (records[i].End - records[i].Sent).Seconds()
	}
	// Both are sums of the same stamps, so they differ by rounding alone.
	counted := after.Seconds - before.Seconds
	if len(found) == 0 && math.Abs(recorded-counted) > 1e-6*(1+counted) {
		report("Little's law: by the client's count requests were in flight for %.6f s together, "+
			"by the records for %.6f s", counted, recorded)
	}
	return found
}

// Without returns the ledger less the requests of a Rest: what is left has records.
func (l Ledger) Without(r *Rest) Ledger {
	if r != nil {
		l.Begun, l.Ended, l.Seconds = l.Begun-r.Requests, l.Ended-r.Requests, l.Seconds-r.seconds
	}
	return l
}
