package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/metrics"
	"loadstone/harness/record"
)

// execution is one run of a load: its agents at work.
type execution struct {
	load   load.Load
	share  load.Share // of the load that this execution carries out
	server *server
	client *client.Client
	place  record.Place // of its requests, without agent and turn
	epoch  string       // part of the agents' names, which are new to the server in every run

	each        func(record.Record)
	deliver     func(record.Record) // unless nil, is given every record in place of records
	rounds      roundFunc           // unless nil, says when a round of agents that ask together is due
	maintenance *maintenance
	roundEnded  func() // is called after every round of agents that ask together
	window      *window
	idle        metrics.State // what the server held before the clock started

	stop    context.CancelCauseFunc // ends the load with an error
	limited error                   // client.Limited before the load
	start   time.Duration
	taking  sync.Mutex
	next    int // the next of the share's agents of a closed loop
	sent    atomic.Int64
	skipped atomic.Int64 // calls that were not sent, since they exceed the server's context
	ended   atomic.Int64
	over    atomic.Bool // the load has ended; what is on its way is waited for
	barrier *barrier    // of agents that ask together, else nil
	texts   sync.Map    // of load.Words that agents share

	mu      sync.Mutex
	known   int            // agents whose secrets a part of a load knows
	ready   map[int]*agent // whose first turn filled their cache
	filled  []record.Record
	records *keeper
}

func newExecution(l load.Load, s *server, epoch string) *execution {
	return &execution{load: l, server: s, client: s.client, epoch: epoch, ready: map[int]*agent{}}
}

// begin starts the clock.
func (x *execution) begin(w *window, each func(record.Record)) {
	x.window, x.each, x.limited = w, each, x.client.Limited()
	x.start = x.client.Since()
	x.records.begin()
}

// A roundFunc returns when a round is due, and false where there is none.
type roundFunc func(ctx context.Context, round int) (time.Duration, bool)

// execute puts the load on the server until it has ended. The records are then in x.records.
func (x *execution) execute(ctx context.Context) error {
	ctx, x.stop = context.WithCancelCause(ctx)
	defer x.stop(nil)
	defer x.maintenance.run(ctx, x)()
	var agents sync.WaitGroup
	for i, at := range x.share.Arrivals(&x.load) {
		if !x.client.Await(ctx, x.start+at) || x.isLimited() {
			break
		}
		agents.Go(func() { x.session(ctx, x.agent(i), x.start+at) })
	}
	places := x.share.Places(&x.load)
	if len(places) > 0 && x.load.Together > 0 {
		rounds := x.rounds
		if rounds == nil {
			rounds = x.between
		}
		x.barrier = newBarrier(len(places), func(round int) (time.Duration, bool) {
			return rounds(ctx, round)
		})
	}
	for _, p := range places {
		agents.Go(func() {
			if x.barrier != nil {
				defer x.barrier.leave()
			}
			after := x.load.RampUp * time.Duration(p) / time.Duration(max(x.load.Concurrency, 1))
			x.loop(ctx, x.start+after)
		})
	}
	agents.Wait()
	for _, a := range x.ready { // agents that were not needed
		a.close()
	}
	if x.isLimited() {
		return x.client.Limited()
	}
	return context.Cause(ctx)
}

// isLimited reports whether this machine has kept a request from being sent. Then no other is sent,
// since what would come of it says nothing of the server. Those in flight are waited for.
func (x *execution) isLimited() bool { return x.client.Limited() != x.limited }

// loop lets one agent after the other work, in one place of a closed loop.
func (x *execution) loop(ctx context.Context, due time.Duration) {
	for more := true; more; {
		a := x.nextAgent()
		if a == nil {
			return
		}
		due, more = x.session(ctx, a, due)
	}
}

// nextAgent is the next agent of a closed loop, nil where there is none. Its first request counts
// as sent, so that of a number of requests none is an agent's that comes after one without.
func (x *execution) nextAgent() *agent {
	x.taking.Lock()
	i := x.share.Agent(&x.load, x.next)
	if i >= x.load.MaxAgents() || !x.count() {
		x.taking.Unlock()
		return nil
	}
	x.next++
	x.taking.Unlock()
	a := x.agent(i)
	a.counted = true
	return a
}

// count counts a request and reports whether the load still has one.
func (x *execution) count() bool {
	n := x.sent.Add(1)
	return x.load.Requests == 0 || n <= int64(x.share.Requests(&x.load))
}

// between is called between two rounds of agents that ask together. Where a round reserves a share
// of the pool, the next one begins when the server has given back what the last one took; elsewhere
// at once, as agents do: a server that is still tidying up is part of what they meet.
func (x *execution) between(ctx context.Context, round int) (due time.Duration, more bool) {
	if round > 0 {
		if x.load.Reserve > 0 {
			if err := x.server.drained(ctx, x.idle); err != nil {
				x.stop(err)
			}
		}
		x.roundEnded()
	}
	if ctx.Err() != nil || x.over.Load() || x.isLimited() ||
		x.load.Rounds > 0 && round >= x.load.Rounds {
		x.over.Store(true)
		return 0, false
	}
	return x.client.Since(), true
}

// agent is the i-th agent, new or with the first turn that filled its cache.
func (x *execution) agent(i int) *agent {
	x.mu.Lock()
	defer x.mu.Unlock()
	if a := x.ready[i]; a != nil {
		delete(x.ready, i)
		return a
	}
	x.know(i)
	return newAgent(fmt.Sprintf("%s-%d-%s", x.load.Name, i, x.epoch), x.load.Session(i))
}

// knownAhead is how many agents after its own last one a part of a load knows the secrets of.
const knownAhead = 64

// know lets a part of a load know the secrets of the agents that ask in other parts, up to those
// who may ask beside agent i: an answer with one of them in it is a leak as well. x.mu must be
// held.
func (x *execution) know(i int) {
	for ; !x.share.Whole() && x.known <= i+knownAhead; x.known++ {
		x.client.Know(x.load.Session(x.known).Secret)
	}
}

// admit reports whether a request of an agent that is due then is to be sent: the load may have
// ended.
func (x *execution) admit(a *agent, due time.Duration) bool {
	if x.load.Duration > 0 && due-x.start >= x.load.Duration || x.isLimited() {
		return false
	}
	if a.counted {
		a.counted = false
		return true
	}
	return x.count()
}

// sleep waits until a time of the client's clock and reports whether the context lasted as long.
func (x *execution) sleep(ctx context.Context, until time.Duration) bool {
	wait := time.NewTimer(until - x.client.Since())
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// ask sends a request and keeps its record.
func (x *execution) ask(ctx context.Context, q *request) record.Record {
	p := q.prompt
	x.maintenance.enter()
	cached := x.server.ceiling.look(q) // meanwhile
	r := ask(ctx, x.client, x.stop, q.due, p)
	x.maintenance.leave()
	r.CeilingTokens = cached(&r)
	x.ended.Add(1)
	if r.Outcome == record.OK && !p.Warmup {
		x.window.add(p, r)
	}
	if x.each != nil && !p.Warmup {
		x.each(r)
	}
	if x.barrier != nil && !p.Warmup {
		x.barrier.ended(r.Rep, r.End)
	}
	if x.deliver != nil {
		x.deliver(r)
		return r
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.Warmup {
		x.filled = append(x.filled, r)
		return r
	}
	x.records.add(r)
	return r
}

// fillAtOnce is how many agents have their first turn at the same time.
const fillAtOnce = 8

// fill lets every agent that the load can come to have its first turn, which is not measured: it
// fills the agent's cache. All at once may be more than the server can do, and what is to be
// measured: one that is refused has another try, alone.
func (x *execution) fill(ctx context.Context) error {
	ctx, x.stop = context.WithCancelCause(ctx)
	defer x.stop(nil)
	x.place.Warmup = true
	defer func() {
		x.place.Warmup = false
		x.ended.Store(0)
	}()
	n, _ := x.load.Agents()
	var next atomic.Int64
	var asking sync.WaitGroup
	var mu sync.Mutex
	var refused []int
	for range min(fillAtOnce, n) {
		asking.Go(func() {
			for ctx.Err() == nil {
				i := x.share.Agent(&x.load, int(next.Add(1)-1))
				if i >= n {
					return
				}
				if r := x.fillOne(ctx, i); r.Outcome != record.OK {
					mu.Lock()
					refused = append(refused, i)
					mu.Unlock()
				}
			}
		})
	}
	asking.Wait()
	slices.Sort(refused)
	for _, i := range refused {
		if ctx.Err() != nil {
			break
		}
		if r := x.fillOne(ctx, i); r.Outcome != record.OK && ctx.Err() == nil {
			return fmt.Errorf("agent %s could not have its first turn, which is to fill its cache: "+
				"%s: %s", r.Agent, r.Outcome, r.Error)
		}
	}
	return context.Cause(ctx)
}

// fillOne lets an agent have its first turn.
func (x *execution) fillOne(ctx context.Context, i int) record.Record {
	x.mu.Lock()
	x.know(i)
	x.mu.Unlock()
	a := newAgent(fmt.Sprintf("%s-%d-%s", x.load.Name, i, x.epoch), x.load.Session(i))
	q := request{call: a.ready()[0], due: x.client.Since()}
	x.prompt(a, &q) // a load whose caches are filled has no recorded session, so none is skipped
	r := x.ask(ctx, &q)
	a.end(q, r)
	if r.Outcome != record.OK {
		a.close()
		return r
	}
	a.over, a.after[q.call.ID].over = 0, 0 // its next turn is due when the load begins
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ready[i] = a
	return r
}
