package stub

import (
	"context"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
)

// A Starter starts a stub server as a process of its own, on this machine, whose tokens are an
// interval apart. It must be another process for its processor time and its scheduling to be
// separate from the client's, and on this machine for its clock to be the client's.
//
// A program that calls Serve when it is started with certain arguments can start itself:
//
//	func(ctx context.Context, interval time.Duration) (*proc.Process, error) {
//		return proc.Start(ctx, io.Discard, os.Args[0], "stub", interval.String())
//	}
type Starter func(ctx context.Context, interval time.Duration) (*proc.Process, error)

// Calibrate measures the client at each of several numbers of streams, for a duration each, against
// a stub server that runs meanwhile. Every answer has so many tokens, an interval apart.
func Calibrate(ctx context.Context, start Starter, streams []int, tokens int,
	interval, duration time.Duration) ([]Calibration, error) {
	p, err := start(ctx, interval)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	var all []Calibration
	for _, n := range streams {
		measured, err := calibrateAt(ctx, p.URL, n, tokens, duration)
		if err != nil {
			return nil, err
		}
		all = append(all, measured)
	}
	return all, nil
}

// calibrateAt measures with a client of its own: connections that others opened would flatter it.
func calibrateAt(ctx context.Context, url string, streams, tokens int, duration time.Duration) (
	Calibration, error) {
	c := client.New(url)
	defer c.Close()
	if _, err := Measure(ctx, c, streams, tokens, warmUp); err != nil {
		return Calibration{}, err
	}
	return Measure(ctx, c, streams, tokens, duration)
}

// warmUp is a duration in which Measure makes one round, which opens the connections.
const warmUp = 1

// CalibrateLike measures the client alone under the densest piece of a load that the records are
// of, replayed on a stub server. ok is false where none of them was answered.
func CalibrateLike(ctx context.Context, start Starter, records []record.Record) (
	measured Calibration, ok bool, err error) {
	replay, ok := NewReplay(records)
	if !ok {
		return measured, false, nil
	}
	p, err := start(ctx, replay.Interval)
	if err != nil {
		return measured, false, err
	}
	defer p.Kill()
	c := client.New(p.URL)
	defer c.Close()
	if _, err := Measure(ctx, c, record.MaxInFlight(records), 1, warmUp); err != nil {
		return measured, false, err
	}
	measured, err = replay.Measure(ctx, c)
	return measured, err == nil, err
}
