package report

import (
	"fmt"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/stub"
	"loadstone/harness/table"
)

// A Generator is what the load generator knows of itself.
type Generator struct {
	// Calibration is what the client measures of a server that computes nothing: its own error.
	// None: it was not found out.
	Calibration []stub.Calibration `json:"floors"`

	Busy float64 `json:"busy_ratio"` // share of the machine's processors that it took; 0 unknown

	// Workers are the processes that sent the load, where others than the one that measured.
	Workers []Worker `json:"workers,omitempty"`
}

// A Worker is a process that sent a part of the load.
type Worker struct {
	Name     string  `json:"name"` // its machine and process
	Version  string  `json:"version"`
	Host     Host    `json:"host"`
	Requests int     `json:"requests"`   // that it told of, unmeasured ones included
	Busy     float64 `json:"busy_ratio"` // share of its machine's processors that it took; 0 unknown
	Clock    Clock   `json:"clock"`
	Lost     string  `json:"lost,omitempty"` // why its part is not complete; "": it is
}

// Machine is the part of the name that all workers of a machine have in common.
func (w *Worker) Machine() string {
	machine, _, _ := strings.Cut(w.Name, ", ")
	return machine
}

// A Clock is what is known of a worker's clock. Its latencies are of that clock alone.
type Clock struct {
	Offset time.Duration `json:"offset_ns"`       // from the coordinator's, in the last run
	Error  time.Duration `json:"offset_error_ns"` // how far that can be off, in any run
}

// workers says who sent the load, "" where the process did that measured.
func (g *Generator) workers() string {
	if len(g.Workers) == 0 {
		return ""
	}
	hosts := map[string]bool{}
	var off time.Duration
	var lost []string
	for _, w := range g.Workers {
		hosts[w.Machine()] = true
		off = max(off, w.Clock.Error)
		if w.Lost != "" {
			lost = append(lost, w.Lost)
		}
	}
	text := fmt.Sprintf("%s on %s sent the load; each latency is of one clock, and the clocks' "+
		"offsets are known to %s", table.Plural(len(g.Workers), "worker"),
		table.Plural(len(hosts), "machine"),
		table.Duration(off.Round(time.Microsecond)))
	if lost != nil {
		text += "; " + strings.Join(lost, "; ")
	}
	return text
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
		for _, why := range r.clientReasons(s) {
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

// clientReasons are the reasons for which a result may be the client's own doing.
func (r *Report) clientReasons(s *Result) []string {
	return stub.WhyInvalid(s.Pooled, r.Generator.calibration(s.Level, s.Agents), r.Generator.Busy)
}

// Remedy says what to do about a measurement that may be the client's own doing, "" of any other.
func (r *Report) Remedy() string {
	for i := range r.Results {
		if len(r.clientReasons(&r.Results[i])) > 0 {
			return "measure again while nothing else runs on the client's machine, or send the " +
				"load from several processes or machines"
		}
	}
	return ""
}
