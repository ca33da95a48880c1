package record

import "fmt"

// A Difference is where all that a model said in one answer parts from what it said in another.
type Difference struct {
	Part string // "answer", "reasoning" or "tool calls"
	From int    // the first byte of the part that differs
	Of   int    // bytes of the part alone
	Slip string // what was lost or came twice, where that is all; "" otherwise
}

// At is the byte of the answer's text from which it differs, -1 where that is the same.
func (d Difference) At() int {
	if d.Part != "answer" {
		return -1
	}
	return d.From
}

// String says where, such as "the answer parts from the one given alone at byte 7 of 30".
func (d Difference) String() string {
	verb := "parts from the one"
	if d.Part == "tool calls" {
		verb = "part from those"
	}
	return fmt.Sprintf("the %s %s given alone at byte %d of %d%s", d.Part, verb, d.From, d.Of, d.Slip)
}

// Difference compares all that the model said with what it said alone: the answer, the reasoning,
// the tool calls. ok is false where nothing differs.
func (r *Record) Difference(alone *Record) (d Difference, ok bool) {
	for _, part := range []struct{ name, want, got string }{
		{"answer", alone.Answer, r.Answer},
		{"reasoning", alone.Thought, r.Thought},
		{"tool calls", alone.Calls, r.Calls},
	} {
		if part.want != part.got {
			at := firstDifference(part.want, part.got)
			return Difference{part.name, at, len(part.want), slip(part.want, part.got, at)}, true
		}
	}
	return d, false
}

// Said reports whether the model said anything that can be compared. Records that were read from a
// file have no texts.
func (r *Record) Said() bool { return r.Answer+r.Thought+r.Calls != "" }

// slip names what makes one text another that is the same but for a piece: one that came twice, or
// is missing. at is their first difference.
func slip(want, got string, at int) string {
	n := len(got) - len(want)
	switch {
	case n > 0 && at >= n && got[at+n:] == want[at:] && got[at:at+n] == got[at-n:at]:
		return fmt.Sprintf(": a piece of %d bytes came twice", n)
	case n < 0 && want[at-n:] == got[at:]:
		return fmt.Sprintf(": a piece of %d bytes is missing", -n)
	}
	return ""
}

// firstDifference is the first byte at which two texts differ.
func firstDifference(a, b string) int {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}

// Telling is how long an answer must be, in bytes, for two that are the same to be no accident.
const Telling = 16

// Alike reports whether the answers to several agents, whose prompts differ, are all one text. Of a
// server that stores an answer, or mixes answers up, this is all that shows.
func Alike(answers []Record) bool {
	agents := map[string]bool{}
	var first *Record
	for i := range answers {
		r := &answers[i]
		if !r.Ended() {
			continue
		}
		if first == nil {
			first = r
		}
		agents[r.Agent] = true
		if _, differs := r.Difference(first); differs {
			return false
		}
	}
	return len(agents) > 1 && len(first.Answer)+len(first.Thought)+len(first.Calls) >= Telling
}
