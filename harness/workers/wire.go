package workers

import (
	"bytes"
	"crypto/tls"
	"encoding/gob"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/internal/peer"
)

// protocol names the messages and what they mean. Processes that know another one do not work
// together.
const protocol = "loadstone-workers/1"

// The subjects. A session is one coordinator's measurement.
const rollCall = "loadstone.workers.roll"

func ordersFor(worker string) string { return "loadstone.workers.to." + worker }
func clockOf(worker string) string   { return "loadstone.workers.clock." + worker }
func newsOf(session string) string   { return "loadstone.workers.from." + session }
func aliveOf(session string) string  { return "loadstone.workers.alive." + session }

// An info is what a worker says of itself.
type info struct {
	Protocol, Form string // Form: the rules by which requests are made, record.AskedForm
	ID, Name       string // Name: its machine and process
	Version        string
	Host           report.Host
	Session        string // that has claimed it; "": it is free
}

// A Target is the server under test as the workers are told of it.
type Target struct {
	URL, Model, Key string
	API             client.API
	Forms           []client.API
	Headers         []load.Header
	Body            load.Body
	Timeout         time.Duration
	Traced          bool   // see client.Client
	CA              []byte // certificates in PEM, beside the system's; nil: those alone
	Insecure        bool   // the certificate is not checked
}

// client is a new one of the target.
func (t *Target) client(remote bool) (*client.Client, error) {
	base, err := harness.BaseURL(t.URL, remote)
	if err != nil {
		return nil, err
	}
	to := harness.Target{API: t.API, Forms: t.Forms, Model: t.Model, Key: t.Key, Headers: t.Headers,
		Body: t.Body, Timeout: t.Timeout}
	switch {
	case t.Insecure:
		to.TLS = &tls.Config{InsecureSkipVerify: true}
	case t.CA != nil:
		roots, err := peer.Roots(t.CA)
		if err != nil {
			return nil, err
		}
		to.TLS = &tls.Config{RootCAs: roots}
	}
	c := to.NewClient(base)
	c.Traced = t.Traced
	return c, nil
}

// An order is what a coordinator tells a worker.
type order struct {
	Op      op
	Session string

	Target Target        // of claim
	Data   []byte        // of bytes: more of what begin takes
	Job    harness.Job   // of begin; its recorded traffic is in what bytes brought, or was before
	Bulk   string        // of begin: the digest of that traffic; "": there is none
	Start  time.Duration // of start, by the worker's clock
	Due    time.Duration // of round, by the worker's clock
	More   bool          // of round: there is one
}

// An op is what an order wants.
type op string

const (
	opClaim   op = "claim"   // belong to a session, and make a client of its target
	opBytes   op = "bytes"   // take more bytes of recorded traffic
	opBegin   op = "begin"   // take a part of a run
	opFill    op = "fill"    // let its agents have their first turn
	opStart   op = "start"   // carry it out
	opRound   op = "round"   // go on: a round is due
	opAgain   op = "again"   // ask some questions again
	opStop    op = "stop"    // end what is under way
	opRelease op = "release" // belong to nobody
)

// An answer is what comes back of an order: "" where it was taken.
type answer struct {
	Err  string
	Info info
	Has  bool // of begin: the worker has the recorded traffic of that digest
}

// news is what a worker tells the session's coordinator.
type news struct {
	Worker string
	Kind   kind

	Records []record.Record
	Told    int // records of the order under way so far, those included

	InFlight int
	Ledger   record.Ledger // of done
	Skipped  int           // of done
	Busy     float64       // of done: share of the processors that the worker took
	Found    []record.Violation
	Again    record.Again
	Err      string // of done: why it failed
	Gone     bool   // of done: the server is gone
}

// A kind is what news are of.
type kind string

const (
	kindAlive   kind = "alive"   // the worker is there
	kindRecords kind = "records" // requests that have ended
	kindRound   kind = "round"   // all of the worker's agents have come to a round
	kindDone    kind = "done"    // what was ordered has ended
	kindLeaving kind = "leaving" // the worker was told to end by somebody else
)

// bulk is recorded traffic, which is sent once and not with every run.
type bulk struct {
	Sessions []load.Session
	Calls    [][]call // of each session
	Trace    []load.TraceRequest
}

// A call is one of a session. Package gob does not tell a slice without elements from nil, which
// leaves the tools or the fields to the load.
type call struct {
	load.Call
	NoTools, NoFields bool // there are none
}

// bulkOf takes the recorded traffic out of a load; nil where there is none.
func bulkOf(l *load.Load) *bulk {
	if l.Sessions == nil && l.Trace == nil {
		return nil
	}
	b := &bulk{Trace: l.Trace}
	for _, s := range l.Sessions {
		var calls []call
		for c := range s.Calls {
			calls = append(calls, call{c, c.Tools != nil && len(c.Tools) == 0,
				c.Fields != nil && len(c.Fields) == 0})
		}
		b.Calls = append(b.Calls, calls)
		s.Calls = nil
		b.Sessions = append(b.Sessions, s)
	}
	l.Sessions, l.Trace = nil, nil
	return b
}

// into puts the recorded traffic back into its load.
func (b *bulk) into(l *load.Load) {
	l.Sessions, l.Trace = slices.Clone(b.Sessions), b.Trace
	for i := range l.Sessions {
		l.Sessions[i].Calls = func(yield func(load.Call) bool) {
			for _, c := range b.Calls[i] {
				if c.NoTools {
					c.Tools = []json.RawMessage{}
				}
				if c.NoFields {
					c.Fields = []load.Field{}
				}
				if !yield(c.Call) {
					return
				}
			}
		}
	}
}

// encoded is a message: each stands for itself, so that one that is lost spoils no other.
func encoded(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func decode(text []byte, v any) error { return gob.NewDecoder(bytes.NewReader(text)).Decode(v) }

// publish sends a message that nobody answers.
func publish(nc *nats.Conn, subject string, v any) error {
	text, err := encoded(v)
	if err != nil {
		return err
	}
	return nc.Publish(subject, text)
}
