package proc

import (
	"os"
	"syscall"
)

// FileLimit is how many files this process may open, and how many it has open; 0 unknown. The limit
// is the hard one: Go's runtime raises the soft one to it when a program starts.
func FileLimit() (limit, open int) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0, 0
	}
	if r.Cur < r.Max { // where something lowered it since
		raised := r
		raised.Cur = raised.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			r = raised
		}
	}
	// An unlimited number does not fit.
	limit = int(min(uint64(r.Cur), 1<<31-1))
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			return limit, len(entries)
		}
	}
	return limit, 0
}
