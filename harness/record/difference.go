package record

import "fmt"

// A Difference is where all that a model said in one answer parts from what it said in another.
type Difference struct {
	About string // "the answer parts from the one given alone at byte 7 of 30"
	At    int    // the byte of the answer's text; -1 where the text is the same
}

// Difference compares all that the model said with what it said alone: the answer, the reasoning,
// the tool calls. ok is false where nothing differs.
func (r *Record) Difference(alone *Record) (d Difference, ok bool) {
	for _, part := range []struct{ name, want, got string }{
		{"answer", alone.Answer, r.Answer},
		{"reasoning", alone.Thought, r.Thought},
		{"tool calls", alone.Calls, r.Calls},
	} {
		if part.want == part.got {
			continue
		}
		at := FirstDifference(part.want, part.got)
		verb := "parts"
		if part.name == "tool calls" {
			verb = "part"
		}
		d.About = fmt.Sprintf("the %s %s from the one given alone at byte %d of %d%s",
			part.name, verb, at, len(part.want), slip(part.want, part.got, at))
		if d.At = at; part.name != "answer" {
			d.At = -1
		}
		return d, true
	}
	return d, false
}

// Said tells whether the model said anything that can be compared. Records that were read from a
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

// FirstDifference is the first byte at which two texts differ.
func FirstDifference(a, b string) int {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}
