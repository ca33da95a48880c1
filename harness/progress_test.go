package harness

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/harness/client"
)

// What is left is right from the first second of an open loop on, although nothing is over during
// the warm-up and until the first answer: ten requests a second for a minute, answered after two
// seconds.
func TestProgressLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const warmUp, latency, requests = 7.0, 2.0, 600
		c := client.New("http://127.0.0.1:1")
		defer c.Close()
		var said []Progress
		w := newWatch(c, 1, func(p Progress) { said = append(said, p) })
		w.part = func() float64 {
			ended := math.Floor((time.Since(w.start).Seconds() - warmUp - latency) * 10)
			return min(max(ended/requests, 0), 1)
		}
		w.begin("open", 0)
		stop := w.tick()
		time.Sleep(69 * time.Second)
		stop()
		known := 0
		for _, p := range said {
			left := warmUp + latency + requests/10 - p.Elapsed.Seconds()
			if p.Left == 0 {
				continue
			}
			if known++; math.Abs(p.Left.Seconds()-left) > 0.1*left+0.5 {
				t.Errorf("after %v %v are left, and it says %v", p.Elapsed, left, p.Left)
			}
		}
		if known < 250 { // five a second, but for the first ten seconds
			t.Errorf("what is left is known only %d times of %d", known, len(said))
		}
	})
}
