package workers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/internal/build"
)

// A Worker is a process that puts parts of loads on a server where a coordinator tells it to.
type Worker struct {
	// Remote allows targets off this machine: whoever can reach the NATS server decides what the
	// worker loads, and a load test is an attack on anybody who did not ask for it.
	Remote bool
	Log    io.Writer // what it does, a line each

	nc   *nats.Conn
	id   string
	name string

	mu   sync.Mutex
	post *post // nil: nobody has claimed it
	bulk *bulk // the recorded traffic that it was last given
	sum  string
}

// How often workers and coordinators say that they are there, and the silence after which each
// takes the other to be gone.
const (
	aliveEvery = 300 * time.Millisecond
	patience   = 4 * time.Second
)

// A silence counts the beats that this process has sent since it last heard from the other one. It
// counts beats and not seconds, since a virtual machine may stand still for some seconds: time goes
// on for both processes meanwhile, and what the other one has sent is still to be read.
type silence int

// grow is called each time, and reports whether the other is to be taken to be gone.
func (s *silence) grow() (gone bool) {
	*s++
	return time.Duration(*s)*aliveEvery > patience
}

// flushEvery is how long a record waits at most until the coordinator is told.
const flushEvery = 100 * time.Millisecond

// A post is a worker's part in a session.
type post struct {
	session string
	client  *client.Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silence silence
	alive   *nats.Subscription
	bytes   []byte // of recorded traffic that is under way

	part   *harness.Part
	rounds chan order // those that the coordinator has called
	stop   context.CancelFunc

	mu      sync.Mutex
	fresh   []record.Record // that the coordinator was not told of
	told    int
	used    time.Duration // processor time of the parts
	lasted  time.Duration
	nc      *nats.Conn
	worker  string
	maximum int // bytes of a message
}

// Run joins the coordinator and does the work that it hands out, until the context ends, which is no
// error. It connects again when the connection is lost. An error says that the worker could not
// join.
func (w *Worker) Run(ctx context.Context, nc *nats.Conn) error {
	host, _ := os.Hostname()
	w.nc, w.id, w.name = nc, nuid.Next(), fmt.Sprintf("%s, process %d", host, os.Getpid())
	for subject, handle := range map[string]nats.MsgHandler{rollCall: w.tellOf,
		clockOf(w.id): w.tellTime, ordersFor(w.id): w.take} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			return err
		}
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w.Log, "worker %s has joined %s\n", w.name, nc.ConnectedUrlRedacted())
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.leave()
			return nil
		case <-tick.C:
			w.beat()
		}
	}
}

// tellTime is the worker's answer to how late it is: nothing else is done, so that it takes no
// time.
func (w *Worker) tellTime(m *nats.Msg) {
	w.mu.Lock()
	p := w.post
	w.mu.Unlock()
	if p != nil {
		m.Respond(binary.BigEndian.AppendUint64(nil, uint64(p.client.Since())))
	}
}

// tellOf answers a roll call.
func (w *Worker) tellOf(m *nats.Msg) {
	if text, err := encoded(w.info()); err == nil {
		m.Respond(text)
	}
}

func (w *Worker) info() info {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := info{Protocol: protocol, Form: record.AskedForm, ID: w.id, Name: w.name,
		Version: build.Read().Version, Host: report.FindHost()}
	if w.post != nil {
		i.Session = w.post.session
	}
	return i
}

// beat tells the coordinator that the worker is there, and leaves one that is not.
func (w *Worker) beat() {
	w.mu.Lock()
	p := w.post
	gone := p != nil && p.silence.grow()
	w.mu.Unlock()
	switch {
	case p == nil:
	case gone:
		fmt.Fprintf(w.Log, "nothing was heard of the coordinator for %v: its load is stopped\n", patience)
		w.release(errors.New("the coordinator is gone"))
	default:
		p.tell(news{Kind: kindAlive})
	}
}

// leave is called when the worker is to end.
func (w *Worker) leave() {
	w.mu.Lock()
	p := w.post
	w.mu.Unlock()
	if p != nil {
		p.tell(news{Kind: kindLeaving})
		w.nc.Flush()
	}
	w.release(context.Canceled)
}

// release ends what is under way for a session.
func (w *Worker) release(why error) {
	w.mu.Lock()
	p := w.post
	w.post = nil
	w.mu.Unlock()
	if p != nil {
		p.cancel(why)
		p.alive.Unsubscribe()
		p.client.Close()
	}
}

// take carries out an order, or begins to.
func (w *Worker) take(m *nats.Msg) {
	var o order
	err := decode(m.Data, &o)
	a := answer{}
	if err == nil {
		err = w.obey(&o, &a)
	}
	if err != nil {
		a.Err = err.Error()
	}
	if text, err := encoded(a); m.Reply != "" && err == nil {
		m.Respond(text)
	}
}

func (w *Worker) obey(o *order, a *answer) error {
	if o.Op == opClaim {
		a.Info = w.info()
		return w.claim(o)
	}
	w.mu.Lock()
	p := w.post
	w.mu.Unlock()
	if p == nil || p.session != o.Session {
		return errors.New("the worker belongs to another coordinator, or was released")
	}
	switch o.Op {
	case opBytes:
		p.bytes = append(p.bytes, o.Data...)
	case opBegin:
		return w.begin(p, o, a)
	case opFill:
		p.carryOut(func(ctx context.Context) (news, error) { return news{}, p.part.Fill(ctx) })
	case opStart:
		p.carryOut(func(ctx context.Context) (news, error) { return p.execute(ctx, o.Start) })
	case opAgain:
		p.carryOut(func(ctx context.Context) (n news, err error) {
			var records []record.Record
			records, n.Found, n.Again, err = p.part.Again(ctx)
			p.add(records...)
			return n, err
		})
	case opRound:
		select {
		case p.rounds <- *o:
		default: // the part has ended meanwhile
		}
	case opStop:
		if p.stop != nil {
			p.stop()
		}
	case opRelease:
		w.release(context.Canceled)
	default:
		return fmt.Errorf("there is no order %q", o.Op)
	}
	return nil
}

// claim makes the worker belong to a session.
func (w *Worker) claim(o *order) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.post; p != nil && p.session != o.Session {
		return errors.New("it works for another coordinator")
	}
	c, err := o.Target.client(w.Remote)
	if _, ok := errors.AsType[*harness.RemoteError](err); ok {
		return fmt.Errorf("%w; loadstone worker -allow-remote lets this one", err)
	}
	if err == nil {
		err = reachable(c.URL)
	}
	if err != nil {
		return err
	}
	p := &post{session: o.Session, client: c, nc: w.nc, worker: w.id,
		maximum: int(w.nc.MaxPayload()) / 2}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.alive, err = w.nc.Subscribe(aliveOf(o.Session), func(*nats.Msg) {
		w.mu.Lock()
		p.silence = 0
		w.mu.Unlock()
	})
	if err != nil {
		return err
	}
	w.post = p
	fmt.Fprintf(w.Log, "a coordinator measures %s\n", c.URL)
	return w.nc.Flush()
}

// reachable tells whether a connection to the target can be made from here.
func reachable(base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), port), 2*time.Second)
	if err != nil {
		return fmt.Errorf("it cannot reach %s: %w", base, err)
	}
	return conn.Close()
}

// begin takes a part of a run.
func (w *Worker) begin(p *post, o *order, a *answer) error {
	if o.Bulk != "" {
		if len(p.bytes) > 0 {
			b := &bulk{}
			err := decode(p.bytes, b)
			if p.bytes = nil; err != nil {
				return err
			}
			w.bulk, w.sum = b, o.Bulk
		}
		if a.Has = w.sum == o.Bulk; !a.Has {
			return nil
		}
		w.bulk.into(&o.Job.Load)
	}
	p.part = harness.NewPart(o.Job, p.client)
	p.part.Deliver = func(r record.Record) { p.add(r) }
	p.rounds = make(chan order, 1)
	p.part.Round = p.round
	return nil
}

// carryOut does what takes time, and tells when it has ended and how.
func (p *post) carryOut(do func(ctx context.Context) (news, error)) {
	ctx, stop := context.WithCancel(p.ctx)
	p.stop = stop
	p.mu.Lock()
	p.told = 0
	p.mu.Unlock()
	go func() {
		defer stop()
		unflush := harness.Every(flushEvery, p.flush)
		n, err := do(ctx)
		unflush()
		p.flush()
		n.Kind, n.Ledger, n.Skipped = kindDone, p.client.Ledger(), p.part.Skipped()
		p.mu.Lock()
		n.Told = p.told
		if p.lasted > 0 {
			n.Busy = p.used.Seconds() / p.lasted.Seconds() / float64(runtime.GOMAXPROCS(0))
		}
		p.mu.Unlock()
		if err != nil {
			n.Err, n.Gone = err.Error(), errors.Is(err, harness.ErrServerGone)
		}
		p.tell(n)
	}()
}

// execute carries out the part.
func (p *post) execute(ctx context.Context, start time.Duration) (news, error) {
	used, began := proc.OwnCPU(), time.Now()
	err := p.part.Execute(ctx, start)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used += proc.OwnCPU() - used
	p.lasted += time.Since(began)
	return news{}, err
}

// round tells that all of the part's agents have come to a round, and waits for it.
func (p *post) round(ctx context.Context, _ int) (time.Duration, bool) {
	p.flush() // what the round before took is known before the next begins
	p.tell(news{Kind: kindRound})
	select {
	case o := <-p.rounds:
		return o.Due, o.More
	case <-ctx.Done():
		return 0, false
	}
}

func (p *post) add(records ...record.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh = append(p.fresh, records...)
}

// flush tells of the records that have come.
func (p *post) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushAll(p.fresh)
	clear(p.fresh)
	p.fresh = p.fresh[:0]
}

// flushAll tells of records in as many messages as it takes. p.mu must be held. One that is too
// large for a message goes without its texts, of which it has the digest.
func (p *post) flushAll(records []record.Record) {
	if len(records) == 0 {
		return
	}
	text, err := encoded(news{Worker: p.worker, Kind: kindRecords, Records: records,
		Told: p.told + len(records)})
	switch {
	case err != nil:
		return // the coordinator sees that they are missing
	case len(text) <= p.maximum:
		p.told += len(records)
		p.nc.Publish(newsOf(p.session), text)
	case len(records) == 1:
		records[0].Answer, records[0].Thought, records[0].Calls = "", "", ""
		p.told++
		publish(p.nc, newsOf(p.session),
			news{Worker: p.worker, Kind: kindRecords, Records: records, Told: p.told})
	default:
		p.flushAll(records[:len(records)/2])
		p.flushAll(records[len(records)/2:])
	}
}

func (p *post) tell(n news) {
	ledger := p.client.Ledger()
	n.Worker, n.InFlight = p.worker, ledger.Begun-ledger.Ended
	publish(p.nc, newsOf(p.session), n)
}
