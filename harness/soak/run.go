package soak

import (
	"cmp"
	"context"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/record"
)

// A Soak is one load on one server for hours.
type Soak struct {
	// Plan has the load, whose Duration is how long the soak lasts. Its Maintain, unless nil,
	// restarts the server.
	Plan   harness.Plan
	Window time.Duration // 0: a fiftieth of the load's duration, but five seconds at least
}

const windows = 50

// Run carries the soak out. As of Plan.Run, what was seen until an error comes with it.
func (s Soak) Run(ctx context.Context, c *client.Client) ([]record.Run, *Report, error) {
	window := cmp.Or(s.Window, max(s.Plan.Loads[0].Duration/windows, 5*time.Second))
	log, start := NewLog(window), c.Since()
	see := func(batch []record.Record) {
		for i := range batch {
			log.Add(batch[i].End-start, &batch[i])
		}
	}
	plan := s.Plan
	journal, write := plan.Journal, plan.Write
	plan.Journal = func(batch []record.Record) {
		see(batch)
		if journal != nil {
			journal(batch)
		}
	}
	plan.Write = func(batch []record.Record) error {
		see(batch)
		if write == nil {
			return nil
		}
		return write(batch)
	}
	if restart := plan.Maintain; restart != nil {
		plan.Maintain = func(ctx context.Context) error {
			err := restart(ctx)
			log.Restarted()
			return err
		}
	}
	stop := harness.Every(time.Second, func() {
		if scrape, err := c.Scrape(ctx); err == nil { // of a server that restarts there is none
			log.Look(c.Since()-start, scrape.Lasting())
		}
	})
	runs, _, err := plan.Run(ctx, c)
	stop()
	return runs, New(log.Windows()), err
}
