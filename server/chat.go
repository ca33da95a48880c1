package server

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"loadstone/engine"
)

// chat serves POST /v1/chat/completions.
func (s *Server) chat(w *response, r *http.Request) error {
	if s.draining.Load() {
		return engine.ErrDraining
	}
	b := s.backend.Load()
	if b == nil {
		return errLoading
	}
	c, err := s.decodeChat(w, r)
	if err != nil {
		return err
	}
	prompt, err := b.text.EncodeChat(c.roles, c.contents, s.answers.find(c.agent, c.roles, c.contents))
	if err != nil {
		return invalid("messages", "messages: %v", err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := b.submit(ctx, c, prompt)
	if err != nil {
		return err
	}
	g := &generation{
		client:  r.Context(),
		cancel:  cancel,
		stream:  stream,
		text:    b.text,
		metrics: s.metrics,
		decoder: newDecoder(c.stops),
		came:    w.start,
	}
	id, created := "chatcmpl-"+rand.Text(), time.Now().Unix()
	if c.stream {
		err = s.stream(w, g, newEvents(w, id, s.cfg.Model, created, c.usage))
	} else {
		err = s.complete(w, g, id, created)
	}
	if err == nil {
		s.answers.keep(c.agent, string(g.answer), g.exact())
	}
	return err
}

// submit hands a chat to the engine. An answer whose length nobody asked for takes what the context leaves it.
func (b *backend) submit(ctx context.Context, c *chat, prompt []int32) (*engine.Stream, error) {
	q := engine.Request{
		Agent:     c.agent,
		Prompt:    prompt,
		MaxTokens: c.maxTokens,
		Stop:      b.text.StopTokens(),
		Sampling:  c.sampling,
	}
	stream, err := b.engine.Submit(ctx, q)
	var length *engine.ContextError
	if errors.As(err, &length) && c.defaultMax && length.Prompt < length.Limit {
		q.MaxTokens = length.Limit - length.Prompt
		stream, err = b.engine.Submit(ctx, q)
	}
	return stream, err
}

// complete answers in one piece.
func (s *Server) complete(w *response, g *generation, id string, created int64) error {
	for range g.chunks() {
	}
	reason, err := g.finish()
	if err != nil {
		return err
	}
	choice := completionChoice{FinishReason: reason}
	choice.Message.Role = "assistant"
	choice.Message.Content = string(g.answer)
	w.Header().Set(serverTiming, g.timing(true))
	return writeJSON(w, http.StatusOK, completion{
		ID:      id,
		Object:  "chat.completion",
		Created: created,
		Model:   s.cfg.Model,
		Choices: []completionChoice{choice},
		Usage:   g.usage(),
	})
}

// stream answers token by token. The response's head goes out with the first token: until then a failure still has a
// status of its own. Tokens that are there already go out together, so that a slow client costs no more than a fast one.
func (s *Server) stream(w *response, g *generation, out *events) error {
	for text := range g.chunks() {
		if w.status == 0 {
			out.open(g.timing(false))
		}
		if len(text) > 0 {
			out.content(text)
		}
		if !g.waiting() {
			out.flush()
		}
		if out.err != nil {
			break
		}
	}
	if out.err != nil {
		return context.Canceled // net/http ends the request's own context only later
	}
	reason, err := g.finish()
	if err != nil {
		return err
	}
	if w.status == 0 {
		out.open(g.timing(false))
	}
	out.finish(reason, g.usage())
	w.Header().Set(serverTiming, g.timing(true))
	return nil
}
