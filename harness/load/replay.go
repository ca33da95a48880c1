package load

import (
	"cmp"
	"fmt"
	"time"
)

// Replay is how recorded sessions are replayed.
type Replay struct {
	// Served puts the server's own answers into later prompts; otherwise what was recorded, so that
	// later prompts are what they were. A call that the server did not answer is gone on from as it
	// was recorded.
	Served bool

	// AsAsked asks for answers of the length that the recorded call asked for; otherwise of the length
	// that was recorded, where it is known: forced where the server takes ignore_eos, and elsewhere
	// counted where it is another.
	AsAsked bool

	Idle     time.Duration // the longest pause; longer ones are cut to it; 0 is no limit
	Overflow Overflow      // what becomes of calls that exceed the server's context; "" is Send
	Context  int           // tokens of the server's context; 0 unknown

	// Salt goes before the first message of every conversation, so that a server that has seen the
	// sessions before does not know them; "" leaves the texts as they are.
	Salt string
}

// identity is what of it decides what is sent, by the keys of scenario files, without defaults. The
// salt is left out, as seeds are; the context is the server's.
func (r *Replay) identity() Identity {
	var id Identity
	if r.Served {
		id = append(id, Aspect{"answers", "served"})
	}
	if r.AsAsked {
		id = append(id, Aspect{"answer-length", "asked"})
	}
	if r.Idle > 0 {
		id = append(id, Aspect{"idle", r.Idle.String()})
	}
	if o := cmp.Or(r.Overflow, Send); o != Send {
		id = append(id, Aspect{"overflow", string(o)})
	}
	return id
}

// An Overflow is what becomes of a call whose prompt and answer exceed the server's context.
type Overflow string

// The rules.
const (
	Send    Overflow = "send"    // it is sent; the server refuses it, or cuts it
	Skip    Overflow = "skip"    // it is left out, and later calls go on as it was recorded
	Cut     Overflow = "cut"     // the oldest messages after the first are left out
	Compact Overflow = "compact" // those messages are replaced by a summary of a tenth of their length
)

// ParseOverflow reads a rule.
func ParseOverflow(s string) (Overflow, error) {
	switch o := Overflow(s); o {
	case Send, Skip, Cut, Compact:
		return o, nil
	}
	return "", fmt.Errorf("%q is no rule for calls that exceed the context", s)
}
