package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

// A Coordinator leads the workers of one measurement. It is a harness.Crew.
type Coordinator struct {
	nc      *nats.Conn
	session string
	clock   func() time.Duration
	members []*member
	stop    func() // ends the heartbeat
	begun   time.Time

	delivering sync.Mutex // while records are taken: nobody is found to have ended meanwhile

	mu    sync.Mutex
	phase *phase // what is under way; nil: nothing
}

// A member is one of the workers.
type member struct {
	info
	part     int
	offset   time.Duration // of its clock from the coordinator's
	clocks   report.Clock
	silence  silence
	lost     *harness.LostError // nil: it is there
	leaving  bool
	ledger   record.Ledger
	inFlight int
	skipped  int
	busy     float64
	sent     int // requests of the measurement
	last     int // requests of what it did last
	share    int // requests of its part of the run; 0: not known
}

// A phase is something that all workers, or some, were told to do.
type phase struct {
	op      op
	run     harness.CrewRun
	started time.Time
	left    map[*member]*progress
	again   news
	err     error
	ended   chan struct{} // closed when nobody is left
}

// progress is how far a worker is with what it was told to do.
type progress struct {
	told    int
	waiting bool // its agents have come to a round that is not due yet
	ended   bool
}

// Call finds the workers that have joined a NATS server and belong to nobody. It waits, for as long
// as the context lasts, until there are so many, at least one; where it need not wait for more, it
// takes all that answer within a moment. Where they are too few by then, the error is a
// *TooFewError.
func Call(ctx context.Context, nc *nats.Conn, atLeast int) (*Coordinator, error) {
	c := &Coordinator{nc: nc, session: nuid.Next()}
	var refused error
	for {
		found, err := askAll(ctx, nc)
		if err != nil {
			return nil, err
		}
		c.members, refused = nil, nil
		for _, i := range found {
			switch {
			case i.Session != "":
				refused = fmt.Errorf("%s works for another coordinator", i.Name)
			case i.Protocol != protocol || i.Form != record.AskedForm:
				return nil, fmt.Errorf("%s is of another version of loadstone: it knows %s and "+
					"%s, and this one %s and %s", i.Name, i.Protocol, i.Form, protocol, record.AskedForm)
			default:
				c.members = append(c.members, &member{info: i, part: len(c.members)})
			}
		}
		if len(c.members) >= max(atLeast, 1) {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, &TooFewError{Found: len(c.members), Want: max(atLeast, 1), Busy: refused}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// A TooFewError says that not enough workers have joined.
type TooFewError struct {
	Found, Want int
	Busy        error // why one of those who have is not taken; nil: there is none
}

func (e *TooFewError) Error() string {
	text := fmt.Sprintf("too few workers have joined: %d, want %d", e.Found, e.Want)
	if e.Busy != nil {
		text += "; " + e.Busy.Error()
	}
	return text
}

// askAll asks all workers to report, and collects answers for a moment: their number is not known.
func askAll(ctx context.Context, nc *nats.Conn) (all []info, err error) {
	const moment = 300 * time.Millisecond
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	if err := nc.PublishRequest(rollCall, inbox, nil); err != nil {
		return nil, err
	}
	for until := time.Now().Add(moment); ; {
		m, err := sub.NextMsg(time.Until(until))
		switch {
		case errors.Is(err, nats.ErrTimeout):
			slices.SortFunc(all, func(a, b info) int { return compare(a.Name, b.Name) })
			return all, nil
		case errors.Is(err, nats.ErrNoResponders):
			return nil, nil
		case err != nil:
			return nil, err
		}
		var i info
		if decode(m.Data, &i) == nil && i.ID != "" {
			all = append(all, i)
		}
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Claim makes the workers belong to this coordinator, and tells them what is measured. clock is
// that of all times from now on.
func (c *Coordinator) Claim(ctx context.Context, t Target, clock func() time.Duration) error {
	c.clock, c.begun = clock, time.Now()
	sub, err := c.nc.Subscribe(newsOf(c.session), c.hear)
	if err != nil {
		return err
	}
	sub.SetPendingLimits(-1, -1) // what is dropped is a record
	alive := harness.Every(aliveEvery, func() { c.nc.Publish(aliveOf(c.session), nil) })
	c.stop = sync.OnceFunc(func() { alive(); sub.Unsubscribe() })
	for _, m := range c.members {
		if _, err := c.order(ctx, m, order{Op: opClaim, Target: t}); err != nil {
			return fmt.Errorf("worker %s: %w", m.Name, err)
		}
	}
	return nil
}

// Close releases the workers.
func (c *Coordinator) Close() {
	for _, m := range c.members {
		publish(c.nc, ordersFor(m.ID), order{Op: opRelease, Session: c.session})
	}
	if c.stop != nil {
		c.stop()
	}
	c.nc.Flush()
	c.nc.Close()
}

// order tells a worker to do something and waits until it has taken the order.
func (c *Coordinator) order(ctx context.Context, m *member, o order) (a answer, err error) {
	o.Session = c.session
	text, err := encoded(o)
	if err != nil {
		return a, err
	}
	ctx, stop := patient(ctx)
	defer stop()
	r, err := c.nc.RequestWithContext(ctx, ordersFor(m.ID), text)
	if err == nil {
		err = decode(r.Data, &a)
	}
	if err != nil && (errors.Is(err, nats.ErrNoResponders) || context.Cause(ctx) == errSilent) {
		err = c.lostAt(m, 0, 0)
	}
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	return a, err
}

// errSilent is why a context of patient ends.
var errSilent = errors.New("a worker does not answer")

// patient is a context for a question to a worker, which ends where no answer comes. stop must be
// called.
func patient(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var s silence
	end := harness.Every(aliveEvery, func() {
		if s.grow() {
			cancel(errSilent)
		}
	})
	return ctx, func() { end(); cancel(nil) }
}

// Begin gives each worker its part of a run, and measures their clocks.
func (c *Coordinator) Begin(ctx context.Context, job harness.Job) error {
	l := job.Load
	sum, content, err := c.bulk(&job.Load)
	if err != nil {
		return err
	}
	for _, m := range c.members {
		if lost := c.lostOf(m); lost != nil {
			return lost
		}
		job.Share = load.Share{Part: m.part, Of: len(c.members)}
		m.share, m.skipped = job.Share.Requests(&l), 0
		o := order{Op: opBegin, Job: job, Bulk: sum}
		a, err := c.order(ctx, m, o)
		if err == nil && sum != "" && !a.Has {
			if err = c.send(ctx, m, content); err == nil {
				_, err = c.order(ctx, m, o)
			}
		}
		if err != nil {
			return fmt.Errorf("worker %s: %w", m.Name, err)
		}
	}
	return c.measureClocks(ctx, true)
}

// bulk takes the recorded traffic out of a load, with its digest; "" where there is none.
func (c *Coordinator) bulk(l *load.Load) (sum string, content []byte, err error) {
	b := bulkOf(l)
	if b == nil {
		return "", nil, nil
	}
	if content, err = encoded(b); err != nil {
		return "", nil, err
	}
	hash := sha256.Sum256(content)
	return hex.EncodeToString(hash[:]), content, nil
}

// send sends recorded traffic in pieces that fit into messages.
func (c *Coordinator) send(ctx context.Context, m *member, content []byte) error {
	for piece := range slices.Chunk(content, int(c.nc.MaxPayload())/2) {
		if _, err := c.order(ctx, m, order{Op: opBytes, Data: piece}); err != nil {
			return err
		}
	}
	return nil
}

// Fill lets all agents have their first turn.
func (c *Coordinator) Fill(ctx context.Context) (records []record.Record, err error) {
	_, err = c.carryOut(ctx, c.members, order{Op: opFill}, harness.CrewRun{
		Deliver: func(more []record.Record) { records = append(records, more...) }})
	return records, err
}

// Execute begins the parts at a time, and returns when all have ended.
func (c *Coordinator) Execute(ctx context.Context, start time.Duration, run harness.CrewRun) error {
	_, err := c.carryOut(ctx, c.members, order{Op: opStart, Start: start}, run)
	if err == nil {
		err = c.measureClocks(ctx, false)
	}
	return err
}

// Again lets one of the workers ask some of its questions again, each in its turn.
func (c *Coordinator) Again(ctx context.Context) (records []record.Record, found []record.Violation,
	said record.Again, err error) {
	asked := slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m.last == 0 })
	if len(asked) == 0 {
		return nil, nil, said, nil
	}
	one := asked[int(c.clock())%len(asked)]
	n, err := c.carryOut(ctx, []*member{one}, order{Op: opAgain}, harness.CrewRun{
		Deliver: func(more []record.Record) { records = append(records, more...) }})
	return records, n.Found, n.Again, err
}

// carryOut lets workers do something and waits until all have. When the context ends, they are told
// to stop, and what they tell until they have is kept.
func (c *Coordinator) carryOut(ctx context.Context, members []*member, o order,
	run harness.CrewRun) (news, error) {
	p := &phase{op: o.Op, run: run, started: time.Now(), left: map[*member]*progress{},
		ended: make(chan struct{})}
	c.mu.Lock()
	c.phase = p
	for _, m := range members {
		p.left[m] = &progress{}
		m.silence, m.last = 0, 0
	}
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.phase = nil; c.mu.Unlock() }()
	for _, m := range members {
		own := o
		own.Start += m.offset
		if _, err := c.order(context.WithoutCancel(ctx), m, own); err != nil {
			c.end(p, m, err)
		}
	}
	look := time.NewTicker(aliveEvery)
	defer look.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case <-p.ended:
			c.mu.Lock()
			defer c.mu.Unlock()
			return p.again, p.err
		case <-cancelled:
			cancelled = nil
			c.stopAll(p)
		case <-look.C:
			c.loseSilent(p)
		}
	}
}

// stopAll tells all who are at work to stop.
func (c *Coordinator) stopAll(p *phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range p.left {
		publish(c.nc, ordersFor(m.ID), order{Op: opStop, Session: c.session})
	}
}

// loseSilent is called as often as workers say that they are there, and notes as lost those that
// have said nothing for longer than patience.
func (c *Coordinator) loseSilent(p *phase) {
	c.mu.Lock()
	var lost []*member
	for m := range p.left {
		if m.silence.grow() {
			lost = append(lost, m)
		}
	}
	c.mu.Unlock()
	slices.SortFunc(lost, func(a, b *member) int { return a.part - b.part })
	for _, m := range lost {
		c.lose(p, m)
	}
}

// lose notes that a worker is lost.
func (c *Coordinator) lose(p *phase, m *member) {
	c.mu.Lock()
	told := 0
	if at := p.left[m]; at != nil {
		told = at.told
	}
	c.mu.Unlock()
	c.end(p, m, c.lostAt(m, time.Since(p.started), told))
}

// lostOf is how a worker was lost; nil: it is there.
func (c *Coordinator) lostOf(m *member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.lost == nil {
		return nil
	}
	return m.lost
}

// lostAt notes that a worker is lost, and what is known of it.
func (c *Coordinator) lostAt(m *member, after time.Duration, told int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	why := fmt.Sprintf("nothing was heard of it for %v", patience)
	switch {
	case !c.nc.IsConnected():
		why = "the NATS server is gone"
	case m.leaving:
		why = "it was stopped"
	}
	unsent := -1
	if m.share > 0 {
		unsent = max(0, m.share-told)
	}
	m.lost = &harness.LostError{Worker: m.part + 1, Of: len(c.members), Name: m.Name, After: after,
		Told: told, Unsent: unsent, Why: why}
	return m.lost
}

// end notes that a worker has ended what it was told, and how. Where it failed, and was not lost,
// the others are told to stop: what they would measure is another load.
func (c *Coordinator) end(p *phase, m *member, err error) {
	c.delivering.Lock()
	c.mu.Lock()
	at := p.left[m]
	if at == nil {
		c.mu.Unlock()
		c.delivering.Unlock()
		return
	}
	delete(p.left, m)
	at.ended = true
	if err != nil && p.err == nil {
		p.err = err
	}
	last, waiting := len(p.left) == 0, at.waiting
	c.mu.Unlock()
	c.delivering.Unlock()
	if _, lost := errors.AsType[*harness.LostError](err); err != nil && !lost {
		c.stopAll(p)
	}
	if p.run.Leave != nil && !waiting { // otherwise it leaves after the round that it waits for
		p.run.Leave(m.part)
	}
	if last {
		close(p.ended)
	}
}

// hear takes what a worker tells. All news come here one after the other.
func (c *Coordinator) hear(msg *nats.Msg) {
	var n news
	if decode(msg.Data, &n) != nil {
		return
	}
	c.mu.Lock()
	i := slices.IndexFunc(c.members, func(m *member) bool { return m.ID == n.Worker })
	if i < 0 {
		c.mu.Unlock()
		return
	}
	m, p := c.members[i], c.phase
	m.silence, m.inFlight = 0, n.InFlight
	var at *progress
	if p != nil {
		at = p.left[m]
	}
	c.mu.Unlock()
	if at == nil { // it was taken to be lost, or nothing is under way
		return
	}
	switch n.Kind {
	case kindRecords:
		c.takeRecords(p, m, at, &n)
	case kindRound:
		c.mu.Lock()
		at.waiting = true
		c.mu.Unlock()
		go c.callRound(p, m, at)
	case kindLeaving:
		c.mu.Lock()
		m.leaving = true
		c.mu.Unlock()
		c.lose(p, m)
	case kindDone:
		c.done(p, m, at, &n)
	}
}

// takeRecords takes records of a worker that has not ended.
func (c *Coordinator) takeRecords(p *phase, m *member, at *progress, n *news) {
	c.delivering.Lock()
	defer c.delivering.Unlock()
	c.mu.Lock()
	ended := at.ended
	if !ended {
		at.told += len(n.Records)
		m.sent += len(n.Records)
		m.last = at.told
	}
	c.mu.Unlock()
	if ended {
		return
	}
	for i := range n.Records {
		n.Records[i].Shift(-m.offset)
	}
	p.run.Deliver(n.Records)
}

// callRound waits for the round that a worker's agents have come to, and tells it.
func (c *Coordinator) callRound(p *phase, m *member, at *progress) {
	due, _, more := p.run.Await()
	c.mu.Lock()
	at.waiting = false
	ended := at.ended
	c.mu.Unlock()
	if ended {
		p.run.Leave(m.part)
		return
	}
	publish(c.nc, ordersFor(m.ID),
		order{Op: opRound, Session: c.session, Due: due + m.offset, More: more})
}

// done takes what a worker has to say when it has ended.
func (c *Coordinator) done(p *phase, m *member, at *progress, n *news) {
	c.mu.Lock()
	m.ledger, m.skipped, m.inFlight = n.Ledger, n.Skipped, 0
	if n.Busy > 0 {
		m.busy = n.Busy
	}
	if p.op == opAgain {
		p.again = *n
	}
	c.mu.Unlock()
	var err error
	switch {
	case n.Gone:
		err = &goneError{n.Err}
	case n.Err != "":
		err = fmt.Errorf("worker %s: %s", m.Name, n.Err)
	case n.Told != at.told:
		err = fmt.Errorf("worker %s has told of %d requests, and %d have arrived", m.Name, n.Told,
			at.told)
	}
	c.end(p, m, err)
}

// goneError is that of harness.ErrServerGone, as a worker has it.
type goneError struct{ text string }

func (e *goneError) Error() string { return e.text }
func (e *goneError) Unwrap() error { return harness.ErrServerGone }

// Size is how many workers there are.
func (c *Coordinator) Size() int { return len(c.members) }

// Ledger is what their clients have counted until the last thing that they were told had ended.
func (c *Coordinator) Ledger() (sum record.Ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		sum = sum.Add(m.ledger)
	}
	return sum
}

// Skipped is how many recorded calls of the run were not sent.
func (c *Coordinator) Skipped() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		n += m.skipped
	}
	return n
}

// InFlight is how many requests are on their way, by what was told last.
func (c *Coordinator) InFlight() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		n += m.inFlight
	}
	return n
}

// Workers are what a report says of them.
func (c *Coordinator) Workers() (all []report.Worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		w := report.Worker{Name: m.Name, Version: m.Version, Host: m.Host, Requests: m.sent, Busy: m.busy,
			Clock: m.clocks}
		if m.lost != nil {
			w.Lost = m.lost.Error()
		}
		all = append(all, w)
	}
	return all
}
