package proxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// A session is one agent's, as it was recognised.
type session struct {
	load.Session
	api    client.API
	began  time.Duration
	calls  int
	subs   int     // sub-agents so far
	recent []*call // those that ended last, the last one last
	text   []byte  // the last of the completions API
	ratio  float64 // tokens of a byte, of a private recording; 0 not known yet
}

// A call is one that has ended, as far as later ones may go on from it.
type call struct {
	*session
	id, sub, turn int
	began, ended  time.Duration
	waited        bool   // a later call waits for it
	sent          []hash // of each message, as it was sent
	system        hash   // of the message that stands for the system, if there is one
	kind          hash   // as that of the prompt
	chain         hash   // of all messages, as they are compared
	fields, tools hash

	// Of the responses API, where the answer is stored and may be gone on from by its name.
	name      string
	raw, said []json.RawMessage // the prompt, and the items of the answer
}

// maxRecent is how many calls of a session later ones can go on from.
const maxRecent = 64

// A prompt is a request's conversation, ready to be compared.
type prompt struct {
	raw     []json.RawMessage
	sent    []hash
	chain   []hash // of the messages up to each of them
	system  bool   // the first message is the system's
	kind    hash   // of that, without what some agents change in every request
	replied int    // messages of it that are an answer given by name, after those of the call
}

// prompt makes the prompt of a body. A system's text is not compared: some agents change a line of
// it in every request.
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

// withoutBilling is a system's text without the line that Claude Code changes in every request.
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

// normalHash is the hash of a message as it is compared. Most messages were seen before.
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

// before finds the call whose conversation a prompt goes on from: the one with the most messages of
// those whose whole prompt it begins with, that had ended. in, unless nil, is the session that it is
// of. length is how many messages those are.
func (r *Recorder) before(api client.API, p *prompt, in *session, began time.Duration) (from *call, length int) {
	for n := len(p.chain); n > 0 && (n > 1 || !p.system); n-- {
		of := r.ends[p.chain[n-1]]
		for _, c := range slices.Backward(of) {
			if c.ended <= began && (in == nil || c.session == in) && c.session.api == api {
				return c, n
			}
		}
	}
	return nil, 0
}

// common is how many of the first messages a prompt has byte for byte as a call had them. A system's
// text that differs counts as equal: it is written beside the messages.
func (p *prompt) common(c *call) (n int) {
	for n < min(len(p.sent), len(c.sent)) && (p.sent[n] == c.sent[n] || n == 0 && p.system && c.system != hash{}) {
		n++
	}
	return n
}

// likest is the call of a session that a new conversation of it shares the longest beginning with: a
// history that was compacted. The system's text must be the same.
func (s *session) likest(p *prompt, began time.Duration) (from *call, length int) {
	for _, c := range slices.Backward(s.recent) {
		if c.ended > began || p.kind != c.kind {
			continue
		}
		if n := p.common(c); n > length {
			from, length = c, n
		}
	}
	return from, length
}

// link makes of an exchange a call of its session: which call it goes on from, for which others it
// waits, and what it adds.
func (r *Recorder) link(s *session, p *prompt, b *body, x *exchange) (load.Call, *call) {
	c := load.Call{ID: s.calls, From: -1, Answer: b.maxTokens}
	now := &call{session: s, id: s.calls, began: x.began, ended: x.ended, sent: p.sent, kind: p.kind}
	if p.system {
		now.system = p.sent[0]
	}
	if len(p.chain) > 0 {
		now.chain = p.chain[len(p.chain)-1]
	}
	from, whole := r.before(x.api, p, s, x.began)
	if b.previous != "" {
		from, whole = r.responses[b.previous], len(p.raw)-len(b.said)-p.replied
	}
	fresh := from == nil
	if fresh {
		from, whole = s.likest(p, x.began)
	}
	kept := 0
	if from != nil {
		kept = min(p.common(from), whole)
		now.sub, now.turn = from.sub, from.turn
	} else if s.calls > 0 {
		if x.api != client.Completions { // a text that has grown begins nothing
			s.subs++
			now.sub = s.subs
		}
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
	r.addTo(&c, p, from, kept, whole, fresh, b)
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

// waits are the calls that a call waits for: the one that it goes on from, and of other agents of the
// session those that have ended meanwhile and that nobody has waited for. A conversation that begins
// waits for what its session's own agent did last.
func (s *session) waits(from *call, fresh bool, now *call) (waits []*call) {
	last := from
	if fresh {
		for _, c := range s.recent {
			if c.ended <= now.began && (last == nil || c.ended >= last.ended) && (c.sub == 0 || last == nil) {
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
		if c != last && c.sub != last.sub && !c.waited && c.ended > last.ended && c.ended <= now.began {
			waits = append(waits, c)
		}
	}
	return waits
}

// addTo writes what a call adds to the conversation that it goes on from, of which it keeps so many
// messages. whole are those of that conversation that it has, in this or another spelling.
func (r *Recorder) addTo(c *load.Call, p *prompt, from *call, kept, whole int, fresh bool, b *body) {
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
	// Where all is kept and an answer follows, or nothing is kept, 0 says so.
	if c.From >= 0 && !(kept == whole && replied) {
		c.Keep = kept
	}
}

// asksAnew tells whether messages have something that a person asks, rather than results of tools.
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

// fieldsOf gives a call its body's other fields and its tools, unless they are those of the call that
// it goes on from. A system's text that is not that of the conversation's first message is among
// the fields.
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

// keep keeps a call that has ended for those that go on from it.
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
