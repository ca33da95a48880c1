package command

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/harness/audit"
)

// A step that lasts is shown more and more seldom in a log and every second on a terminal. It counts
// only its own requests.
func TestSteps(t *testing.T) {
	for _, test := range []struct {
		redraw bool
		want   string
	}{
		{false, "one\ntwo\ntwo: 3 requests in 1s\ntwo: 3 requests in 2s\ntwo: 3 requests in 4s\n" +
			"two: 3 requests in 8s\ntwo: 3 requests in 16s\n"},
		{true, "one\r\x1b[Kone: 2 requests in 0s\ntwo" + strings.Repeat("\r\x1b[Ktwo: 3 requests in Ns", 21) + "\r\x1b[Ktwo: 3 requests in 21s\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b strings.Builder
			ended := 7
			s := &steps{w: &b, redraw: test.redraw, count: func() int { return ended }}
			stop := s.watch()
			s.next(audit.Step{About: "one"})
			ended += 2
			s.next(audit.Step{About: "two"})
			ended += 3
			<-time.After(21*time.Second + time.Second/4) // fake time
			stop()
			want := test.want
			for i := 1; strings.Contains(want, "Ns"); i++ {
				want = strings.Replace(want, "Ns", (time.Duration(i) * time.Second).String(), 1)
			}
			if got := b.String(); got != want {
				t.Errorf("%q\nwant %q", got, want)
			}
		})
	}
}
