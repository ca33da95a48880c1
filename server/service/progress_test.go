package service

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgress: a load shows nothing for a second and then its state, and on a terminal it leaves
// nothing behind.
func TestProgress(t *testing.T) {
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, "loading tiny\nloading tiny: 62 %, 187 of 300 MB\n"},
		{true, "\r\x1b[2Kloading tiny ──────────────────────────────   0 %  0 of 0 MB" +
			"\r\x1b[2Kloading tiny ──────────────────────────────   0 %  0 of 0 MB" +
			"\r\x1b[2Kloading tiny ━━━━━━━━━━━━━━━━━━────────────  62 %  187 of 300 MB\r\x1b[2K"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := newProgress(&out, "tiny")
			p.terminal = test.terminal
			after := func(d time.Duration) {
				time.Sleep(d)
				p.show(time.Now())
			}
			after(900 * time.Millisecond)
			after(100 * time.Millisecond)
			after(50 * time.Millisecond)
			if test.terminal {
				after(50 * time.Millisecond)
			}
			p.read(187_000_000, 300_000_000)
			after(5 * time.Second)
			p.end()
			if got := out.String(); got != test.want {
				t.Errorf("terminal %t:\n got %q\nwant %q", test.terminal, got, test.want)
			}
		})
	}
}
