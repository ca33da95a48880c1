package stub

import (
	"context"
	"slices"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// An Echo is a piece of a load that was measured, to be put on a null server: as many requests at the same times, with
// answers as long and of as many tokens. So the client has as much to do at once as it had, whatever made the load what it
// was: agents, a rate, bursts or a server that was slow.
type Echo struct {
	Due    []time.Duration // from the first, which is 0
	Tokens int             // of each answer
	Every  time.Duration   // from one token to the next
}

// The piece that is taken: the second in which most was due, or three where that is little. Answers are cut where they would
// take longer than slowest.
const (
	echoWindow  = time.Second
	echoLonger  = 3 * time.Second
	echoFew     = 20
	echoSlowest = 2 * time.Second
)

// NewEcho takes the piece of a load in which most was due. It is false where nothing was answered.
func NewEcho(records []record.Record) (Echo, bool) {
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
		return Echo{}, false
	}
	slices.Sort(due)
	slices.Sort(took)
	slices.Sort(tokens)
	e := Echo{Due: densest(due, echoWindow), Tokens: tokens[len(tokens)/2]}
	if len(e.Due) < echoFew {
		e.Due = densest(due, echoLonger)
	}
	answer := took[len(took)/2]
	e.Every = answer / time.Duration(e.Tokens)
	if answer > echoSlowest {
		// There would be fewer at once than there were, so all of those come together.
		e.Tokens = max(1, int(echoSlowest/e.Every))
		e.Due = make([]time.Duration, record.MaxInFlight(records))
	}
	return e, true
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

// Measure puts the echo on a null server whose tokens come as the echo's do.
func (e Echo) Measure(ctx context.Context, c *client.Client) (Floor, error) {
	m := newMeter(c, e.Tokens)
	start := c.Since()
	var requests sync.WaitGroup
	for _, due := range e.Due {
		if !c.Await(ctx, start+due) {
			break
		}
		requests.Go(func() { m.ask(ctx, start+due) })
	}
	requests.Wait()
	f, err := m.floor(ctx)
	if last := e.Due[len(e.Due)-1]; last > 0 {
		f.Rate = float64(len(e.Due)-1) / last.Seconds()
	}
	return f, err
}
