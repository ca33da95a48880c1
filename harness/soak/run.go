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
	// Plan has one load, whose Duration is the length of the soak. Its Maintain, if not nil,
	// restarts the server.
	Plan   harness.Plan
	Window time.Duration // 0 is a fiftieth of the load's duration, but at least five seconds
}

// windows is the number of windows of a soak unless it sets their length.
const windows = 50

// Run carries out the soak. Like Plan.Run, it returns the results so far together with an error.
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
		if scrape, err := c.Scrape(ctx); err == nil { // it fails while the server restarts
			log.AddState(c.Since()-start, scrape.Lasting())
		}
	})
	runs, _, err := plan.Run(ctx, c)
	stop()
	return runs, New(log.Windows()), err
}
