package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// A Replay configures how recorded sessions are replayed.
type Replay struct {
	// Served puts the server's own answers into later prompts. Otherwise later prompts contain the
	// recorded answers. A call that continues a call without an answer gets the recorded one.
	Served bool

	// AsAsked uses the maximum answer length of the recorded request. Otherwise answers get the
	// recorded length, if it is known: it is forced if the server accepts ignore_eos, and answers
	// of other lengths are counted if it does not.
	AsAsked bool

	Idle     time.Duration // maximum pause; 0 is no limit
	Overflow Overflow      // rule for calls that exceed the server's context; "" is Send
	// Context is the size of the server's context in tokens; 0 asks the server. Amounts of drawn
	// loads may be parts of it.
	Context int

	// AsIs sends the first message of every conversation as it was recorded. Otherwise a word
	// precedes it that is new in every run and the same in all sessions: a server that has seen the
	// sessions before has none of them in its cache, and sessions share the same prefixes as
	// before. Made-up words are new in every run anyway.
	AsIs bool
}

// identity returns the settings that decide what is sent, by the keys of scenario files, without
// defaults. The context belongs to the server.
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

// An Overflow is a rule for calls whose prompt and answer exceed the server's context.
type Overflow string

// The rules.
const (
	Send    Overflow = "send"    // send the call; the server refuses or cuts it
	Skip    Overflow = "skip"    // leave the call out; later calls continue its recording
	Cut     Overflow = "cut"     // leave out the oldest messages after the first
	Compact Overflow = "compact" // replace those messages by a summary of a tenth of their length
)

// ParseOverflow parses a rule.
func ParseOverflow(s string) (Overflow, error) {
	switch o := Overflow(s); o {
	case Send, Skip, Cut, Compact:
		return o, nil
	}
	return "", fmt.Errorf("%q is no rule for calls that exceed the context", s)
}

// replayed returns the recorded session of agent i as the load replays it: at the load's speed and
// lengths, with words that are new in this run.
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

// Exact reports whether the load wants answers of exact lengths, those of recorded calls.
func (l *Load) Exact() bool {
	for i := range l.Sessions {
		for c := range l.Sessions[i].Calls {
			if c.Recorded != nil && c.Recorded.Output > 0 {
				return !l.Replay.AsAsked
			}
			if c.Recorded == nil {
				break // the session was written, not recorded
			}
		}
	}
	return false
}

// replay changes a recorded call to the call that is sent.
func (l *Load) replay(c *Call, verbatim bool) {
	if r := l.Replay.Idle; r > 0 {
		c.Pause = min(c.Pause, r)
	}
	if l.Speed > 0 {
		c.Pause = time.Duration(float64(c.Pause) / l.Speed)
	}
	if c.Recorded != nil {
		c.Recorded = l.scaledRecorded(*c.Recorded)
		if n := c.Recorded.Output; n > 0 && !l.Replay.AsAsked {
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

// scaledRecorded returns a recorded result with counts at the load's lengths. Texts stay: the
// messages of later calls have those that are sent.
func (l *Load) scaledRecorded(was Recorded) *Recorded {
	for _, n := range []*int{&was.Prompt, &was.Cached, &was.Output, &was.Reasoning} {
		if *n > 0 {
			*n = l.scaled(*n)
		}
	}
	return &was
}

// scaledMessage returns a message at the load's lengths, with words of this run.
func (l *Load) scaledMessage(m Message) Message {
	if l.Lengths != 0 && l.Lengths != 1 && m.Text != "" {
		if n := int(float64(len(m.Text)) * l.Lengths); n < len(m.Text) {
			m.Text, m.Raw = Prefix(m.Text, n), nil
		}
	}
	words := make([]Words, len(m.Words))
	for i, w := range m.Words {
		words[i] = Words{Seed: Derive(l.Seeds.Text, "recorded", int(w.Seed)),
			Tokens: l.scaled(w.Tokens), Whole: w.Whole}
	}
	if m.Words != nil {
		m.Words = words
	}
	return m
}

// Prefix returns the longest prefix of a text of at most n bytes that ends with a whole character.
func Prefix(text string, n int) string {
	for n > 0 && n < len(text) && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:min(n, len(text))]
}

// salted returns a message with a text before its own.
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

// saltedContent returns a message's content, a text or a list of parts, with a text before it.
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
