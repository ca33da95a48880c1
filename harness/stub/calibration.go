package stub

import (
	"fmt"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stats"
	"runtime"
	"time"
)

// A Floor is what the client measures where there is nothing to measure: its own error bar on this machine, at a number of
// streams. The null server's own share of a request, and loopback's, are in it, so it is an upper bound.
type Floor struct {
	Level    load.Level `json:"level,omitzero"` // of the load whose requests it repeats, where that has several
	Streams  int        `json:"streams"`        // at once, at most
	Rate     float64    `json:"rate,omitempty"` // requests a second, where they were due at times of their own; 0: as fast as they are answered
	Requests int        `json:"requests"`

	TTFT    time.Duration `json:"p50_ttft_ns"` // of a server whose first token takes no time
	TTFT99  time.Duration `json:"p99_ttft_ns"`
	First   time.Duration `json:"p50_first_ns"` // the first token's stamp after the server wrote it: the client's error in a TTFT
	Late    time.Duration `json:"p50_late_ns"`  // the same of every token
	Late99  time.Duration `json:"p99_late_ns"`
	Lag99   time.Duration `json:"p99_lag_ns"`
	Process time.Duration `json:"cpu_ns"` // processor time of the client, a request
}

// Load says in words under what load it was measured.
func (f Floor) Load() string {
	s := fmt.Sprintf("at %d streams", f.Streams)
	if f.Streams == 1 {
		s = "at 1 stream"
	}
	if f.Rate > 0 {
		s += fmt.Sprintf(" and %.3g req/s", f.Rate)
	}
	return s
}

// Doubts are the reasons for which a run is invalid: what it shows may be the client's doing. floor is that of as many
// streams, the zero Floor where it was not measured; busy is the part of the machine's processors that the client itself
// took, 0 unknown.
func Doubts(s record.Summary, floor Floor, busy float64) []string {
	var why []string
	first := s.TTFT.P50
	if !stats.Supports(s.TTFT.N, 0.50) || first == stats.Never || first <= 0 {
		return nil // nothing is claimed that could be doubted
	}
	lag, name := s.Lag.Highest()
	if tail, _ := s.TTFT.Highest(); lag > lagLeast && float64(lag) > lagLimit*float64(tail) {
		why = append(why, fmt.Sprintf("the client sent too late: %s of its lag, %v, is %.0f %% of the first token's", name, lag.Round(time.Microsecond), 100*float64(lag)/float64(tail)))
	}
	if share := float64(floor.TTFT) / float64(first); share > floorLimit {
		why = append(why, fmt.Sprintf("a server that takes no time measures %v to the first token %s, %.0f %% of the median here", floor.TTFT.Round(time.Microsecond), floor.Load(), 100*share))
	}
	if busy > busyLimit {
		why = append(why, fmt.Sprintf("the client's processors were saturated: it used %.0f %% of %d", 100*busy, runtime.GOMAXPROCS(0)))
	}
	return why
}

// The limits of Doubts. Of a percentile's latency the client may have made what the same percentile of its lag is, and no
// more: five requests in 500 that were late say nothing of the median. A lag of less than half a millisecond is nobody's
// business.
const (
	lagLimit   = 0.10
	lagLeast   = 500 * time.Microsecond
	floorLimit = 0.25
	busyLimit  = 0.80
)
