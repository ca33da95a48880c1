package bisect

import (
	"context"
	"fmt"
	"math"
	"time"

	"loadstone/harness"
	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// Duels measures builds of commits against that of the good one, in turns, by one figure of one
// load.
type Duels struct {
	Target func(commit int) harness.Target // a command that serves with the commit's build
	Load   load.Load
	Figure figure.Figure // which must have a better direction
	Rounds int
	Tokens func(text string) (int, error) // see harness.Plan

	// OnRound, unless nil, is told of every side's end of a round.
	OnRound func(round int, side int, took time.Duration)

	done uint64 // duels so far
}

// Measure measures a commit. A server that does not start or answer as it must is a [*SkipError].
func (d *Duels) Measure(ctx context.Context, commit int) ([]float64, error) {
	l := d.Load
	l.Seeds.Text += d.done // other prompts than those of the last session
	d.done++
	duel := harness.Duel{Targets: [2]harness.Target{d.Target(0), d.Target(commit)},
		Plan:  harness.Plan{Loads: []load.Load{l}, Runs: d.Rounds, Tokens: d.Tokens},
		Ended: d.OnRound}
	runs, err := duel.Run(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &SkipError{commit, fmt.Errorf("it cannot be measured: %w", err)}
	}
	ratios := make([]float64, 0, d.Rounds)
	for round := range runs[0] {
		ratio, err := d.ratio(&runs[0][round], &runs[1][round])
		if err != nil {
			return nil, &SkipError{commit, err}
		}
		ratios = append(ratios, ratio)
	}
	return ratios, nil
}

// ratio is the logarithm of how many times as bad the head is as the base.
func (d *Duels) ratio(base, head *record.Run) (float64, error) {
	var values [2]float64
	for i, run := range []*record.Run{base, head} {
		s := run.Summary()
		v, ok := d.Figure.Value(&s)
		switch {
		case !ok:
			return 0, fmt.Errorf("it cannot be measured: it has no %s under this load", d.Figure.Name)
		case v <= 0 || math.IsInf(v, 0):
			return 0, fmt.Errorf("it cannot be measured: its %s is %s", d.Figure.Name,
				d.Figure.Format(v))
		}
		values[i] = v
	}
	ratio := math.Log(values[1] / values[0])
	if d.Figure.Better == figure.Higher {
		ratio = -ratio
	}
	return ratio, nil
}
