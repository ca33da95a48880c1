package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage reads /proc/PID/stat (proc_pid_stat(5)): utime and stime are fields 14 and 15, in clock
// ticks, of which Linux shows programs 100 a second on every architecture; rss is field 24, in
// pages.
func usage(pid int) (Usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// The name, field 2, may hold blanks and parentheses; it ends at the last one.
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return Usage{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(fields[field-3], 10, 64)
		return n
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return Usage{}, err
	}
	return Usage{
		RSS:   number(24) * int64(os.Getpagesize()),
		CPU:   time.Duration(number(14)+number(15)) * (time.Second / 100),
		Files: len(files),
	}, nil
}
