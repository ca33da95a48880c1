package record

import (
	"time"

	"loadstone/harness/load"
)

// A Sample is what the server said of itself at one moment of a run.
type Sample struct {
	Scenario string     `json:"scenario"`
	Level    load.Level `json:"level,omitzero"`
	Run      int        `json:"run"`

	At      time.Duration `json:"at_ns"`   // on the clock of the records
	Queue   float64       `json:"queue"`   // requests that wait; -1 unknown
	Running float64       `json:"running"` // requests being worked on; -1 unknown
	Pool    float64       `json:"pool"`    // part of the KV pool in use, 0 to 1, of its fuller part where it has two; -1 unknown
}

// PeakPool is the highest utilisation among samples, or -1.
func PeakPool(samples []Sample) float64 {
	peak := -1.0
	for _, s := range samples {
		peak = max(peak, s.Pool)
	}
	return peak
}
