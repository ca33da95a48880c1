package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// A choiceWriter writes one of several answers to a request.
type choiceWriter interface {
	answerWriter
	AppendEnd(b []byte, a generate.Answer) []byte // after the last piece of one answer
	AppendDone(b []byte, u generate.Usage) []byte // after all answers
	WholeOf(all []generate.Answer) any            // the body of answers that do not stream
}

// A step is the next part of one of several answers: pieces, or its end.
type step struct {
	choice int
	pieces []generate.Piece
	answer *generate.Answer // of the end
	err    error
}

// sendChoices sends several answers to one request. The first begins by itself, and the others when
// its prompt is in the cache, as many at once as the principal's share has room for. outs has a
// writer for each.
func (s *Server) sendChoices(
	w *response, r *http.Request, g *generate.Generation, outs []choiceWriter,
) error {
	steps, begun := make(chan step), make(chan struct{})
	ctx, cancel := context.WithCancel(r.Context())
	var running sync.WaitGroup
	defer func() { // whatever has come of it, nothing of the request runs on
		cancel()
		g.Cancel()
		running.Wait()
	}()
	tell := func(x step) bool {
		select {
		case steps <- x:
			return true
		case <-ctx.Done():
			return false
		}
	}
	ended := make(chan struct{}, len(outs))
	follow := func(g *generate.Generation, i int, begun func()) {
		choose(g, i, tell, begun)
		ended <- struct{}{}
	}
	running.Go(func() { follow(g, 0, func() { close(begun) }) })
	running.Go(func() {
		select {
		case <-begun:
		case <-ctx.Done():
			return
		}
		for i, under := 1, 1; i < len(outs); i++ {
			other, err := g.Another(ctx, i)
			for ; err != nil && under > 0 && passes(err); under-- {
				select {
				case <-ended:
				case <-ctx.Done():
					return
				}
				other, err = g.Another(ctx, i)
			}
			if err != nil {
				tell(step{choice: i, err: err})
				return
			}
			under++
			running.Go(func() {
				defer other.Cancel()
				follow(other, i, func() {})
			})
		}
	})
	if g.Params.Stream {
		return s.streamChoices(ctx, w, g, outs, steps)
	}
	return s.writeChoices(ctx, w, g, outs, steps)
}

// passes reports whether a principal's share refuses a request only as long as its others run.
func passes(err error) bool {
	share, ok := errors.AsType[*engine.ShareError](err)
	return ok && share.RetryAfter > 0
}

// writeChoices writes several answers as one body when all of them are complete.
func (s *Server) writeChoices(
	ctx context.Context, w *response, g *generate.Generation, outs []choiceWriter,
	steps <-chan step,
) error {
	all := make([]generate.Answer, len(outs))
	for left := len(outs); left > 0; {
		var x step
		select {
		case x = <-steps:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case x.err != nil:
			return x.err
		case x.answer != nil:
			all[x.choice] = *x.answer
			left--
		}
	}
	saved, err := s.waitDurable(w, g)
	if err != nil {
		return err
	}
	setDurable(w.Header(), saved)
	setCacheHeaders(w.Header(), all[0].Usage.Start)
	w.Header().Set(serverTiming, wholeTiming(all[0].Usage.Start, g.Decode()))
	return writeJSON(w, http.StatusOK, outs[0].WholeOf(all))
}

// choose follows one answer and passes its steps to tell. It calls begun when the first token is
// there, or when there will be none.
func choose(g *generate.Generation, i int, tell func(step) bool, begun func()) {
	first := true
	begin := func() {
		if first {
			first = false
			begun()
		}
	}
	for pieces := range g.Pieces(nil) {
		begin()
		if len(pieces) > 0 && !tell(step{choice: i, pieces: slices.Clone(pieces)}) {
			g.Cancel()
			return
		}
	}
	begin()
	if rest := g.Rest(); len(rest) > 0 && !tell(step{choice: i, pieces: slices.Clone(rest)}) {
		g.Cancel()
		return
	}
	a, err := g.Finish()
	if err != nil {
		tell(step{choice: i, err: err})
		return
	}
	tell(step{choice: i, answer: &a})
}

// streamChoices sends the steps of several answers as events as they come.
func (s *Server) streamChoices(
	ctx context.Context, w *response, g *generate.Generation, outs []choiceWriter,
	steps <-chan step,
) error {
	e := newEventStream(w)
	e.durable = g.Params.Durable
	all, began := make([]generate.Answer, len(outs)), make([]bool, len(outs))
	ticker := time.NewTicker(generate.KeepAliveInterval)
	defer ticker.Stop()
	for left := len(outs); left > 0; {
		var x step
		select {
		case x = <-steps:
		case <-ticker.C:
			e.keepAlive(outs[0].AppendKeepAlive)
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		if x.err != nil {
			return x.err
		}
		out := outs[x.choice]
		e.sendHead("")
		if !began[x.choice] {
			began[x.choice] = true
			e.buf = out.AppendStart(e.buf, generate.Usage{})
		}
		e.buf = appendPieces(e.buf, x.pieces, out)
		if x.answer != nil {
			all[x.choice] = *x.answer
			left--
			e.buf = out.AppendEnd(e.buf, *x.answer)
		}
		e.send()
		if e.flush(); e.err != nil {
			return context.Canceled // the client is gone
		}
	}
	saved, err := s.waitDurable(w, g)
	if err != nil {
		return err
	}
	setDurable(w.Header(), saved)
	e.buf = outs[0].AppendDone(e.buf, generate.SumUsage(all))
	e.send()
	e.flush()
	return nil
}
