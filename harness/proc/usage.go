package proc

import (
	"syscall"
	"time"
)

// Usage is what a process uses of the machine.
type Usage struct {
	RSS   int64         // resident memory, bytes
	CPU   time.Duration // user and system time
	Files int           // open ones; -1 unknown
}

// OwnCPU is the processor time, user and system, that this process has used: the load generator's
// share of the machine, which it takes from a server beside it. It is 0 where the system does not
// tell.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
