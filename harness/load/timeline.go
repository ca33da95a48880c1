package load

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// A moment is when a call of a trace was sent and when it ended.
type moment struct{ start, end time.Duration }

// before are the calls that a call waits for, as far as times tell: those that had ended when it was
// sent, but not those that had ended before another of them was sent, which has waited for them.
func before(all []moment, i int) []int {
	latest := time.Duration(-1 << 62) // when the last of those that had ended was sent
	for j, m := range all {
		if j != i && m.end <= all[i].start && (m.start < all[i].start || j < i) {
			latest = max(latest, m.start)
		}
	}
	var waits []int
	for j, m := range all {
		if j != i && m.end <= all[i].start && m.end > latest || j < i && m.end == m.start && m.end == latest {
			waits = append(waits, j)
		}
	}
	return waits
}

// pause is the time from the end of the calls that a call waits for to the call.
func pause(all []moment, i int, waits []int) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	var end time.Duration
	for _, j := range waits {
		end = max(end, all[j].end)
	}
	return max(0, all[i].start-end)
}

// commonPrefix is how many messages two histories begin with alike.
func commonPrefix(a, b []json.RawMessage) int {
	n := 0
	for n < len(a) && n < len(b) && bytes.Equal(a[n], b[n]) {
		n++
	}
	return n
}

// goOn makes a call go on from the history of another, of which it has the first messages kept. The
// messages that it adds follow. An answer that the agent sent back is marked as such.
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

// without is a list of calls without one.
func without(calls []int, id int) []int {
	return slices.DeleteFunc(slices.Clone(calls), func(c int) bool { return c == id })
}
