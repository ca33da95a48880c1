package workers

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// Clocks. Each worker times its requests by its own clock, so that no latency is a difference of
// two clocks. What is common, when a run or a round begins, and where a request stands among those
// of other workers, needs the offset of one clock from the other. It is measured as NTP does (RFC
// 5905, section 8): the coordinator notes when it asks, t0, and when the answer comes, t1; the
// worker's clock said w meanwhile. Then w - (t0+t1)/2 is the offset, and it is off by half the
// round trip at most, however the way there and the way back divide it. Of several the shortest
// round trip counts.
//
// It is measured before and after each run; what it has changed by meanwhile adds to its error.
const exchanges = 16

// measureClocks measures the offset of each worker's clock. Before a run its times are put by it.
func (c *Coordinator) measureClocks(ctx context.Context, before bool) error {
	for _, m := range c.members {
		if c.lostOf(m) != nil {
			continue
		}
		offset, err, failure := c.offset(ctx, m)
		if failure != nil {
			return failure
		}
		if before {
			m.offset = offset
		}
		drift := max(offset-m.offset, m.offset-offset)
		c.mu.Lock()
		m.clocks.Offset = m.offset
		m.clocks.Error = max(m.clocks.Error, err+drift)
		c.mu.Unlock()
	}
	return nil
}

// offset measures one worker's clock.
func (c *Coordinator) offset(ctx context.Context, m *member) (
	offset, err time.Duration, failure error,
) {
	shortest := time.Duration(1<<63 - 1)
	for range exchanges {
		timed, stop := patient(ctx)
		t0 := c.clock()
		r, failure := c.nc.RequestWithContext(timed, clockOf(m.ID), nil)
		t1 := c.clock()
		stop()
		switch {
		case failure != nil && ctx.Err() != nil:
			return 0, 0, ctx.Err()
		case failure != nil:
			return 0, 0, c.lostAt(m, 0, 0)
		case len(r.Data) != 8:
			return 0, 0, fmt.Errorf("worker %s does not tell its clock", m.Name)
		}
		if trip := t1 - t0; trip < shortest {
			shortest = trip
			w := time.Duration(binary.BigEndian.Uint64(r.Data))
			offset, err = w-(t0+t1)/2, trip/2
		}
	}
	return offset, err, nil
}

// Lead is the time in which all workers surely hear of something that is to begin.
func (c *Coordinator) Lead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	lead := 5 * time.Millisecond
	for _, m := range c.members {
		lead = max(lead, 8*m.clocks.Error)
	}
	return lead
}
