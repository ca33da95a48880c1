package report

import (
	"fmt"

	"loadstone/harness/load"
	"loadstone/harness/stub"
)

// A Generator is what the load generator knows of itself.
type Generator struct {
	// Calibration is what the client measures of a server that computes nothing: its own error.
	// None: it was not found out.
	Calibration []stub.Calibration `json:"floors"`

	Busy float64 `json:"busy_ratio"` // share of the machine's processors that it took; 0 unknown
}

// calibration is the calibration at the load's level. Of several at one level it is the one with
// the fewest streams that are at least as many as the load's, or else the one with the most
// streams. It is the zero value where there is none.
func (g *Generator) calibration(level load.Level, streams int) (best stub.Calibration) {
	found := false
	for _, f := range g.Calibration {
		if f.Level != level {
			continue
		}
		if !found || best.Streams < streams && f.Streams > best.Streams ||
			f.Streams >= streams && f.Streams < best.Streams {
			best, found = f, true
		}
	}
	return best
}

// Invalid are the reasons for which the measurement is invalid, by result: what it shows may be the
// client's own doing, or what the server did for somebody else. There are none of a sound one.
func (r *Report) Invalid() []string {
	var all []string
	for i := range r.Results {
		s := &r.Results[i]
		calibration := r.Generator.calibration(s.Level, s.Agents)
		for _, why := range stub.WhyInvalid(s.Pooled, calibration, r.Generator.Busy) {
			all = append(all, s.Name()+": "+why)
		}
		for run := range s.Runs {
			for _, why := range s.Runs[run].Counters.WhyInvalid() {
				all = append(all, fmt.Sprintf("%s, run %d: %s", s.Name(), run+1, why))
			}
		}
	}
	return all
}
