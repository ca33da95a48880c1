package client

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode"

	"loadstone/harness/record"
)

// stream reads an answer that arrives in pieces. It is whole when it has both a finish_reason and
// the [DONE] that ends it, or what other APIs have for them. Some servers leave [DONE] out; an
// answer without it is truncated all the same, since nothing else tells it from one whose end was
// lost.
func (c *Client) stream(body io.Reader, p *Prompt, r *record.Record) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	s.begin(c, p)
	var failure error
	done := false
	arrival := &s.arrival
	*arrival = stamped{body: body, clock: c}
	err := s.events.read(arrival, s.buffer, s.aside, func(e *event) bool {
		switch {
		case isDone(e.data):
			done = true
			return true // read on to the end of the body: the trailers come after it
		case done:
			s.after(e.data, r)
			return true
		case isEmpty(e.data) && !e.failed: // some proxies keep a stream alive so
			r.Note(record.NoteEvent, "one without data")
			return true
		}
		if failure = s.parse(e.data, e.failed, r); failure == nil {
			done = done || s.parsed.done
			failure = s.add(e, p, r)
		}
		return failure == nil
	})
	c.keep(s, failure, p, r)
	switch {
	case failure != nil:
		return failure
	case errors.Is(err, errLongEvent):
		r.Outcome = record.Cancelled // by the client: it is not known what would have come
		r.Note(record.NoteLong, "")
		return err
	case err != nil:
		return fmt.Errorf("stream broke after %d chunks: %w", len(s.chunks), err)
	}
	return s.end(done, r)
}

// begin empties a scratch for the answer to a prompt.
func (s *scratch) begin(c *Client, p *Prompt) {
	s.answer, s.thought, s.calls, s.other, s.chunks =
		s.answer[:0], s.thought[:0], s.calls[:0], s.other[:0], s.chunks[:0]
	if d := c.dialectOf(p); d != s.dialect {
		s.dialect, s.parsed.last = d, s.parsed.last[:0] // the same text means something else
	}
	s.hidden = 0
	s.drafted, s.accepted, s.passed = 0, 0, ""
	s.visible, s.blanks = false, s.blanks[:0]
	s.parsed.asked = c.Model
	s.secrets, s.own, s.leaked = &c.secrets, p.Canary, ""
	s.parsed.item, s.parsed.fingerprint = responseItem{}, s.parsed.fingerprint[:0]
}

// add adds the event that was parsed to the answer. The error is that the load cancels the request
// after so many pieces.
func (s *scratch) add(e *event, p *Prompt, r *record.Record) error {
	v, at := &s.parsed, s.arrival.at
	switch {
	case len(v.content) > 0 || v.calls > 0:
		if s.visible = s.visible || v.calls > 0 || !isBlank(v.content); s.visible {
			if r.FirstContent < 0 {
				r.FirstContent = at
			}
			s.piece(e, at, r)
		} else {
			s.answer, s.blanks = append(s.answer, v.content...), append(s.blanks, at)
		}
		if p.OnPiece != nil && len(v.content) > 0 {
			p.OnPiece(string(v.content))
		}
	case len(v.reasoning) > 0:
		if r.FirstContent < 0 {
			r.Reasoning++
		}
		s.piece(e, at, r)
	}
	if v.finish != "" {
		r.Finish = v.finish
	}
	if p.CancelPieces > 0 && len(s.chunks) >= p.CancelPieces && r.Finish == "" {
		r.Outcome = record.Cancelled
		return fmt.Errorf("cancelled after %d pieces", len(s.chunks))
	}
	return nil
}

// isBlank reports whether nothing of a text can be seen. Nobody reads a blank, and a server that
// sends one at once, before it has a token, would have a time to first token of nothing. So blanks
// that an answer begins with are no piece by themselves; the first text that can be seen is.
func isBlank(text []byte) bool {
	for _, r := range string(text) {
		switch r {
		case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff':
		default:
			if !unicode.IsSpace(r) {
				return false
			}
		}
	}
	return true
}

// keep copies what a stream said into its record, and looks for other agents' secrets in it.
func (c *Client) keep(s *scratch, failure error, p *Prompt, r *record.Record) {
	if len(s.blanks) > 0 && !s.visible { // they are all that came
		r.FirstContent = s.blanks[0]
		s.chunks = append(s.chunks, s.blanks...)
	}
	r.Answer, r.Thought, r.Calls = string(s.answer), string(s.thought), string(s.calls)
	r.Chunks = append([]time.Duration(nil), s.chunks...)
	c.leakInOther(r, p.Canary, s.other)
	c.fingerprints.add(s.parsed.fingerprint)
	if s.leaked != "" {
		c.leak(r, p.Canary) // what the model says, or an error, is named as such
		if failure != nil {
			c.leakInError(r, p.Canary, failure.Error())
		}
		if r.Leak == "" {
			r.Leak, r.LeakIn = s.leaked, "the stream beside the answer"
		}
	}
	if s.events.odd != "" {
		r.Note(record.NoteLine, s.events.odd)
	}
}

// isEmpty reports whether there is nothing but blanks and line ends in the data of an event.
func isEmpty(data []byte) bool {
	return len(data) == 0 || data[0] <= ' ' && len(bytes.TrimSpace(data)) == 0
}

// isDone reports whether an event is the one that ends a stream.
func isDone(data []byte) bool {
	return len(data) > 0 && data[len(data)-1] != '}' && string(bytes.TrimSpace(data)) == "[DONE]"
}

// parse reads an event into parsed. The error is that it is none, or an error of the server's.
func (s *scratch) parse(data []byte, failed bool, r *record.Record) error {
	v := &s.parsed
	err := s.dialect.event(v, data)
	if v.isNew {
		s.look(data)
	}
	switch {
	case failed && (err != nil || !v.failed):
		r.Outcome = record.Failed
		return errors.New(failureText(data))
	case err != nil:
		r.Outcome = record.Failed
		return notChunk(data, err)
	}
	v.counts(r)
	if !v.part && s.passed == "" {
		s.passed = v.odd
	}
	s.hidden = max(s.hidden, v.hidden)
	s.drafted, s.accepted = max(s.drafted, v.drafted), max(s.accepted, v.accepted)
	if v.failed {
		if v.finish != "" {
			r.Finish = v.finish
		}
		r.Outcome = record.Failed
		return errors.New(v.failure)
	}
	if len(v.other) > 0 {
		s.other = append(append(s.other, v.other...), ' ')
	}
	return nil
}

// notChunk says what an event is that cannot be read as a part of an answer.
func notChunk(data []byte, err error) error {
	switch text := bytes.TrimSpace(data); {
	case len(text) > 0 && text[0] == '[' && json.Valid(text): // Gemini's errors come in a list
		return errors.New(failureText(text))
	case len(text) > 0 && text[0] != '{':
		return fmt.Errorf("event is not a chunk, but %s", excerpt(text))
	case isJoined(text):
		return errors.New("several chunks are one event: no blank line ends each of them")
	}
	return fmt.Errorf("event is not a chunk: %w", err)
}

// isJoined reports whether the data of an event are several objects, each in a line of its own:
// events that only the end of a line divides.
func isJoined(data []byte) bool {
	first, rest, ok := bytes.Cut(data, []byte("\n"))
	return ok && bytes.HasPrefix(rest, []byte("{")) && json.Valid(first)
}

// after takes an event that comes after the one that ends the stream. No client reads on, so it is
// no part of the answer; only a usage is taken.
func (s *scratch) after(data []byte, r *record.Record) {
	s.look(data)
	v := &s.parsed
	if s.dialect.event(v, data) == nil && v.usage && !v.failed &&
		len(v.content)+len(v.reasoning)+v.calls == 0 {
		v.counts(r)
		return
	}
	r.Note(record.NoteAfter, excerpt(data))
}

// look looks for another agent's secret in what came beside the answer: comments, ids, fields of
// any name.
func (s *scratch) look(text []byte) {
	if s.leaked == "" {
		s.leaked = leakIn(s.secrets, text, s.own, true)
	}
}

// piece takes an event that is a piece of the answer.
func (s *scratch) piece(e *event, at time.Duration, r *record.Record) {
	if e.repeated {
		r.Repeats++
	}
	if e.doubled {
		r.Doubled++
	}
	s.chunks = append(s.chunks, at)
	s.answer = append(s.answer, s.parsed.content...)
	s.thought = append(s.thought, s.parsed.reasoning...)
	s.calls = append(s.calls, s.parsed.called...)
}

// end says how a stream ended that was read to its end.
func (s *scratch) end(done bool, r *record.Record) error {
	about := ""
	if s.events.unended {
		// What came whole is taken for what it is: the event that ends the stream, or an error. Any
		// other event is dropped, as the standard says.
		tail := s.events.tail
		if isDone(tail) {
			done = true
		}
		err := s.dialect.event(&s.parsed, tail)
		done = done || err == nil && s.parsed.done
		if err == nil && s.parsed.failed {
			r.Outcome = record.Failed
			return errors.New(s.parsed.failure)
		}
		switch {
		case done || err == nil:
			r.Note(record.NoteTail, "")
			about = "; its last event has no blank line after it"
		case isJoined(tail):
			about = "; no blank line ends each of its events"
		} // else the stream was cut in the middle of the event
	}
	switch {
	case r.Finish == "":
		return fmt.Errorf("stream ended after %d chunks without its finish_reason%s%s",
			len(s.chunks), about, s.saw())
	case !done:
		return fmt.Errorf("stream ended after %d chunks without its %s%s%s", len(s.chunks),
			s.dialect.end, about, s.saw())
	}
	r.Drafted(s.drafted, s.accepted)
	return ended(r, s.hidden)
}

// saw is what a stream had in place of an answer's events, where that is known.
func (s *scratch) saw() string {
	switch {
	case s.events.odd != "":
		return "; it has a line: " + s.events.odd
	case s.passed != "":
		return "; it has an event: " + s.passed
	}
	return ""
}

// ended gives an answer that ended as it should its outcome. hidden are tokens of its reasoning, as
// its usage counts them.
func ended(r *record.Record, hidden int) error {
	r.ReasoningTokens = max(hidden, 0)
	r.Bound(len(r.Answer)+len(r.Thought)+len(r.Calls), hidden)
	r.Outcome = record.OK
	if len(r.Chunks) > 0 || r.FirstContent >= 0 {
		return nil
	}
	r.Outcome = record.Empty
	about := "the answer ended with " + r.Finish + " and has no token"
	if n := max(r.OutputTokens, r.Claimed); n > 0 {
		about += fmt.Sprintf("; its usage has %d", n)
	}
	return errors.New(about)
}

// scratch is the memory for reading one stream, used again for the next one: fresh buffers for
// every request cost as much as all else that the client does.
type scratch struct {
	buffer   []byte
	events   eventReader
	parsed   completion
	chunks   []time.Duration
	visible  bool            // a text of the answer that can be seen has come
	blanks   []time.Duration // arrivals of blank texts before that
	hidden   int             // tokens of reasoning, as the usage has them
	drafted  int             // tokens of drafts
	accepted int             // those that were right
	passed   string          // the first event that was none of an answer's
	dialect  *dialect        // of the stream

	arrival stamped
	aside   func(line []byte) // look, of which each stream would make another

	secrets     *secrets // of the client
	own, leaked string   // the secret of the agent that asks, and another's that came; "" none

	answer, thought, calls, other []byte
}

// release gives the memory back, but for that of an answer beyond all measure.
func (s *scratch) release() {
	if cap(s.events.now)+cap(s.events.before)+cap(s.answer)+cap(s.thought) > 1<<20 {
		return
	}
	s.events.lines, s.arrival = lines{}, stamped{}
	scratches.Put(s)
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{buffer: make([]byte, 4<<10)}
	s.aside = s.look
	return s
}}

// stamped notes when its last Read returned: that is when all events that end in those bytes
// arrived, so that the time for parsing one of them is not part of the latency of the next.
type stamped struct {
	body  io.Reader
	clock *Client
	at    time.Duration
}

func (s *stamped) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.at = s.clock.Since()
	return n, err
}

// whole reads an answer that arrives in one piece. Its first token arrives with its end.
func (c *Client) whole(body io.Reader, contentType string, p *Prompt, r *record.Record) error {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer broke after %d bytes: %w", len(text), err)
	}
	now := c.Since()
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	if len(text) == 0 {
		r.Outcome = record.Failed
		return errors.New("the answer has no body")
	}
	v := completion{asked: c.Model}
	if err := c.dialectOf(p).whole(&v, text); err != nil {
		r.Outcome = record.Failed
		return fmt.Errorf("answer is not a completion, but %s: %w; it begins: %s",
			cmp.Or(excerpt([]byte(contentType)), "of no stated type"), err, excerpt(text))
	}
	v.counts(r)
	c.fingerprints.add(v.fingerprint)
	r.Finish = v.finish
	if v.failed {
		r.Outcome = record.Failed
		return errors.New(v.failure)
	}
	r.Answer, r.Thought, r.Calls = string(v.content), string(v.reasoning), string(v.called)
	c.leakInOther(r, p.Canary, v.other)
	if secret := leakIn(&c.secrets, text, p.Canary, true); secret != "" {
		if c.leak(r, p.Canary); r.Leak == "" {
			r.Leak, r.LeakIn = secret, "the body beside the answer"
		}
	}
	switch {
	case r.Answer != "" || v.calls > 0:
		r.FirstContent = now
	case r.Thought != "":
		r.Chunks, r.Reasoning = []time.Duration{now}, 1
	}
	if p.OnPiece != nil && r.Answer != "" {
		p.OnPiece(r.Answer)
	}
	if v.finish == "" {
		return errors.New("answer without a finish_reason")
	}
	if !p.NoStream {
		r.Note(record.NoteWhole, "")
	}
	r.Drafted(v.drafted, v.accepted)
	return ended(r, max(v.hidden, 0))
}
