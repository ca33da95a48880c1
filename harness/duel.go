package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Duel measures two targets in turns, A B B A and so on, so that a slow minute of the machine
// falls on both. A round has the same prompts on both sides.
//
// A target that is a command is started afresh for every round: what one process was lucky with,
// such as where its memory came to lie, is then noise between rounds, and no difference between the
// sides.
type Duel struct {
	Targets [2]Target // base and head
	Plan    Plan      // of each round; Runs is how many rounds there are

	// Ended, unless nil, is told of every side's end of a round: 0 is the base, 1 the head.
	Ended func(round, side int, took time.Duration)

	// Note, unless nil, is told what the duel assumes and could not be shown: that two addresses are
	// two servers.
	Note func(string)

	noMetrics *[2]string // what the sides have in place of metrics, once known
}

// sides are the names of the targets, for errors.
var sides = [2]string{"base", "head"}

// Run returns the runs of both sides. Half a duel decides nothing, so where one side fails, or
// shows what must not be in any measurement, the error is all there is. Two addresses that lead to
// one server are a *SameServerError; one address twice is meant so, and each side has words of its
// own.
func (d Duel) Run(ctx context.Context) (runs [2][]record.Run, err error) {
	d.noMetrics = new([2]string)
	if err := d.check(ctx); err != nil {
		return runs, err
	}
	rounds := max(d.Plan.Runs, 1)
	for round := range rounds {
		for _, side := range [2]int{round % 2, 1 - round%2} {
			began := time.Now()
			own, err := d.side(ctx, side, round)
			if err != nil {
				return runs, fmt.Errorf("round %d of %d, %s: %w", round+1, rounds, sides[side], err)
			}
			runs[side] = append(runs[side], own...)
			if d.Ended != nil {
				d.Ended(round, side, time.Since(began))
			}
		}
	}
	return runs, nil
}

// check looks whether two addresses are two servers.
func (d Duel) check(ctx context.Context) error {
	a, b := d.Targets[0], d.Targets[1]
	if a.URL == "" || b.URL == "" || d.sameServer() {
		return nil
	}
	var clients [2]*client.Client
	for i, t := range d.Targets {
		base, err := BaseURL(t.URL, t.Remote)
		if err != nil {
			return err
		}
		clients[i] = t.NewClient(base)
		defer clients[i].Close()
	}
	note, err := twoServers(ctx, clients[0], clients[1])
	for i, c := range clients {
		d.noMetrics[i] = c.NoMetrics()
	}
	if note != "" && d.Note != nil {
		d.Note(note)
	}
	return err
}

// side is one side's part of a round.
func (d Duel) side(ctx context.Context, side, round int) (runs []record.Run, err error) {
	plan := d.Plan
	plan.Runs, plan.First = 1, round
	if side == 1 && d.sameServer() {
		plan.Loads = otherWords(plan.Loads)
	}
	h, err := Open(ctx, d.Targets[side])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	h.Client.SkipMetrics(d.noMetrics[side])
	runs, _, err = plan.Run(ctx, h.Client)
	d.noMetrics[side] = h.Client.NoMetrics()
	if err != nil {
		return runs, err
	}
	for _, run := range runs {
		if len(run.Violations) > 0 {
			return runs, fmt.Errorf("what must always hold does not: %s", run.Violations[0])
		}
	}
	return runs, nil
}

// sameServer reports whether both sides are one server that runs: its cache knows the other side's
// prompts.
func (d Duel) sameServer() bool {
	return d.Targets[0].URL != "" && d.Targets[0].URL == d.Targets[1].URL
}

// otherWords are loads that differ in their words alone.
func otherWords(loads []load.Load) []load.Load {
	loads = slices.Clone(loads)
	for i := range loads {
		loads[i] = loads[i].Filled()
		loads[i].Seeds.Text++
	}
	return loads
}
