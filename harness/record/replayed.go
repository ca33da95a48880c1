package record

import "loadstone/harness/load"

// Replayed counts what was done to the calls of recorded sessions for them to be replayed.
type Replayed struct {
	Calls       int // that were recorded and sent
	Cut         int // whose prompt was cut to the server's context
	Compacted   int // whose prompt was compacted to it
	Known       int // answers whose recorded length is known, and their own as well
	OtherLength int // of those, answers of another length than the recorded one
}

// add takes a record.
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
	if r.Outcome == OK && r.Call.WasOutput > 0 && r.OutputTokens >= 0 {
		n.Known++
		if r.OtherLength() {
			n.OtherLength++
		}
	}
}

// Add puts two counts together.
func (n Replayed) Add(o Replayed) Replayed {
	return Replayed{n.Calls + o.Calls, n.Cut + o.Cut, n.Compacted + o.Compacted, n.Known + o.Known,
		n.OtherLength + o.OtherLength}
}
