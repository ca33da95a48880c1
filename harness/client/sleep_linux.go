package client

import (
	"syscall"
	"time"
)

// timerError is how late a timer may be: the runtime waits for timers in epoll_wait, which counts
// whole milliseconds.
const timerError = time.Millisecond

// sleepBriefly sleeps for a time shorter than timerError by the kernel's own timer. It holds a
// thread meanwhile, so only few goroutines may call it at once.
func sleepBriefly(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // the only error is that a signal cut it short
}
