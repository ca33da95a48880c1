package harness

import (
	"context"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Job is one share of one run, as another process carries it out: all that decides what it asks.
type Job struct {
	Load  load.Load // on the server that is measured: amounts are tokens
	Share load.Share
	Place record.Place // of its requests, without agent and turn
	Epoch string       // the ending of the agents' names
	// How many tokens the server makes of a first prompt without a word, and of each word.
	TemplateTokens, WordTokens float64
	Exact                      *bool // whether the server takes exact lengths; nil: it was not asked
	Again                      int   // of how many requests the prompts are kept, to be asked again
}

// A Part carries out a Job. Its requests are made and timed as those of a whole load, and each
// record goes to Deliver as its request ends; what must be true of them all is for the process to
// check that has the records of all parts.
type Part struct {
	Deliver func(record.Record) // is called by several goroutines
	// Round, of agents that ask together, is called when all of the part's agents have come to a
	// round. It returns when that is due by the client's clock, and false where there is none.
	Round func(ctx context.Context, round int) (time.Duration, bool)

	x      *execution
	window *window
	again  int
}

// NewPart makes a part of a load on a server.
func NewPart(job Job, c *client.Client) *Part {
	s := &server{client: c, epoch: time.Now(), exact: job.Exact, ceiling: &endless{},
		size: promptSize{job.TemplateTokens, job.WordTokens}}
	p := &Part{x: newExecution(job.Load, s, job.Epoch), again: job.Again}
	p.x.share, p.x.place = job.Share, job.Place
	p.x.deliver = func(r record.Record) { p.Deliver(r) }
	p.x.rounds = func(ctx context.Context, round int) (time.Duration, bool) {
		return p.Round(ctx, round)
	}
	return p
}

// Fill lets every agent of the part have its first turn, which is not measured.
func (p *Part) Fill(ctx context.Context) error { return p.x.fill(ctx) }

// Execute begins the part at a time of the client's clock and returns when it has ended.
func (p *Part) Execute(ctx context.Context, start time.Duration) error {
	p.window = newWindow(p.again, load.Derive(p.x.load.Seeds.Text, "part", p.x.share.Part))
	p.x.window, p.x.limited, p.x.start = p.window, p.x.client.Limited(), start
	if !p.x.sleep(ctx, start) {
		return context.Cause(ctx)
	}
	return p.x.execute(ctx)
}

// Skipped is how many recorded calls were not sent, since they exceed the server's context.
func (p *Part) Skipped() int { return int(p.x.skipped.Load()) }

// Again asks some of the part's questions once more, now that nothing else runs. It returns the
// records, which are not of the load, and what came of the comparison.
func (p *Part) Again(ctx context.Context) ([]record.Record, []record.Violation, record.Again,
	error) {
	if p.window == nil {
		return nil, nil, record.Again{}, nil
	}
	return p.x.server.askAgain(ctx, p.window)
}
