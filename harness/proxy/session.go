package proxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// A session is the work of one agent.
type session struct {
	load.Session
	api    client.API
	began  time.Duration
	calls  int
	subs   int             // number of sub-agents so far
	starts []time.Duration // when each sub-agent's first call began; starts[i] is that of i+1
	parts  map[string]int  // number of each sub-agent that has a name of its own
	recent []*call         // the last maxRecent calls that have ended, the latest last
	text   []byte          // last prompt, of the completions API
	ratio  float64         // tokens per byte, of a private recording; 0 if not known yet
}

// A call is a call that has ended and that later calls may continue.
type call struct {
	*session
	id, sub, turn int
	part          string // see exchange.part
	began, ended  time.Duration
	waited        bool   // a later call waits for it
	sent          []hash // hash of each message as it was sent
	system        hash   // hash of the system message; zero if there is none
	kind          hash   // see prompt.kind
	chain         hash   // last element of prompt.chain
	fields, tools hash

	// These are set for a stored answer of the responses API, which a request may continue by its
	// ID.
	name      string
	raw, said []json.RawMessage // the prompt, and the items of the answer
}

// maxRecent is the number of calls of a session that later calls can continue.
const maxRecent = 64

// A prompt is a request's conversation with the hashes by which it is compared.
type prompt struct {
	raw     []json.RawMessage
	sent    []hash // hash of each message as it was sent
	chain   []hash // chain[i] is the hash of messages 0 to i in their normal form
	system  bool   // the first message is the system message
	kind    hash   // hash of the system message without the line that some agents change
	replied int    // number of items of the answer that previous_response_id names
}

// prompt makes the prompt of a body's messages. The system message counts for nothing in chain:
// some agents change a line of it in every request.
func (r *Recorder) prompt(raw []json.RawMessage, system json.RawMessage) *prompt {
	p := &prompt{raw: raw}
	if system != nil {
		p.raw, p.system = append([]json.RawMessage{system}, raw...), true
		p.kind = hashOf(normal(withoutBilling(system)))
	}
	var before hash
	for i, m := range p.raw {
		h := hashOf(m)
		p.sent = append(p.sent, h)
		n := hash{}
		if i > 0 || !p.system {
			n = r.normalHash(h, m)
		}
		before = before.and(n)
		p.chain = append(p.chain, before)
	}
	return p
}

// copied returns the messages. It copies the last n, which are part of a request's body.
func (p *prompt) copied(n int) []json.RawMessage {
	all := slices.Clone(p.raw)
	for i := len(all) - n; i < len(all); i++ {
		all[i] = bytes.Clone(all[i])
	}
	return all
}

// withoutBilling returns a system message without the line that Claude Code changes in every
// request.
func withoutBilling(system json.RawMessage) json.RawMessage {
	var blocks []json.RawMessage
	if json.Unmarshal(system, &blocks) != nil || len(blocks) == 0 ||
		!bytes.Contains(blocks[0], []byte(`"x-anthropic-billing-header:`)) {
		return system
	}
	text, err := json.Marshal(blocks[1:])
	if err != nil {
		return system
	}
	return text
}

// normalHash returns the hash of a message's normal form. It caches them, since most messages were
// seen before.
func (r *Recorder) normalHash(sent hash, m json.RawMessage) hash {
	n, ok := r.normals[sent]
	if !ok {
		if len(r.normals) > 1<<17 {
			clear(r.normals)
		}
		n = hashOf(normal(m))
		r.normals[sent] = n
	}
	return n
}

// before finds the call that a prompt continues: of the calls that had ended and whose whole prompt
// is a prefix of p, the one with the longest prompt. length is its number of messages. If in is not
// nil, only calls of that session count, and of them those of the exchange's part.
func (r *Recorder) before(x *exchange, p *prompt, in *session) (from *call, length int) {
	for n := len(p.chain); n > 0 && (n > 1 || !p.system); n-- {
		of := r.ends[p.chain[n-1]]
		for _, c := range slices.Backward(of) {
			mine := in == nil || c.session == in && c.part == x.part
			if c.ended <= x.began && mine && c.session.api == x.api {
				return c, n
			}
		}
	}
	return nil, 0
}

// common returns the number of leading messages that a prompt and a call have byte for byte in
// common. System messages count as equal: one that differs is written among the fields.
func (p *prompt) common(c *call) (n int) {
	bothSystem := p.system && c.system != hash{}
	for n < min(len(p.sent), len(c.sent)) && (p.sent[n] == c.sent[n] || n == 0 && bothSystem) {
		n++
	}
	return n
}

// likest returns the call of the session that has the longest beginning in common with p, whose
// history was compacted. The system messages must be the same.
func (s *session) likest(x *exchange, p *prompt) (from *call, length int) {
	for _, c := range slices.Backward(s.recent) {
		if c.ended > x.began || p.kind != c.kind || c.part != x.part {
			continue
		}
		if n := p.common(c); n > length {
			from, length = c, n
		}
	}
	return from, length
}

// link makes an exchange a call of its session: it finds the call that the exchange continues, the
// calls that it waits for, and the messages that it adds.
func (r *Recorder) link(s *session, p *prompt, b *body, x *exchange) (load.Call, *call) {
	c := load.Call{ID: s.calls, From: -1, Answer: b.maxTokens}
	now := &call{session: s, id: s.calls, began: x.began, ended: x.ended, sent: p.sent,
		kind: p.kind, part: x.part}
	if p.system {
		now.system = p.sent[0]
	}
	if len(p.chain) > 0 {
		now.chain = p.chain[len(p.chain)-1]
	}
	from, whole := r.before(x, p, s)
	if b.previous != "" {
		from, whole = r.responses[b.previous], len(p.raw)-len(b.said)-p.replied
	}
	fresh := from == nil
	if fresh {
		from, whole = s.likest(x, p)
	}
	kept := 0
	if from != nil {
		kept = min(p.common(from), whole)
		now.sub, now.turn = from.sub, from.turn
	} else if s.calls > 0 {
		now.sub = s.newSub(x)
		now.turn = s.recent[len(s.recent)-1].turn
	}
	waits := s.waits(from, fresh, now)
	if from != nil && kept > 0 {
		c.From = from.id
	}
	for _, w := range waits {
		if w.id != c.From {
			c.After = append(c.After, w.id)
		}
		w.waited = true
	}
	r.addTo(&c, p, from, kept, whole, fresh)
	c.Person = !fresh && c.From >= 0 && now.sub == 0 && asksAnew(p.raw[min(whole, len(p.raw)):])
	if c.Person {
		now.turn++
	}
	c.Turn, c.Sub = now.turn, now.sub
	since := s.began
	for _, w := range waits {
		since = max(since, w.ended)
	}
	c.Pause = max(0, x.began-since)
	r.fieldsOf(&c, now, from, b, p)
	return c, now
}

// newSub returns the number of the sub-agent that begins a conversation: a new one, or that of its
// name. The session's own agent, which has no part, begins another conversation where others have
// a name; where none has one, a new conversation is that of a sub-agent.
func (s *session) newSub(x *exchange) int {
	known := s.parts[x.part]
	if known > 0 || x.api == client.Completions || x.part == "" && len(s.parts) > 0 {
		return known // a text of the completions API that has grown begins nothing
	}
	s.subs++
	s.starts = append(s.starts, x.began)
	if x.part != "" {
		if s.parts == nil {
			s.parts = map[string]int{}
		}
		s.parts[x.part] = s.subs
	}
	return s.subs
}

// waits returns the calls that a call waits for: the one that it continues, and the calls of the
// session's other agents that have ended since and that no call has waited for. A sub-agent waits
// only for those that began after its own last call, which it may have started: others work beside
// it. A new conversation waits for the last call of the session's own agent.
func (s *session) waits(from *call, fresh bool, now *call) (waits []*call) {
	last := from
	if fresh {
		for _, c := range s.recent {
			later := last == nil || c.ended >= last.ended && c.sub == 0
			if c.ended <= now.began && later {
				last = c
			}
		}
	}
	if last == nil {
		return nil
	}
	waits = append(waits, last)
	if from != nil && from != last {
		waits = append(waits, from)
	}
	if fresh {
		return waits
	}
	for _, c := range s.recent {
		ended := c.ended > last.ended && c.ended <= now.began
		beside := now.sub > 0 && (c.sub == 0 || s.starts[c.sub-1] < last.ended)
		if c != last && c.sub != last.sub && !c.waited && ended && !beside {
			waits = append(waits, c)
		}
	}
	return waits
}

// addTo sets the messages that a call adds to the conversation that it continues. kept is the
// number of messages that it keeps byte for byte; whole counts those that differ in form alone as
// well.
func (r *Recorder) addTo(c *load.Call, p *prompt, from *call, kept, whole int, fresh bool) {
	reply := -1
	if from != nil && !fresh && whole < len(p.raw) {
		reply = whole
	}
	replied := false
	for i := kept; i < len(p.raw); i++ {
		m := load.Message{Raw: p.raw[i]}
		known := look(p.raw[i])
		if i == 0 && p.system {
			known.role = "system"
		}
		m.Role = known.role
		if reply >= 0 && i >= reply && !replied && known.role == "assistant" &&
			(known.kind == "" || known.kind == "message") {
			m.Reply, replied = true, true
		}
		if i >= reply && known.role != "assistant" {
			reply = -1
		}
		c.Add = append(c.Add, m)
	}
	// Keep stays 0 where the call keeps the whole conversation and the answer, or nothing.
	if c.From >= 0 && !(kept == whole && replied) {
		c.Keep = kept
	}
}

// asksAnew reports whether the messages contain a question of a person and no results of tools.
func asksAnew(added []json.RawMessage) bool {
	asks := false
	for _, raw := range added {
		m := look(raw)
		if m.results {
			return false
		}
		asks = asks || m.role == "user"
	}
	return asks
}

// fieldsOf sets a call's other fields and its tools, unless they equal those of the call that it
// continues. A system message that differs from that call's is among the fields.
func (r *Recorder) fieldsOf(c *load.Call, now, from *call, b *body, p *prompt) {
	fields := slices.Clone(b.fields)
	if p.system && c.From >= 0 {
		now.system = from.system
		if p.sent[0] != from.system {
			i := slices.IndexFunc(fields, func(f load.Field) bool { return f.Name == "system" })
			fields[i].Value = p.raw[0]
		}
	}
	text := []byte{}
	for _, f := range fields {
		text = append(append(append(text, f.Name...), 0), f.Value...)
	}
	now.fields = hashOf(text)
	now.tools = hashOf(join(b.tools))
	if c.From < 0 || now.fields != from.fields {
		c.Fields = fields
	}
	if c.From < 0 && b.hasTools || c.From >= 0 && now.tools != from.tools {
		if c.Tools = b.tools; c.Tools == nil {
			c.Tools = []json.RawMessage{}
		}
	}
}

func join(parts []json.RawMessage) (all []byte) {
	for _, p := range parts {
		all = append(append(all, p...), 0)
	}
	return all
}

// keep stores a call that has ended for the calls that may continue it.
func (r *Recorder) keep(now *call) {
	s := now.session
	s.calls++
	s.recent = append(s.recent, now)
	r.ends[now.chain] = append(r.ends[now.chain], now)
	if len(s.recent) > maxRecent {
		old := s.recent[0]
		s.recent = s.recent[1:]
		delete(r.responses, old.name)
		left := slices.DeleteFunc(r.ends[old.chain], func(c *call) bool { return c == old })
		if r.ends[old.chain] = left; len(left) == 0 {
			delete(r.ends, old.chain)
		}
	}
}
