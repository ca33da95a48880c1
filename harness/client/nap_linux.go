package client

import (
	"syscall"
	"time"
)

// coarse is how late a timer may be: the runtime waits for timers in epoll_wait, which counts whole milliseconds.
const coarse = time.Millisecond

// nap sleeps for a time shorter than coarse in the kernel's own timer. It holds a thread for as long, so few may do it at once.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // it ends early, if anything
}
