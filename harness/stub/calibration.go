package stub

import (
	"fmt"
	"runtime"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A Calibration is what the client measures of a server that computes nothing: its own error on
// this machine, at a number of streams. It includes what the stub server and loopback take for a
// request, so it is an upper bound.
type Calibration struct {
	// Level is that of the load that was replayed, where the load has several.
	Level   load.Level `json:"level,omitzero"`
	Streams int        `json:"streams"` // at once, at most
	// Rate is how many requests a second were due; 0: each was sent when the one before was
	// answered.
	Rate     float64 `json:"rate,omitempty"`
	Requests int     `json:"requests"`

	// The time to first token, of a server whose first token takes no time.
	TTFT   time.Duration `json:"p50_ttft_ns"`
	TTFT99 time.Duration `json:"p99_ttft_ns"`
	// First is from the first token's being written by the server to the client's stamp of it: the
	// client's error in a TTFT. Late is the same of every token.
	First  time.Duration `json:"p50_first_ns"`
	Late   time.Duration `json:"p50_late_ns"`
	Late99 time.Duration `json:"p99_late_ns"`
	Lag99  time.Duration `json:"p99_lag_ns"` // from due to sent
	CPU    time.Duration `json:"cpu_ns"`     // processor time of the client, a request
}

// Load describes the load under which it was measured: "at 8 streams and 5 req/s".
func (c Calibration) Load() string {
	s := fmt.Sprintf("at %d streams", c.Streams)
	if c.Streams == 1 {
		s = "at 1 stream"
	}
	if c.Rate > 0 {
		s += fmt.Sprintf(" and %.3g req/s", c.Rate)
	}
	return s
}

// WhyInvalid lists the reasons why a run is invalid: what it shows may come from the client. own is
// the client's calibration at as many streams, the zero Calibration where it was not measured. busy
// is the share of this machine's processors that the client used, 0 to 1; 0: unknown.
func WhyInvalid(s record.Summary, own Calibration, busy float64) []string {
	var reasons []string
	first := s.TTFT.P50
	if !stats.Supports(s.TTFT.N, 0.50) || first == stats.Never || first <= 0 {
		return nil // the run claims nothing that could be invalid
	}
	lag, name := s.Lag.Highest()
	if tail, _ := s.TTFT.Highest(); lag > minLag && float64(lag) > maxLagShare*float64(tail) {
		reasons = append(reasons, fmt.Sprintf(
			"the client sent too late: %s of its lag, %v, is %.0f %% of the first token's",
			name, lag.Round(time.Microsecond), 100*float64(lag)/float64(tail)))
	}
	if share := float64(own.TTFT) / float64(first); share > maxOwnShare {
		reasons = append(reasons, fmt.Sprintf(
			"a server that takes no time measures %v to the first token %s, "+
				"%.0f %% of the median here", own.TTFT.Round(time.Microsecond), own.Load(), 100*share))
	}
	if busy > maxBusy {
		reasons = append(reasons, fmt.Sprintf(
			"the client's processors were saturated: it used %.0f %% of %d",
			100*busy, runtime.GOMAXPROCS(0)))
	}
	return reasons
}

// The limits of WhyInvalid. A percentile of the lag can explain the same percentile of the latency
// and no other: five requests in 500 that were late say nothing about the median. A lag below half
// a millisecond is too small to matter.
const (
	maxLagShare = 0.10
	minLag      = 500 * time.Microsecond
	maxOwnShare = 0.25
	maxBusy     = 0.80
)
