//go:build !linux

package client

import "time"

// coarse is how late a timer may be: where the runtime waits for timers with kqueue, not worth mentioning.
const coarse = 0

func nap(d time.Duration) { time.Sleep(d) }
