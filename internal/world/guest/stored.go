package main

import (
	"net/http"

	"loadstone/internal/world/script"
)

// A stored is a response that the server says it has stored.
type stored struct {
	id      string
	said    []message // the conversation that it ends
	durable bool      // no loss of power takes it
	at      span      // what had happened by then
}

// keep notes the response that a turn has left on the server. What is said since it follows it.
func (c *client) keep(t *turn) {
	switch {
	case t.store && t.reply.stored && t.err == nil:
		c.last = &stored{t.reply.id, c.said, t.saved() && !t.diskFault(), c.world.now()}
	case len(t.said) == 1:
		c.last = nil
	}
}

// certain reports whether the server must still have the response.
func (s *stored) certain(c *client) bool {
	w := c.world
	return c.agent.clients == 1 && s.at.diskErrors == w.diskErrors &&
		(s.durable || s.at.crashes == w.crashes)
}

// lost ends the world if a response that must be there is not, and forgets it.
func (c *client) lost(s *stored) {
	if s.certain(c) {
		c.world.fail("durable", "response %s is gone", s.id)
	}
	c.last = nil
}

// checkGone: the responses of an agent go with it.
func (c *client) checkGone(s *stored) {
	r, ok := c.ask(nil, "GET", "/v1/responses/"+s.id, "", http.StatusOK, http.StatusNotFound)
	if ok && r.status == http.StatusOK && c.calm(r) {
		c.world.fail("durable", "response %s outlives its agent", s.id)
	}
}

// lookUp reads the client's last response once more, or has another principal try to.
func (c *client) lookUp(args script.Args) {
	s := c.last
	if s == nil {
		return
	}
	if other := c.world.principals[args.Get("as")]; other != nil && other != c.of {
		thief := &client{world: c.world, who: c.who, of: other}
		thief.ask(nil, "GET", "/v1/responses/"+s.id, "", http.StatusNotFound)
		return
	}
	r, ok := c.ask(nil, "GET", "/v1/responses/"+s.id, "", http.StatusOK, http.StatusNotFound)
	switch {
	case !ok:
	case r.status == http.StatusNotFound:
		c.lost(s)
	default:
		text := s.said[len(s.said)-1].text
		got := parseReply(r.body, false)
		if a := got.choice(0); a.text != text || got.id != s.id {
			c.world.fail("answer", "response %s is %q, and was %q", s.id, a.text, text)
		}
	}
}
