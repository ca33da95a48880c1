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

// Identity is what the load asks, at the level that it is at.
func (l Load) Identity() Identity {
	l = l.Filled()
	var w identityWriter
	w.arrivals(&l)
	w.ends(&l)
	w.conversation(&l)
	w.sessions(&l)
	w.prompts(&l)
	w.number("reserve", l.Reserve)
	w.clients(&l)
	w.add("cache", string(l.Cache), true)
	w.add("warm-up", l.WarmUp.identity(), l.WarmUp != WarmUp{})
	return w.id
}

// An identityWriter writes an identity. The order of the keys, which its hash depends on, is that
// of the calls.
type identityWriter struct{ id Identity }

// add writes a key if it is given, which one at its default is not.
func (w *identityWriter) add(key, value string, given bool) {
	if given {
		w.id = append(w.id, Aspect{key, value})
	}
}

func (w *identityWriter) count(key string, n int) { w.add(key, strconv.Itoa(n), n != 0) }

func (w *identityWriter) number(key string, v float64) {
	w.add(key, strconv.FormatFloat(v, 'g', -1, 64), v != 0)
}

func (w *identityWriter) span(key string, d time.Duration) { w.add(key, d.String(), d != 0) }

func (w *identityWriter) amount(key string, a Amount) { w.add(key, a.String(), a != Amount{}) }

// arrivals writes when agents or requests come.
func (w *identityWriter) arrivals(l *Load) {
	w.count("concurrency", l.Concurrency)
	w.count("together", l.Together)
	w.add("rate", l.Rate.identity(), l.Rate != nil)
	w.add("burst", fmt.Sprintf("%d every %v", l.Burst.Size, l.Burst.Every), l.Burst != Burst{})
	w.add("trace", digest(len(l.Trace), l.Trace), l.Trace != nil)
	if l.Rate != nil {
		w.number("gaps", l.Gaps)
	}
	w.span("ramp-up", l.RampUp)
	if l.Trace != nil {
		w.number("speed", cmp.Or(l.Speed, 1))
		w.number("lengths", cmp.Or(l.Lengths, 1))
	}
}

// ends writes what ends the load.
func (w *identityWriter) ends(l *Load) {
	w.count("rounds", l.Rounds)
	w.count("requests", l.Requests)
	w.count("jobs", l.Jobs)
	w.span("duration", l.Duration)
}

// conversation writes how the sessions are drawn, of a load whose sessions are.
func (w *identityWriter) conversation(l *Load) {
	if l.Sessions != nil || l.Trace != nil {
		return
	}
	w.add("turns", turnsText(l.Turns), true)
	w.amount("think", l.Think)
	if l.Prompts == nil {
		w.amount("prompt", l.Prompt)
		w.amount("follow-up", l.FollowUp)
	}
	w.amount("answer", l.Answer)
	w.amount("fan-out", l.FanOut)
	w.add("compact", l.Compact.String(), l.Compact != Compaction{})
	w.add("sub-agents", l.SubAgents.String(), l.SubAgents != SubAgents{})
}

// sessions writes the sessions that are given, and how they are replayed.
func (w *identityWriter) sessions(l *Load) {
	w.add("sessions", digestSessions(l.Sessions), l.Sessions != nil)
	if l.Sessions != nil {
		w.add("arrival", "as recorded", l.AsRecorded)
		if v := cmp.Or(l.Speed, 1); v != 1 || l.AsRecorded {
			w.number("speed", v)
		}
		if v := cmp.Or(l.Lengths, 1); v != 1 {
			w.number("lengths", v)
		}
		w.id = append(w.id, l.Replay.identity()...)
	}
	if l.OfContext() {
		w.count("context", l.Replay.Context)
	}
}

// prompts writes what requests have beside their conversations: system prompts, tools, a schema.
func (w *identityWriter) prompts(l *Load) {
	w.add("system", fmt.Sprintf("%d of %d tokens", l.System, l.SystemTokens),
		l.System > 0 && l.SystemPrompts == nil && l.SystemPart == Amount{})
	w.add("system", fmt.Sprintf("%d of %v", l.System, l.SystemPart),
		l.System > 0 && l.SystemPart != Amount{})
	w.add("system-prompts", digest(len(l.SystemPrompts), l.SystemPrompts), l.SystemPrompts != nil)
	w.add("prompts", digest(len(l.Prompts), l.Prompts), l.Prompts != nil)
	w.add("tools", digestTools(l.Tools), len(l.Tools) > 0)
	w.add("schema", digestTools([]json.RawMessage{l.Schema}), l.Schema != nil)
	w.add("stop", fmt.Sprintf("%q", l.Stop), len(l.Stop) > 0)
}

// clients writes what clients do beside reading an answer to its end.
func (w *identityWriter) clients(l *Load) {
	w.add("cancel", fmt.Sprintf("%g after %v s or %v pieces", l.Cancel.Share, l.Cancel.After,
		l.Cancel.Pieces), l.Cancel.Share > 0)
	w.add("slow", fmt.Sprintf("%g at %d B/s", l.Slow.Share, l.Slow.Rate), l.Slow.Share > 0)
	w.span("timeout", l.Timeout)
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
