package load

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// An Identity says what a load asks of a server: each key that decides it, by the name that
// scenario files have for it, with its value in words. Two measurements compare where their
// identities are equal.
//
// It has all that decides how many requests are sent, when, of what length and form, and what is
// done to them. It leaves out, on purpose:
//
//   - name and about: the name is in the benchmark's own, and a sentence asks nothing
//   - the seeds: other words of the same lengths are another sample of the same load, as other
//     arrivals of the same rate are, and cold caches even need other words each time
//   - the goodput objective: it asks nothing, and can be judged anew from the records; what
//     writes an identity down adds it with [Identity.With], since it decides what counts as good
//   - the pool: it is the server's, and reserve has the share of it
//
// A key at its default is left out as well, so that a key that a later version adds does not
// change the identity of the loads that do not use it.
type Identity []Aspect

// An Aspect is one key of an identity.
type Aspect struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Hash is the identity in 16 hexadecimal digits, "" of an unknown identity: the beginning of the
// SHA-256 of its keys and values.
func (id Identity) Hash() string {
	if len(id) == 0 {
		return ""
	}
	h := sha256.New()
	for _, a := range id {
		fmt.Fprintf(h, "%q=%q\n", a.Key, a.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// With is the identity with the value of a key, in place of the one that it had; "" takes the key
// out. An unknown identity stays unknown.
func (id Identity) With(key, value string) Identity {
	if len(id) == 0 {
		return nil
	}
	var changed Identity
	for _, a := range id {
		if a.Key != key {
			changed = append(changed, a)
		}
	}
	if value != "" {
		changed = append(changed, Aspect{key, value})
	}
	return changed
}

// Get is the value of a key, "" where the identity leaves it at its default.
func (id Identity) Get(key string) string {
	for _, a := range id {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// An Unlike is a key in which two identities differ, and what it is in each; "": at its default.
type Unlike struct{ Key, A, B string }

// Differences are the keys in which the identity differs from another one.
func (id Identity) Differences(other Identity) []Unlike {
	var all []Unlike
	for _, a := range id {
		if b := other.Get(a.Key); b != a.Value {
			all = append(all, Unlike{a.Key, a.Value, b})
		}
	}
	for _, b := range other {
		if id.Get(b.Key) == "" {
			all = append(all, Unlike{b.Key, "", b.Value})
		}
	}
	return all
}

// Text is the identity in one line: key="value", separated by blanks.
func (id Identity) Text() string {
	var parts []string
	for _, a := range id {
		parts = append(parts, a.Key+"="+strconv.Quote(a.Value))
	}
	return strings.Join(parts, " ")
}

// BenchLine is the line of files in the Go benchmark format that says which load a benchmark is of:
//
//	Load Serve/scenario=chat/agents=4 hash="5e88…" concurrency="4" requests="150" turns="4"
//
// The benchmark's name is without "Benchmark" and the number of processors. goodput, which may be
// "", is what a good answer must hold; it is no part of the hash. An unknown identity has no line.
func (id Identity) BenchLine(benchmark, goodput string) string {
	if len(id) == 0 {
		return ""
	}
	return fmt.Sprintf("Load %s hash=%q %s\n", benchmark, id.Hash(),
		id.With("goodput", goodput).Text())
}

// ParseIdentity reads what Text writes.
func ParseIdentity(text string) (Identity, error) {
	var id Identity
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		quoted, err := strconv.QuotedPrefix(rest)
		if !ok || key == "" || strings.ContainsAny(key, " \t\"") || err != nil {
			return nil, fmt.Errorf("%q is not of the form key=\"value\"", text)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		id, text = append(id, Aspect{key, value}), rest[len(quoted):]
	}
	return id, nil
}

// Identity is what the load asks, at the level that it is at.
func (l Load) Identity() Identity {
	l = l.Filled()
	var id Identity
	add := func(key, value string, given bool) {
		if given {
			id = append(id, Aspect{key, value})
		}
	}
	count := func(key string, n int) { add(key, strconv.Itoa(n), n != 0) }
	number := func(key string, v float64) { add(key, strconv.FormatFloat(v, 'g', -1, 64), v != 0) }
	span := func(key string, d time.Duration) { add(key, d.String(), d != 0) }
	amount := func(key string, a Amount) { add(key, a.String(), a != Amount{}) }

	count("concurrency", l.Concurrency)
	count("together", l.Together)
	add("rate", l.Rate.identity(), l.Rate != nil)
	add("burst", fmt.Sprintf("%d every %v", l.Burst.Size, l.Burst.Every), l.Burst != Burst{})
	add("trace", digest(len(l.Trace), l.Trace), l.Trace != nil)
	if l.Rate != nil {
		number("gaps", l.Gaps)
	}
	span("ramp-up", l.RampUp)
	if l.Trace != nil {
		number("speed", cmp.Or(l.Speed, 1))
		number("lengths", cmp.Or(l.Lengths, 1))
	}
	count("rounds", l.Rounds)
	count("requests", l.Requests)
	count("jobs", l.Jobs)
	span("duration", l.Duration)
	if l.Sessions == nil && l.Trace == nil {
		add("turns", turnsText(l.Turns), true)
		amount("think", l.Think)
		if l.Prompts == nil {
			amount("prompt", l.Prompt)
			amount("follow-up", l.FollowUp)
		}
		amount("answer", l.Answer)
		amount("fan-out", l.FanOut)
		add("compact", l.Compact.String(), l.Compact != Compaction{})
		add("sub-agents", l.SubAgents.String(), l.SubAgents != SubAgents{})
	}
	add("sessions", digestSessions(l.Sessions), l.Sessions != nil)
	if l.Sessions != nil {
		add("arrival", "as recorded", l.AsRecorded)
		if v := cmp.Or(l.Speed, 1); v != 1 || l.AsRecorded {
			number("speed", v)
		}
		if v := cmp.Or(l.Lengths, 1); v != 1 {
			number("lengths", v)
		}
		id = append(id, l.Replay.identity()...)
	}
	if l.OfContext() {
		count("context", l.Replay.Context)
	}
	add("system", fmt.Sprintf("%d of %d tokens", l.System, l.SystemTokens),
		l.System > 0 && l.SystemPrompts == nil && l.SystemPart == Amount{})
	add("system", fmt.Sprintf("%d of %v", l.System, l.SystemPart),
		l.System > 0 && l.SystemPart != Amount{})
	add("system-prompts", digest(len(l.SystemPrompts), l.SystemPrompts), l.SystemPrompts != nil)
	add("prompts", digest(len(l.Prompts), l.Prompts), l.Prompts != nil)
	add("tools", digestTools(l.Tools), len(l.Tools) > 0)
	add("schema", digestTools([]json.RawMessage{l.Schema}), l.Schema != nil)
	add("stop", fmt.Sprintf("%q", l.Stop), len(l.Stop) > 0)
	number("reserve", l.Reserve)
	add("cancel", fmt.Sprintf("%g after %v s or %v pieces", l.Cancel.Share, l.Cancel.After,
		l.Cancel.Pieces), l.Cancel.Share > 0)
	add("slow", fmt.Sprintf("%g at %d B/s", l.Slow.Share, l.Slow.Rate), l.Slow.Share > 0)
	span("timeout", l.Timeout)
	add("cache", string(l.Cache), true)
	add("warm-up", l.WarmUp.identity(), l.WarmUp != WarmUp{})
	return id
}

// turnsText is the turns of an agent: the zero Amount is one.
func turnsText(a Amount) string {
	switch a {
	case Endless:
		return "endless"
	case Amount{}:
		return "1"
	}
	return a.String()
}

// identity is the rate with all its parts; String leaves out what two rates in words may share.
func (p Profile) identity() string {
	if len(p) == 1 {
		return p.String()
	}
	var parts []string
	for _, part := range p {
		parts = append(parts, fmt.Sprintf("%g/s to %g/s over %v", part.From, part.To, part.Over))
	}
	return strings.Join(parts, ", ")
}

func (w WarmUp) identity() string {
	switch {
	case w.Auto:
		return "auto"
	case w.Requests > 0:
		return fmt.Sprintf("%d requests", w.Requests)
	}
	return w.Duration.String()
}

// digest stands for what is too long to be written out: how many there are, and a hash of their
// JSON.
func digest(n int, of any) string {
	text, err := json.Marshal(of)
	if err != nil { // of a number that JSON does not have
		text = fmt.Append(nil, of)
	}
	return shortened(n, text)
}

func shortened(n int, text []byte) string {
	sum := sha256.Sum256(text)
	return fmt.Sprintf("%d, sha256 %s", n, hex.EncodeToString(sum[:4]))
}

// digestTools is the same however the tools' JSON is spaced.
func digestTools(tools []json.RawMessage) string {
	var text bytes.Buffer
	for _, tool := range tools {
		if json.Compact(&text, tool) != nil {
			text.Write(tool)
		}
		text.WriteByte('\n')
	}
	return shortened(len(tools), text.Bytes())
}

// maxDigested bounds how many calls of a session are looked at: they may be endless.
const maxDigested = 100_000

// digestSessions is the digest of recorded or written sessions. Their secrets and the seeds of
// made-up words are left out, as those of drawn sessions are.
func digestSessions(sessions []Session) string {
	h := sha256.New()
	for _, s := range sessions {
		fmt.Fprintf(h, "session %t\n", s.SecretLast)
		for _, m := range s.Begin {
			m.identity(h)
		}
		if s.Calls == nil {
			continue
		}
		n := 0
		for c := range s.Calls {
			fmt.Fprintf(h, "call %d %d %v %d %d %d %d %d %d %d\n", c.ID, c.From, c.After, c.Pause,
				c.Turn, c.Aside, c.Answer, c.Cancel, c.Pieces, c.ReadRate)
			c.recordedIdentity(h)
			for _, m := range c.Add {
				m.identity(h)
			}
			if n++; n == maxDigested {
				break
			}
		}
	}
	return fmt.Sprintf("%d, sha256 %s", len(sessions), hex.EncodeToString(h.Sum(nil)[:4]))
}

// recordedIdentity is what of a call only recorded ones have.
func (c *Call) recordedIdentity(w io.Writer) {
	if c.Keep > 0 || c.Sub > 0 || c.Exact || c.Fields != nil || c.Tools != nil {
		fmt.Fprintf(w, "recorded %d %d %t %q %q\n", c.Keep, c.Sub, c.Exact, c.Fields, c.Tools)
	}
	if c.Recorded != nil {
		fmt.Fprintf(w, "answered %d %q %q\n", c.Recorded.Output, c.Recorded.Text, c.Recorded.ToolCalls)
	}
}

func (m *Message) identity(w io.Writer) {
	if m.Raw != nil {
		fmt.Fprintf(w, "message %t %s\n", m.Reply, m.Raw)
		return
	}
	fmt.Fprintf(w, "message %q %q %v %q %q", m.Role, m.Text, m.Quote, m.ToolCalls, m.ToolCallID)
	line := make([]byte, 0, 8*len(m.Words)+1) // a long trace has millions of them
	for _, words := range m.Words {
		line = strconv.AppendInt(append(line, ' '), int64(words.Tokens), 10)
		line = strconv.AppendBool(append(line, ' '), words.Whole)
	}
	w.Write(append(line, '\n'))
}
