package client

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"loadstone/harness/record"
)

// stream reads an answer that arrives in pieces. It is whole when it has both a finish_reason and
// the [DONE] that ends it.
func (c *Client) stream(body io.Reader, p *Prompt, r *record.Record) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	v, answer, chunks := &s.parsed, s.answer[:0], s.chunks[:0]
	defer func() {
		s.answer, s.chunks = answer, chunks
		r.Answer, r.Chunks = string(answer), append([]time.Duration(nil), chunks...)
	}()
	var failure error
	done := false
	arrival := &stamped{body: body, clock: c}
	err := events(arrival, s.buffer, func(data []byte) bool {
		if string(data) == "[DONE]" {
			done = true
			return true // read on to the end of the body: the trailers come after it
		}
		if err := v.parse(data); err != nil {
			r.Outcome, failure = record.Failed, fmt.Errorf("event is not a chunk: %w", err)
			return false
		}
		if v.failed {
			r.Outcome, failure = record.Failed, errors.New(v.failure)
			return false
		}
		v.counts(r)
		switch {
		case len(v.content) > 0 || v.calls > 0:
			if r.FirstContent < 0 {
				r.FirstContent = arrival.at
			}
			chunks = append(chunks, arrival.at)
			answer = append(answer, v.content...)
			if p.OnPiece != nil && len(v.content) > 0 {
				p.OnPiece(string(v.content))
			}
		case len(v.reasoning) > 0:
			if r.FirstContent < 0 {
				r.Reasoning++
			}
			chunks = append(chunks, arrival.at)
		}
		if v.finish != "" {
			r.Finish = v.finish
		}
		if p.CancelPieces > 0 && len(chunks) >= p.CancelPieces && r.Finish == "" {
			r.Outcome = record.Cancelled
			failure = fmt.Errorf("cancelled after %d pieces", len(chunks))
			return false
		}
		return true
	})
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return fmt.Errorf("stream broke after %d chunks: %w", len(chunks), err)
	case r.Finish == "":
		return fmt.Errorf("stream ended after %d chunks without its finish_reason", len(chunks))
	case !done:
		return fmt.Errorf("stream ended after %d chunks without its [DONE]", len(chunks))
	}
	r.Outcome = record.OK
	return nil
}

// scratch is the memory for reading one stream, used again for the next one: fresh buffers for
// every request cost as much as all else that the client does.
type scratch struct {
	buffer []byte
	parsed completion
	answer []byte
	chunks []time.Duration
}

var scratches = sync.Pool{New: func() any { return &scratch{buffer: make([]byte, 4<<10)} }}

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

// whole reads an answer that arrives in one piece. Its first content arrives with its end.
func (c *Client) whole(body io.Reader, p *Prompt, r *record.Record) error {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer broke after %d bytes: %w", len(text), err)
	}
	now := c.Since()
	var v completion
	if err := v.parse(text); err != nil {
		r.Outcome = record.Failed
		return fmt.Errorf("answer is not a completion: %w", err)
	}
	if v.failed {
		r.Outcome = record.Failed
		return errors.New(v.failure)
	}
	v.counts(r)
	if v.finish == "" {
		return errors.New("answer without a finish_reason")
	}
	r.Answer, r.Finish, r.Outcome = string(v.content), v.finish, record.OK
	if r.Answer != "" || v.calls > 0 {
		r.FirstContent = now
	}
	if p.OnPiece != nil && r.Answer != "" {
		p.OnPiece(r.Answer)
	}
	return nil
}
