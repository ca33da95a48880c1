package record

import (
	"time"

	"loadstone/harness/load"
)

// A Sample is what the server published of itself at one moment of a run. A value that it does not
// publish is -1.
type Sample struct {
	Scenario string     `json:"scenario"`
	Level    load.Level `json:"level,omitzero"`
	Run      int        `json:"run"`

	At      time.Duration `json:"at_ns"`   // on the clock of the records
	Queue   float64       `json:"queue"`   // requests that wait
	Running float64       `json:"running"` // requests being worked on

	// Pool is the share of the KV pool in use, 0 to 1. Where the pool has blocks and window slots,
	// it is that of the fuller of the two.
	Pool float64 `json:"pool"`
}

// PeakPool is the highest utilisation of the pool among samples, or -1.
func PeakPool(samples []Sample) float64 {
	peak := -1.0
	for _, s := range samples {
		peak = max(peak, s.Pool)
	}
	return peak
}
