package engine

import (
	"context"
	"errors"
	"strings"

	"loadstone/engine/internal/snapshot"
)

// A Stream is the answer to one request while it is being made.
type Stream struct {
	tokens chan Token
	late   []Token         // that the channel had no room for; only the engine's goroutine uses it
	gone   <-chan struct{} // closed when the request's context is done
	result Result
	saving *snapshot.Attempt // of a durable request; nil: the memory was on disk
	lost   error             // of a durable request that has left nothing
}

// newStream returns the stream of a request whose context ends with gone. It has room for the whole
// answer, or where that may become longer than what the request is promised, for as much as that; a
// buffer for a whole context would cost more than most answers do.
func newStream(r *Request, gone <-chan struct{}) *Stream {
	n := r.MaxTokens
	if r.SureTokens > 0 {
		n = min(n, r.SureTokens)
	}
	return &Stream{tokens: make(chan Token, n), gone: gone}
}

// Tokens has every token of the answer, and is closed after the last. A reader that is slow never
// holds up the engine; one that stops reading must end the request's context.
func (s *Stream) Tokens() <-chan Token { return s.tokens }

// Result is valid once Tokens is closed.
func (s *Stream) Result() Result { return s.result }

// push hands a token to the reader, or keeps it until the reader has made room. It never blocks.
func (s *Stream) push(t Token) {
	if len(s.late) == 0 {
		select {
		case s.tokens <- t:
			return
		default:
		}
	}
	s.late = append(s.late, t)
	s.flush()
}

// flush hands over what was kept, as far as there is room.
func (s *Stream) flush() {
	for len(s.late) > 0 {
		select {
		case s.tokens <- s.late[0]:
			s.late = s.late[1:]
		default:
			return
		}
	}
	s.late = s.late[:0:0]
}

// end closes the stream behind the last token.
func (s *Stream) end() {
	if s.flush(); len(s.late) == 0 {
		close(s.tokens)
		return
	}
	go func() {
		defer close(s.tokens)
		for _, t := range s.late {
			select {
			case s.tokens <- t:
			case <-s.gone:
				return
			}
		}
	}()
}

// Saved waits, once Tokens is closed, until the memory that a durable request has left is on disk,
// file and directory synced. Otherwise it returns ctx's error, or why the memory could not be
// saved; then SaveFailure has a word for the reason, and saving is tried again.
func (s *Stream) Saved(ctx context.Context) error {
	if s.saving == nil {
		return s.lost
	}
	select {
	case <-s.saving.Done():
		return s.saving.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SaveFailure returns the reason of an error of Stream.Saved in a word or two: "disk full",
// "quota", "timeout", "superseded", "lost" or "io".
func SaveFailure(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, snapshot.ErrSuperseded):
		return "superseded"
	case errors.Is(err, errLeftNothing):
		return "lost"
	}
	return strings.ReplaceAll(snapshot.FailureOf(err).String(), "_", " ")
}

var (
	errLeftNothing = errors.New("the request has left nothing to save")
	errNoAgent     = errors.New("a durable request must name an agent: " +
		"without one it leaves no memory")
)
