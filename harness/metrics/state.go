package metrics

import "fmt"

// State is what a server says it holds: what it must not keep of requests that are over.
type State struct {
	Known  []string           // in words
	Values map[string]float64 // by the name of what is held; memory in bytes
}

// held are the things a server may say it holds, by the names that servers have for them, and how much more than before
// may be left of each when nothing runs any more.
var held = []struct {
	what  string
	names []string // the first that is known
	label [2]string
	slack func(before float64) float64
	unit  float64 // of one in what; 0 is 1
}{
	{what: "requests that wait", names: gauges[0]},
	{what: "requests that run", names: gauges[1]},
	{what: "blocks in use", names: []string{poolBlocks}, label: [2]string{"state", "used"}},
	{what: "blocks for sliding layers in use", names: []string{poolLocals}, label: [2]string{"state", "used"}},
	{what: "pool in use", names: gauges[2][1:], slack: func(float64) float64 { return 0.001 }},
	// A scrape's own connection takes up to three goroutines and a descriptor.
	{what: "goroutines", names: []string{"go_goroutines"}, slack: func(float64) float64 { return 3 }},
	{what: "open files", names: []string{"process_open_fds"}, slack: func(float64) float64 { return 2 }},
	// A garbage-collected heap grows before it shrinks.
	{what: "MiB of memory", names: []string{"process_resident_memory_bytes"}, slack: func(b float64) float64 { return max(b/10, 64<<20) }, unit: 1 << 20},
}

// State is what a server says in this scrape that it holds. One that tells nothing has an empty state.
func (m Metrics) State() State {
	s := State{Values: map[string]float64{}}
	for _, h := range held {
		for _, name := range h.names {
			v := m.Value(name)
			if h.label[0] != "" {
				v = m.Value(name, h.label[0], h.label[1])
			}
			if v >= 0 {
				s.Values[h.what] = v
				s.Known = append(s.Known, fmt.Sprintf("%.4g %s", v/max(h.unit, 1), h.what))
				break
			}
		}
	}
	return s
}

// Above says what is held beyond what was before, and what is told of no more.
func (s State) Above(before State) []string {
	var above []string
	for _, h := range held {
		b, ok := before.Values[h.what]
		if !ok {
			continue
		}
		most := b
		if h.slack != nil {
			most += h.slack(b)
		}
		if v, ok := s.Values[h.what]; !ok {
			above = append(above, "the server's /metrics no longer tell of "+h.what)
		} else if v > most {
			above = append(above, fmt.Sprintf("%.4g %s, %.4g before", v/max(h.unit, 1), h.what, b/max(h.unit, 1)))
		}
	}
	return above
}
