package metrics

import (
	"fmt"
	"strings"
)

// Held is a kind of thing that a server holds while it works, and gives back afterwards.
type Held string

// The kinds of things that a server may say it holds.
const (
	WaitingRequests Held = "waiting_requests"
	RunningRequests Held = "running_requests"
	Blocks          Held = "blocks"       // of the KV pool, in use by running requests
	WindowSlots     Held = "window_slots" // of the KV pool, in use by running requests
	PoolShare       Held = "pool_share"   // in use, 0 to 1, of a server that does not count blocks
	Goroutines      Held = "goroutines"
	OpenFiles       Held = "open_files"
	Memory          Held = "memory" // resident, in bytes

	// Disk is the bytes of agents' memories on disk. They are meant to stay, so a State does not
	// have them; see Metrics.Lasting.
	Disk Held = "disk"
	// PoolContent is the bytes of the KV pool that hold something, be it in use or cached.
	PoolContent Held = "pool_content"
)

// InFlight are the kinds of which a server holds nothing once it has nothing left to work on.
var InFlight = []Held{WaitingRequests, RunningRequests, Blocks, WindowSlots}

// A State is how much of each kind a server holds. Memory is in bytes. A kind that the server does
// not publish is missing; the zero State is that of a server that publishes none.
type State map[Held]float64

// kinds describe the kinds of things held, in the order in which they are printed.
var kinds = []struct {
	kind  Held
	text  string   // of the kind, after a number
	unit  float64  // the printed number is the value divided by it; 0 is 1
	names []string // of the metric; the first that the server publishes counts
	used  bool     // the metric's series with state="used" is meant, not the sum of all
	// slack is how much more than before may be left once nothing runs; nil: nothing.
	slack func(before float64) float64
}{
	{kind: WaitingRequests, text: "requests that wait", names: queueGauges},
	{kind: RunningRequests, text: "requests that run", names: runningGauges},
	{kind: Blocks, text: "blocks in use", names: poolBlocks, used: true},
	{kind: WindowSlots, text: "window slots in use", names: poolWindowSlots, used: true},
	{kind: PoolShare, text: "of the pool in use", names: foreignPoolGauges,
		slack: func(float64) float64 { return 0.001 }},
	// A scrape's own connection takes up to three goroutines and a descriptor.
	{kind: Goroutines, text: "goroutines", names: []string{"go_goroutines"},
		slack: func(float64) float64 { return 3 }},
	{kind: OpenFiles, text: "open files", names: []string{"process_open_fds"},
		slack: func(float64) float64 { return 2 }},
	// A garbage-collected heap grows before it shrinks.
	{kind: Memory, text: "MiB of memory", unit: 1 << 20,
		names: []string{"process_resident_memory_bytes"},
		slack: func(before float64) float64 { return max(before/10, 64<<20) }},
}

// State is what the server holds at the moment of the scrape.
func (m Metrics) State() State {
	s := State{}
	for _, k := range kinds {
		var labels []string
		if k.used {
			labels = []string{"state", "used"}
		}
		if v := m.first(k.names, labels...); v >= 0 {
			s[k.kind] = v
		}
	}
	return s
}

// Lasting is what the server holds at the moment of the scrape that may stay for as long as it
// runs: memory, files, goroutines, what is on disk and in the pool.
func (m Metrics) Lasting() State {
	all, s := m.State(), State{}
	for _, kind := range []Held{Memory, OpenFiles, Goroutines} {
		if v, ok := all[kind]; ok {
			s[kind] = v
		}
	}
	if v := m.Value("loadstone_saved_bytes"); v >= 0 {
		s[Disk] = v
	}
	if free := m.Value("loadstone_pool_bytes", "purpose", "free"); free >= 0 {
		s[PoolContent] = m.Value("loadstone_pool_bytes") - free
	}
	return s
}

// Text prints an amount of the kind, such as "4 blocks in use" or "81.5 MiB of memory".
func (h Held) Text(amount float64) string {
	for _, k := range kinds {
		if k.kind == h {
			return fmt.Sprintf("%.4g %s", amount/max(k.unit, 1), k.text)
		}
	}
	return fmt.Sprintf("%.4g %s", amount, string(h))
}

// String lists what the server holds: "0 requests that wait, 0 requests that run, 4 blocks in use".
func (s State) String() string {
	var held []string
	for _, k := range kinds {
		if v, ok := s[k.kind]; ok {
			held = append(held, k.kind.Text(v))
		}
	}
	return strings.Join(held, ", ")
}

// Above lists, in words, what the server holds beyond what it held before, but for a slack that
// each kind has, and the kinds that it no longer publishes.
func (s State) Above(before State) []string {
	var above []string
	for _, k := range kinds {
		b, ok := before[k.kind]
		if !ok {
			continue
		}
		limit := b
		if k.slack != nil {
			limit += k.slack(b)
		}
		if v, ok := s[k.kind]; !ok {
			above = append(above, "the server no longer publishes its "+k.text)
		} else if v > limit {
			unit := max(k.unit, 1)
			above = append(above, fmt.Sprintf("%.4g %s, %.4g before", v/unit, k.text, b/unit))
		}
	}
	return above
}
