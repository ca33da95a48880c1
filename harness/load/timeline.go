package load

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// A span is the time from the start to the end of a call of a trace.
type span struct{ start, end time.Duration }

// before returns the calls that call i waits for, judged by times alone: the calls that had ended
// when it was sent, except those that had ended before another of these was sent, which waited for
// them itself.
func before(all []span, i int) []int {
	latest := time.Duration(-1 << 62) // start of the last call that had ended
	for j, m := range all {
		if j != i && m.end <= all[i].start && (m.start < all[i].start || j < i) {
			latest = max(latest, m.start)
		}
	}
	var waits []int
	for j, m := range all {
		ended := j != i && m.end <= all[i].start && m.end > latest
		if ended || j < i && m.end == m.start && m.end == latest {
			waits = append(waits, j)
		}
	}
	return waits
}

// pause returns the time from the end of the calls that call i waits for to its start.
func pause(all []span, i int, waits []int) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	var end time.Duration
	for _, j := range waits {
		end = max(end, all[j].end)
	}
	return max(0, all[i].start-end)
}

// commonPrefix returns the number of equal leading messages of two histories.
func commonPrefix(a, b []json.RawMessage) int {
	n := 0
	for n < len(a) && n < len(b) && bytes.Equal(a[n], b[n]) {
		n++
	}
	return n
}

// goOn makes a call continue call from, whose conversation has history messages. The call keeps the
// first kept of them and adds the messages add. An answer that the agent sent back becomes a Reply.
func (c *Call) goOn(from, history, kept int, add []Message) {
	c.From, c.Keep, c.Add = from, kept, add
	if kept == 0 {
		c.From = -1
	}
	if len(add) > 0 && add[0].Role == "assistant" && kept > 0 {
		add[0].Reply = true
		if kept == history {
			c.Keep = 0
		}
	}
}

// without returns a list of calls without the call id.
func without(calls []int, id int) []int {
	return slices.DeleteFunc(slices.Clone(calls), func(c int) bool { return c == id })
}
