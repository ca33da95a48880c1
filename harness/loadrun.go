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
	"loadstone/harness/record"
)

// loadRun is one run of a load: its agents at work.
type loadRun struct {
	load  load.Load
	h     *StressTestHarness
	size  promptSize
	level load.Level
	index int
	epoch string // part of the agents' names, which are new to the server in every run
	warm  bool   // every agent has had its first turn

	systems []string // texts of the system prompts

	start    time.Duration
	expected int          // requests that will be sent, roughly; 0 unknown
	next     atomic.Int64 // the next agent of a closed loop
	sent     atomic.Int64
	ended    atomic.Int64

	mu      sync.Mutex
	met     map[int]*Conversation // by agents that were warmed up
	records keeper
}

func newLoadRun(l load.Load, h *StressTestHarness, size promptSize, level load.Level, index int, epoch string) *loadRun {
	x := &loadRun{load: l, h: h, size: size, level: level, index: index, epoch: epoch, met: map[int]*Conversation{}, systems: l.SystemPrompts}
	if x.systems == nil {
		for i := range l.System {
			x.systems = append(x.systems, load.Text(load.Derive(l.Seeds.Text, "system", i), size.more(l.SystemTokens)))
		}
	}
	return x
}

// begun is called when the clock starts.
func (x *loadRun) begun() {
	x.expected = x.load.Requests
	known := x.load.Turns.Kind == "" && x.load.FanOut == (load.Amount{}) && x.load.Turns != load.Endless
	if x.load.Concurrency == 0 && (x.expected == 0 && known || x.load.Trace != nil) {
		agents, _ := x.load.Agents()
		x.expected = agents * max(1, int(x.load.Turns.A))
	}
	x.ended.Store(0)
	x.start = x.h.Client.Since()
}

// execute puts the load on the server and returns its records in the order in which they were due.
func (x *loadRun) execute(ctx context.Context) ([]record.Record, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var agents sync.WaitGroup
	n := 0
	for at := range x.load.Arrivals() {
		if !x.h.Client.Await(ctx, x.start+at) {
			break
		}
		i := n
		agents.Go(func() { x.agent(ctx, stop, i, x.start+at) })
		n++
	}
	for i := range x.load.Concurrency {
		agents.Go(func() {
			due := x.start + x.load.RampUp*time.Duration(i)/time.Duration(x.load.Concurrency)
			for more := true; more; {
				due, more = x.agent(ctx, stop, int(x.next.Add(1)-1), due)
			}
		})
	}
	agents.Wait()
	x.records.close()
	slices.SortStableFunc(x.records.kept, func(a, b record.Record) int { return int(a.Due - b.Due) })
	return x.records.kept, context.Cause(ctx)
}

// agent lets one agent talk and returns when the next in its place may begin, and false when the load is over.
func (x *loadRun) agent(ctx context.Context, stop context.CancelCauseFunc, i int, due time.Duration) (time.Duration, bool) {
	c := x.conversation(i)
	first := 0
	if x.warm {
		first = 1
	}
	var heard []string // what the questions asked in parallel were answered with
	for k := first; k-first < x.load.TurnsOf(i); k++ {
		if !x.begin(ctx, due) {
			return 0, false
		}
		t := x.load.Turn(i, k, 0)
		r := x.ask(ctx, stop, due, x.prompt(c, i, k, t, heard), t, k)
		if r.Outcome == record.OK {
			c.Told(r.Answer)
		} else {
			c.takeBack()
		}
		due = r.End
		if heard = nil; r.Outcome == record.OK && t.FanOut > 0 {
			due, heard = x.fanOut(ctx, stop, c, i, k, t.FanOut, due)
		}
		// Who was refused comes back when the server said, as a client does that is written with care.
		due += r.RetryAfter
		if k-first+1 < x.load.TurnsOf(i) {
			due += t.Think
		}
	}
	return due, ctx.Err() == nil
}

// begin waits until a request is due and tells whether it is to be sent.
func (x *loadRun) begin(ctx context.Context, due time.Duration) bool {
	if x.load.Duration > 0 && due-x.start >= x.load.Duration {
		return false
	}
	if n := x.sent.Add(1); x.load.Requests > 0 && n > int64(x.load.Requests) {
		return false
	}
	return x.sleep(ctx, due)
}

func (x *loadRun) sleep(ctx context.Context, until time.Duration) bool {
	wait := time.NewTimer(until - x.h.Client.Since())
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// fanOut asks n questions at once that go on from the conversation. It returns when the last was answered, and the answers.
func (x *loadRun) fanOut(ctx context.Context, stop context.CancelCauseFunc, c *Conversation, agent, turn, n int, due time.Duration) (time.Duration, []string) {
	records := make([]record.Record, n)
	var asking sync.WaitGroup
	for i := range n {
		if !x.begin(ctx, due) {
			break
		}
		t := x.load.Turn(agent, turn, i+1)
		name := fmt.Sprintf("%s:%d:%d", c.Agent, turn, i+1)
		p := c.aside(name, x.question(agent, turn, i+1, t), t.Answer)
		asking.Go(func() { records[i] = x.ask(ctx, stop, due, x.fated(p, t), t, turn) })
	}
	asking.Wait()
	end := due
	var heard []string
	for _, r := range records {
		end = max(end, r.End)
		if r.Outcome == record.OK {
			heard = append(heard, r.Answer)
		}
	}
	return end, heard
}

// conversation is that of an agent, begun now or when it was warmed up.
func (x *loadRun) conversation(i int) *Conversation {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.met[i]; c != nil {
		return c
	}
	c := NewConversation(fmt.Sprintf("%s-%d-%s", x.load.Name, i, x.epoch), load.Derive(x.load.Seeds.Text, "agent", i))
	if k := x.load.SystemOf(i); k >= 0 {
		c.share(x.systems[k])
	}
	return c
}

// prompt is an agent's next question as it is sent.
func (x *loadRun) prompt(c *Conversation, agent, turn int, t load.Turn, heard []string) client.Prompt {
	if x.load.Trace != nil {
		// The secret comes last: a trace's prompts must begin alike where it says so.
		text := x.load.TracedText(agent, x.size.more)
		p := client.Prompt{Place: record.Place{Agent: c.Agent}, Canary: c.Canary, MaxTokens: t.Answer, Messages: []client.Message{{Role: "user", Content: text + " " + c.Canary + " is my secret."}}}
		c.messages = p.Messages
		return x.fated(p, t)
	}
	text := x.question(agent, turn, 0, t)
	for i := len(heard) - 1; i >= 0; i-- {
		text = heard[i] + "\n\n" + text
	}
	return x.fated(c.say(text, t.Answer), t)
}

// question is the text of a new question.
func (x *loadRun) question(agent, turn, sub int, t load.Turn) string {
	if t.Text != "" {
		return t.Text
	}
	words := x.size.more(t.Tokens)
	if turn == 0 && sub == 0 && len(x.systems) == 0 {
		words = x.size.words(t.Tokens)
	}
	return load.Text(load.Derive(x.load.Seeds.Text, "question", agent, turn, sub), words)
}

// fated is a prompt with what the load means to do to it.
func (x *loadRun) fated(p client.Prompt, t load.Turn) client.Prompt {
	p.Tools, p.CancelAfter, p.CancelPieces, p.ReadRate = x.load.Tools, t.Cancel, t.Pieces, t.Reading
	return p
}

func (x *loadRun) ask(ctx context.Context, stop context.CancelCauseFunc, due time.Duration, p client.Prompt, t load.Turn, turn int) record.Record {
	r := x.h.ask(ctx, stop, due, p)
	x.ended.Add(1)
	r.Scenario, r.Level, r.Run, r.Cache, r.Turn = x.load.Name, x.level, x.index, x.load.Cache, turn
	x.mu.Lock()
	defer x.mu.Unlock()
	x.records.add(r)
	return r
}

// warmUpAtOnce is how many agents have their first turn at the same time.
const warmUpAtOnce = 8

// warmUp lets every agent that the load can come to have its first turn, which is not measured: it fills the caches.
func (x *loadRun) warmUp(ctx context.Context, n int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var asking sync.WaitGroup
	for range min(warmUpAtOnce, n) {
		asking.Go(func() {
			for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				c := x.conversation(i)
				t := x.load.Turn(i, 0, 0)
				t.Cancel, t.Pieces, t.Reading = 0, 0, 0
				r := x.ask(ctx, stop, x.h.Client.Since(), x.prompt(c, i, 0, t, nil), t, 0)
				if r.Outcome != record.OK {
					stop(fmt.Errorf("agent %s could not have its first turn, which is to warm the cache: %s: %s", r.Agent, r.Outcome, r.Error))
					return
				}
				c.Told(r.Answer)
				x.mu.Lock()
				x.met[i] = c
				x.mu.Unlock()
			}
		})
	}
	asking.Wait()
	x.warm = true
	return context.Cause(ctx)
}
