//go:build unix && !world

package server

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// residentBytes returns the resident memory of this process, which Linux has in a file. Other
// systems tell it only through C, so it is not known there.
func residentBytes() (int64, bool) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// cpuTime returns the CPU time of this process, user and system.
func cpuTime() (time.Duration, bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}

// openFiles returns how many files this process has open, without the folder that lists them.
func openFiles() (int, bool) {
	files, err := os.ReadDir("/dev/fd")
	return len(files) - 1, err == nil
}
