package stub

import (
	"context"
	"slices"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// A Replay is the densest piece of a load that was measured, to be sent to a stub server: as many
// requests at the same times, with answers that take as long and have as many tokens. So the client
// has as much to do at once as it had in the load, whatever the reason was: agents, a rate, bursts,
// or a server that was slow.
//
// For example, requests of a load were due at 0, 5, 6, 6.4, 7.1 and 20 s, and the median answer
// took 500 ms for 50 tokens. Its densest second has two requests, which are few, so three seconds
// are taken:
//
//	the densest three seconds   5, 6, 6.4 and 7.1 s
//	Due                         0, 1, 1.4 and 2.1 s
//	Tokens, Interval            50, 10 ms: the stub server sends a token every 10 ms
//	Measure                     sends four requests at those times, two of which overlap
type Replay struct {
	Due      []time.Duration // of each request, in order, from the first, which is 0
	Tokens   int             // of each answer
	Interval time.Duration   // from one token to the next
}

// The densest second of a load is replayed, or three seconds where that has few requests.
const (
	replayWindow     = time.Second
	longReplayWindow = 3 * time.Second
	fewRequests      = 20
)

// maxReplayAnswer bounds how long an answer of a replay takes.
const maxReplayAnswer = 2 * time.Second

// NewReplay makes a replay of a load's densest piece. ok is false where no request was answered.
//
// Where answers took longer than two seconds, those of the replay are cut to that. Then fewer
// requests would be in flight at once than in the load. So instead of the densest piece all
// requests that were in flight at once, at the most, are replayed together: every Due is 0.
func NewReplay(records []record.Record) (replay Replay, ok bool) {
	var due, took []time.Duration
	var tokens []int
	for i := range records {
		r := &records[i]
		due = append(due, r.Due)
		if r.Outcome == record.OK && !r.Slow {
			took = append(took, r.End-r.Sent)
			tokens = append(tokens, max(1, len(r.Chunks)))
		}
	}
	if len(took) == 0 {
		return Replay{}, false
	}
	slices.Sort(took)
	slices.Sort(tokens)
	answer := took[len(took)/2]
	replay.Tokens = tokens[len(tokens)/2]
	replay.Interval = answer / time.Duration(replay.Tokens)
	if answer > maxReplayAnswer {
		replay.Tokens = max(1, int(maxReplayAnswer/replay.Interval))
		replay.Due = make([]time.Duration, record.MaxInFlight(records))
		return replay, true
	}
	slices.Sort(due)
	if replay.Due = densest(due, replayWindow); len(replay.Due) < fewRequests {
		replay.Due = densest(due, longReplayWindow)
	}
	return replay, true
}

// densest is the window with the most of the sorted times, counted from its first.
func densest(due []time.Duration, window time.Duration) []time.Duration {
	from, n := 0, 0
	for i, j := 0, 0; i < len(due); i++ {
		for j < len(due) && due[j]-due[i] < window {
			j++
		}
		if j-i > n {
			from, n = i, j-i
		}
	}
	piece := slices.Clone(due[from : from+n])
	for i := range piece {
		piece[i] -= due[from]
	}
	return piece
}

// Measure sends the replay to a stub server whose interval is the replay's.
func (r Replay) Measure(ctx context.Context, c *client.Client) (Calibration, error) {
	m := newMeter(c, r.Tokens)
	start := c.Since()
	var requests sync.WaitGroup
	for _, due := range r.Due {
		if !c.Await(ctx, start+due) {
			break
		}
		requests.Go(func() { m.send(ctx, start+due) })
	}
	requests.Wait()
	measured, err := m.calibration(ctx)
	if last := r.Due[len(r.Due)-1]; last > 0 {
		measured.Rate = float64(len(r.Due)-1) / last.Seconds()
	}
	return measured, err
}
