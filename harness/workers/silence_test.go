package workers

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"gotest.tools/v3/assert"
)

// A worker that says nothing is lost after four seconds; one whose machine, the coordinator's as
// well, stands still for a minute is not.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &member{}
		c := &Coordinator{nc: &nats.Conn{}, members: []*member{m}}
		p := &phase{left: map[*member]*progress{m: {}}, ended: make(chan struct{})}
		look := func() (lost bool) {
			c.loseSilent(p)
			return m.lost != nil
		}
		assert.Assert(t, !look())
		time.Sleep(time.Minute)
		assert.Assert(t, !look())
		m.silence = 0 // as hear has it
		looks := 0
		for !look() {
			time.Sleep(aliveEvery)
			looks++
		}
		assert.Equal(t, looks, int(patience/aliveEvery))
	})
}
