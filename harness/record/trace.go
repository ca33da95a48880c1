package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// A Trace says which span of which trace a request is, by the ids of W3C's Trace Context. A job is
// a trace, and each of its requests a span below the job's own. All ids are functions of the
// request's place. So a file of records needs no field for them, and a request in a server's log or
// traces can be matched with its record.
type Trace struct {
	ID   [16]byte
	Job  [8]byte // the job's span
	Span [8]byte // the request's
}

// Trace is that of a place. Agents' names are new in every run, and so are its ids. What is asked
// again after a run has the place of what was asked in it, and is in no trace.
func (p *Place) Trace() (t Trace) {
	job := sha256.Sum256(fmt.Appendf(nil, "loadstone trace %q %q %v %d", p.Scenario, p.Job(),
		p.Level, p.Run))
	copy(t.ID[:], job[:])
	copy(t.Job[:], job[16:])
	own := sha256.Sum256(fmt.Appendf(nil, "%x %q %d %d %d", job, p.Agent, p.Turn, p.Call.ID, p.Rep))
	copy(t.Span[:], own[:])
	return t
}

// Traceparent is the value of the header by which a server knows a request's trace. recorded says
// that this side records the request's span.
func (p *Place) Traceparent(recorded bool) string {
	t := p.Trace()
	flags := "00"
	if recorded {
		flags = "01"
	}
	return "00-" + hex.EncodeToString(t.ID[:]) + "-" + hex.EncodeToString(t.Span[:]) + "-" + flags
}
