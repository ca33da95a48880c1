package record

import (
	"time"

	"loadstone/harness/load"
)

// Replayed counts the calls of recorded sessions and how their replay differs from the recording.
type Replayed struct {
	Calls       int // recorded calls that were sent
	Cut         int // calls whose prompt was cut to the server's context
	Compacted   int // calls whose prompt was compacted to the server's context
	Known       int // answers whose length is known in the recording and the replay
	OtherLength int // those of them whose lengths differ

	// Took is the time from sending to the end of the answers whose recorded times are known, and
	// WasTook the sum of those times.
	Took, WasTook time.Duration
}

// add counts a record.
func (n *Replayed) add(r *Record) {
	if r.Call == (Call{}) {
		return
	}
	n.Calls++
	switch load.Overflow(r.Call.Fitted) {
	case load.Cut:
		n.Cut++
	case load.Compact:
		n.Compacted++
	}
	if r.Outcome == OK && r.Call.WasTook > 0 {
		n.Took += r.End - r.Sent
		n.WasTook += r.Call.WasTook
	}
	if r.Outcome == OK && r.Call.WasOutput > 0 && r.OutputTokens >= 0 {
		n.Known++
		if r.OtherLength() {
			n.OtherLength++
		}
	}
}

// Add returns the sum of two counts.
func (n Replayed) Add(o Replayed) Replayed {
	return Replayed{n.Calls + o.Calls, n.Cut + o.Cut, n.Compacted + o.Compacted, n.Known + o.Known,
		n.OtherLength + o.OtherLength, n.Took + o.Took, n.WasTook + o.WasTook}
}
