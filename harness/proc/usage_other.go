//go:build !linux

package proc

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// usage asks ps, which every Unix has: resident kilobytes and [[days-]hours:]minutes:seconds of
// processor time.
func usage(pid int) (Usage, error) {
	out, err := exec.Command("ps", "-o", "rss=,time=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Usage{}, err
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return Usage{}, fmt.Errorf("ps says %q of process %d", out, pid)
	}
	rss, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return Usage{}, err
	}
	cpu, err := clock(fields[1])
	if err != nil {
		return Usage{}, err
	}
	return Usage{RSS: rss << 10, CPU: cpu, Files: -1}, nil
}

// clock parses [[days-]hours:]minutes:seconds.
func clock(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "-")
	if !ok {
		days, rest = "0", s
	}
	n, err := strconv.Atoi(days)
	if err != nil {
		return 0, err
	}
	seconds := 0.0
	for part := range strings.SplitSeq(rest, ":") {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, err
		}
		seconds = seconds*60 + v
	}
	return time.Duration(n)*24*time.Hour + time.Duration(seconds*float64(time.Second)), nil
}
