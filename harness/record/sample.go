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
	// Peak is what Pool has exceeded, or reached, from the run's begin until then, by a count of the
	// server's own, which misses no peak between two samples. 0: it does not count.
	Peak float64 `json:"peak,omitzero"`
}

// PeakPool is the highest utilisation of the pool that samples show, or -1.
func PeakPool(samples []Sample) float64 {
	peak := -1.0
	for _, s := range samples {
		peak = max(peak, s.Pool)
		if s.Peak > 0 {
			peak = max(peak, s.Peak)
		}
	}
	return peak
}

// A Series is the samples of a run, at most MaxSamples however long it is: when they are full,
// every two become one that has the larger value of each gauge, so that a peak stays. The zero
// Series is ready for use.
type Series struct {
	Samples []Sample

	every int // looks that make a sample; 0 is 1
	looks int // in the last sample
}

// MaxSamples is how many samples a Series has at most.
const MaxSamples = 2000

// Add takes what was seen in one look at the server.
func (s *Series) Add(look Sample) {
	if s.every == 0 {
		s.every = 1
	}
	if n := len(s.Samples); s.looks%s.every != 0 {
		s.Samples[n-1] = s.Samples[n-1].merge(look)
	} else {
		if n == MaxSamples {
			for i := range n / 2 {
				s.Samples[i] = s.Samples[2*i].merge(s.Samples[2*i+1])
			}
			s.Samples, s.every = s.Samples[:n/2], 2*s.every
		}
		s.Samples, s.looks = append(s.Samples, look), 0
	}
	s.looks++
}

// IsLong reports whether a sample is of several looks.
func (s *Series) IsLong() bool { return s.every > 1 }

// MergeSamples makes one sample of several; of none it makes none.
func MergeSamples(samples []Sample) []Sample {
	for i := 1; i < len(samples); i++ {
		samples[0] = samples[0].merge(samples[i])
	}
	return samples[:min(len(samples), 1)]
}

func (s Sample) merge(o Sample) Sample {
	s.Queue, s.Running = max(s.Queue, o.Queue), max(s.Running, o.Running)
	s.Pool, s.Peak = max(s.Pool, o.Pool), max(s.Peak, o.Peak)
	return s
}

// Thin makes of the looks of any number of runs, in the order of their times, the samples that
// their Series would be.
func Thin(looks []Sample) []Sample {
	type run struct {
		scenario string
		level    load.Level
		index    int
	}
	series := map[run]*Series{}
	var order []*Series
	for _, look := range looks {
		of := run{look.Scenario, look.Level, look.Run}
		if series[of] == nil {
			series[of] = &Series{}
			order = append(order, series[of])
		}
		series[of].Add(look)
	}
	var all []Sample
	for _, s := range order {
		all = append(all, s.Samples...)
	}
	return all
}
