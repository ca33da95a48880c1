package client

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// secrets are the canaries of the agents that asked last through one client: of a million at least,
// which are ten MiB, and of two million at most. An agent that asks again counts as new. What a
// server still has of an agent that was silent for longer, in a prefix or a slot, has been another
// agent's a million times since.
type secrets struct {
	mu         sync.RWMutex
	young, old map[uint32]struct{} // old: those of the generation before the young
	any        atomic.Bool         // there is one: without, nothing can leak
}

// generation is how many canaries are young before they become old.
const generation = 1 << 20

// Know tells the client the canary of an agent that asks through another client: an answer with it
// is a leak as well.
func (c *Client) Know(canary string) { c.secrets.add(canary) }

// add notes the canary of a prompt that is about to be sent. After the answer would be too late:
// another agent's answer may contain it and end earlier.
func (s *secrets) add(canary string) {
	if len(canary) != load.CanaryLength {
		return
	}
	secret, err := strconv.ParseUint(canary, 16, 32)
	if err != nil {
		return
	}
	s.any.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[uint32(secret)]; ok {
		return
	}
	if s.young == nil || len(s.young) == generation {
		s.young, s.old = map[uint32]struct{}{}, s.young
	}
	s.young[uint32(secret)] = struct{}{}
}

func (s *secrets) has(secret uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.young[secret]; ok {
		return true
	}
	_, ok := s.old[secret]
	return ok
}

// leak is the canary of another agent that an answer contains, "" if it contains none.
func (s *secrets) leak(answer, own string) string {
	return leakIn(s, answer, own, false)
}

// leakWord is leak of a text in which canaries stand as words. In what a server makes up itself,
// such as the ids of requests, any eight hexadecimal digits may stand in a longer row by accident.
func (s *secrets) leakWord(text, own string) string {
	return leakIn(s, text, own, true)
}

func leakIn[T string | []byte](s *secrets, answer T, own string, word bool) string {
	if !s.any.Load() {
		return ""
	}
	const n = load.CanaryLength
	for i := n - 1; i < len(answer); i += n { // n digits in a row have one of these places
		if !isDigit(answer[i]) {
			continue
		}
		begin, end := i, i+1 // of the row
		for begin > 0 && isDigit(answer[begin-1]) {
			begin--
		}
		for end < len(answer) && isDigit(answer[end]) {
			end++
		}
		i = end
		if end-begin < n {
			continue
		}
		if word && !(end-begin == n && free(answer, begin-1) && free(answer, end)) {
			continue
		}
		if secret := s.leakInRow(string(answer[begin:end]), own); secret != "" {
			return secret
		}
	}
	return ""
}

// leakInRow is the first secret of another agent in a row of hexadecimal digits, "" if there is
// none.
func (s *secrets) leakInRow(row, own string) string {
	var secret uint32 // the last digits
	for i := range len(row) {
		d, _ := digit(row[i])
		secret = secret<<4 | d
		end := i + 1
		if end < load.CanaryLength || !s.has(secret) {
			continue
		}
		if found := row[end-load.CanaryLength : end]; found != own {
			return found
		}
	}
	return ""
}

// digit is the value of a hexadecimal digit as canaries have them.
func digit(c byte) (value uint32, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint32(c - '0'), true
	case 'a' <= c && c <= 'f':
		return uint32(c-'a') + 10, true
	}
	return 0, false
}

func isDigit(c byte) bool {
	_, ok := digit(c)
	return ok
}

// free reports whether no letter, digit or hyphen is at a place of a text.
func free[T string | []byte](text T, at int) bool {
	if at < 0 || at >= len(text) {
		return true
	}
	switch c := text[at]; {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
		return false
	}
	return true
}

// leak looks for another agent's secret in all that the model says. The first that is found is
// kept.
func (c *Client) leak(r *record.Record, own string) {
	for _, part := range []struct{ where, text string }{
		{"", r.Answer}, {"the reasoning", r.Thought}, {"the tool calls", r.Calls}} {
		if secret := c.secrets.leak(part.text, own); secret != "" && r.Leak == "" {
			r.Leak, r.LeakIn = secret, part.where
		}
	}
}

// leakInOther looks for it in texts that are no part of the answer.
func (c *Client) leakInOther(r *record.Record, own string, text []byte) {
	if secret := leakIn(&c.secrets, text, own, true); secret != "" && r.Leak == "" {
		r.Leak, r.LeakIn = secret, "a field that is not known"
	}
}

// leakInHeader looks for it in the head or the trailers of a response. The ids of requests and of
// their traces are made up by the server.
func (c *Client) leakInHeader(r *record.Record, own string, h http.Header) {
	for name, values := range h {
		switch name {
		case "X-Request-Id", "Traceparent", "Etag", "Cf-Ray", "Date":
			continue
		}
		for _, value := range values {
			if secret := c.secrets.leakWord(value, own); secret != "" && r.Leak == "" {
				r.Leak, r.LeakIn = secret, "the header "+name
			}
		}
	}
}

// leakInStatus looks for it in the status of a response.
func (c *Client) leakInStatus(r *record.Record, own, status string) {
	if secret := c.secrets.leakWord(status, own); secret != "" && r.Leak == "" {
		r.Leak, r.LeakIn = secret, "the status line"
	}
}

// leakInError looks for it in what a server says of a failure.
func (c *Client) leakInError(r *record.Record, own, text string) {
	if secret := c.secrets.leakWord(text, own); secret != "" && r.Leak == "" {
		r.Leak, r.LeakIn = secret, "the error"
	}
}
