package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
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
	// Context is the tokens of the server's context, which drawn loads may have amounts of as well; 0:
	// as the server says.
	Context int

	// AsIs sends the first message of every conversation as it was recorded. Otherwise a word of the run
	// goes before it, the same in all sessions, so that a server that has seen them before does not
	// know them, and what they share they still share. Made-up words are new in every run anyway.
	AsIs bool
}

// identity is what of it decides what is sent, by the keys of scenario files, without defaults. The
// context is the server's.
func (r *Replay) identity() Identity {
	var id Identity
	if r.Served {
		id = append(id, Aspect{"answers", "served"})
	}
	if r.AsAsked {
		id = append(id, Aspect{"answer-length", "asked"})
	}
	if r.AsIs {
		id = append(id, Aspect{"salt", "none"})
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

// replayed is the recorded session of agent i as the load replays it: at its speed, with its lengths,
// with words that are new in this run.
func (l *Load) replayed(i int) Session {
	s := l.Sessions[i%len(l.Sessions)]
	calls := s.Calls
	if calls == nil {
		return s
	}
	verbatim := s.Verbatim
	s.Calls = iter.Seq[Call](func(yield func(Call) bool) {
		for c := range calls {
			l.replay(&c, verbatim)
			if l.Cancel.Share > 0 || l.Slow.Share > 0 {
				l.interfere(&c, draw(l.Seeds.Cancel, "fate", i, c.ID))
			}
			if !yield(c) {
				return
			}
		}
	})
	return s
}

// Exact tells whether the load wants answers of exact lengths: those of recorded calls.
func (l *Load) Exact() bool {
	for i := range l.Sessions {
		for c := range l.Sessions[i].Calls {
			if c.Was != nil && c.Was.Output > 0 {
				return !l.Replay.AsAsked
			}
			if c.Was == nil {
				break // it was written, not recorded
			}
		}
	}
	return false
}

// replay changes a call to the one that is sent.
func (l *Load) replay(c *Call, verbatim bool) {
	if r := l.Replay.Idle; r > 0 {
		c.Pause = min(c.Pause, r)
	}
	if l.Speed > 0 {
		c.Pause = time.Duration(float64(c.Pause) / l.Speed)
	}
	if c.Was != nil {
		c.Was = l.scaledRecorded(*c.Was)
		if n := c.Was.Output; n > 0 && !l.Replay.AsAsked {
			c.Answer, c.Exact = n, true
		}
	}
	if c.Answer > 0 && !c.Exact {
		c.Answer = l.scaled(c.Answer)
	}
	add := make([]Message, len(c.Add))
	for i, m := range c.Add {
		add[i] = l.scaledMessage(m)
	}
	if c.From < 0 && len(add) > 0 && verbatim && !l.Replay.AsIs {
		add[0] = salted(add[0], Canary(Derive(l.Seeds.Text, "salt"))+" names this run.\n\n")
	}
	c.Add = add
}

// scaledRecorded is what was recorded at the load's lengths. The texts of answers are in the messages
// of later calls.
func (l *Load) scaledRecorded(was Recorded) *Recorded {
	for _, n := range []*int{&was.Prompt, &was.Cached, &was.Output, &was.Reasoning} {
		if *n > 0 {
			*n = l.scaled(*n)
		}
	}
	return &was
}

// scaledMessage is a message at the load's lengths, with words of this run.
func (l *Load) scaledMessage(m Message) Message {
	if l.Lengths != 0 && l.Lengths != 1 && m.Text != "" {
		if n := int(float64(len(m.Text)) * l.Lengths); n < len(m.Text) {
			m.Text, m.Raw = Prefix(m.Text, n), nil
		}
	}
	words := make([]Words, len(m.Words))
	for i, w := range m.Words {
		words[i] = Words{Seed: Derive(l.Seeds.Text, "recorded", int(w.Seed)), Tokens: l.scaled(w.Tokens), Whole: w.Whole}
	}
	if m.Words != nil {
		m.Words = words
	}
	return m
}

// Prefix is the first bytes of a text, so many or a few less, where a character ends.
func Prefix(text string, n int) string {
	for n > 0 && n < len(text) && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:min(n, len(text))]
}

// salted is a message with a text before its own.
func salted(m Message, salt string) Message {
	m.Text = salt + m.Text
	if m.Raw == nil {
		return m
	}
	raw := bytes.TrimSpace(m.Raw)
	if len(raw) == 0 || raw[0] != '{' {
		m.Raw = saltedContent(raw, salt)
		return m
	}
	fields, err := objectFields(raw)
	if err != nil {
		m.Raw = nil
		return m
	}
	for i, f := range fields {
		if f.Name == "content" {
			fields[i].Value = saltedContent(f.Value, salt)
		}
	}
	m.Raw = fieldsObject(fields)
	return m
}

// saltedContent is a message's content, a text or a list of parts, with a text before it.
func saltedContent(content json.RawMessage, salt string) json.RawMessage {
	text, _ := json.Marshal(salt)
	content = bytes.TrimSpace(content)
	switch {
	case len(content) > 1 && content[0] == '"':
		return append(append(json.RawMessage(nil), text[:len(text)-1]...), content[1:]...)
	case len(content) > 1 && content[0] == '[':
		part := fmt.Appendf(nil, `[{"type":"text","text":%s}`, text)
		if rest := bytes.TrimSpace(content[1:]); rest[0] != ']' {
			part = append(part, ',')
		}
		return append(part, content[1:]...)
	}
	return text
}
