//go:build !linux

package client

import "time"

// timerError is how late a timer may be: negligible, where the runtime waits for timers with
// kqueue.
const timerError = 0

func sleepBriefly(d time.Duration) { time.Sleep(d) }
