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
	g, err := s.begin(w, r, new(chatRequest))
	if err != nil {
		return err
	}
	defer g.cancel()
	return s.chatAnswer(w, g)
}

func (s *Server) chatAnswer(w *response, g *generation) error {
	id := newID("chatcmpl-")
	if g.ask.stream {
		return s.stream(w, g, &chatEvents{s.newEvents(w, "chat.completion.chunk", id, g.ask.usage), g.likely >= 0})
	}
	return s.whole(w, g, func(e ending) any { return s.newCompletion(id, g, e) })
}

func newID(prefix string) string { return prefix + rand.Text() }

// A request is the body of any of the APIs.
type request interface {
	named() (model, session string)
	ask(defaultMax int) (*ask, error) // checks it; its errors are for the client and name the field
}

// begin does what every API's request goes through until its first token: the body is read into q and checked, and the
// engine gets it. The caller must call the generation's cancel.
func (s *Server) begin(w *response, r *http.Request, q request) (*generation, error) {
	b, err := s.open()
	if err != nil {
		return nil, err
	}
	if err := readBody(w, r, q); err != nil {
		return nil, err
	}
	model, session := q.named()
	if model != "" {
		if err := s.isServed(model); err != nil {
			return nil, err
		}
	}
	agent, err := identity(r, session)
	if err != nil {
		return nil, err
	}
	if err := s.limits.take(agent, time.Now()); err != nil {
		return nil, err
	}
	a, err := q.ask(s.cfg.MaxTokens)
	if err != nil {
		return nil, err
	}
	a.agent = agent
	g, err := s.submit(w, r, b, a)
	w.generation = g
	return g, err
}

// open returns what the server serves, unless it takes no work.
func (s *Server) open() (*backend, error) {
	if s.draining.Load() {
		return nil, engine.ErrDraining
	}
	b := s.backend.Load()
	if b == nil {
		return nil, loadingError{s.loading.Load()}
	}
	return b, nil
}

func (s *Server) submit(w *response, r *http.Request, b *backend, a *ask) (*generation, error) {
	prompt, err := s.encode(b, a)
	if err != nil {
		return nil, err
	}
	q, err := b.request(a, prompt)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	stream, err := b.submit(ctx, q, a)
	if err != nil {
		cancel()
		e := classify(err)
		if e.code == "context_length_exceeded" {
			e.param = a.param
		}
		return nil, e
	}
	return &generation{
		client:  r.Context(),
		cancel:  cancel,
		ask:     a,
		stream:  stream,
		vocab:   b.text,
		metrics: s.metrics,
		split:   newSplitter(a.stops, a.shape.calls()),
		likely:  a.logprobs,
		prompt:  len(prompt),
		came:    w.start,
	}, nil
}

// encode returns the tokens of a conversation, or of a text.
func (s *Server) encode(b *backend, a *ask) ([]int32, error) {
	if a.prompt != nil {
		ids := b.text.Encode(*a.prompt, true)
		if len(ids) == 0 {
			return nil, invalid(a.param, "%s: has no tokens", a.param)
		}
		return ids, nil
	}
	roles, contents := a.conversation()
	answers := s.answers.find(a.agent, a.turns)
	s.recall(b, a, roles, contents, answers)
	ids, err := b.text.EncodeChat(roles, contents, answers)
	if err != nil {
		return nil, invalid(a.param, "%s: %v", a.param, err)
	}
	return ids, nil
}

// request is the ask as the engine takes it.
func (b *backend) request(a *ask, prompt []int32) (engine.Request, error) {
	for id := range a.sampling.Bias {
		if n := b.engine.Vocab(); int(id) >= n {
			return engine.Request{}, invalid("logit_bias", "logit_bias: token %d; the model's are 0 to %d", id, n-1)
		}
	}
	likely := 0
	if a.logprobs >= 0 {
		likely = min(max(a.logprobs, 1), b.engine.Vocab()) // the engine's 0 is none, not even the token's own
	}
	mask, err := b.mask(a.shape)
	return engine.Request{
		Agent:     a.agent,
		Prompt:    prompt,
		MaxTokens: a.maxTokens,
		Stop:      b.text.StopTokens(),
		Sampling:  a.sampling,
		Mask:      mask,
		Logprobs:  likely,
	}, err
}

// submit hands a request to the engine. An answer whose length nobody asked for takes what the context leaves it.
func (b *backend) submit(ctx context.Context, q engine.Request, a *ask) (*engine.Stream, error) {
	stream, err := b.engine.Submit(ctx, q)
	var length *engine.ContextError
	if errors.As(err, &length) && a.defaultMax && length.Prompt < length.Limit {
		q.MaxTokens = length.Limit - length.Prompt
		stream, err = b.engine.Submit(ctx, q)
	}
	return stream, err
}

// whole answers in one piece, which body makes.
func (s *Server) whole(w *response, g *generation, body func(ending) any) error {
	for t := range g.tokens() {
		g.take(t)
	}
	g.end()
	e, err := g.finish()
	if err != nil {
		return err
	}
	s.answers.keep(g.ask.agent, answerText(string(g.answer), g.calls, true), g.exact())
	g.describe(w.Header())
	w.Header().Set(serverTiming, g.timing(true))
	return writeJSON(w, http.StatusOK, body(e))
}

// A stream is a sink that writes an answer to the client in the form of one of the APIs.
type stream interface {
	sink
	open(*generation) // what comes before the first piece
	flush()
	finish(ending) // of a complete answer only
	failed() bool  // the client is gone
}

// stream answers token by token. The response's head goes out with the first token, until which a failure still has a
// status of its own, unless that takes so long that the client must hear something. Tokens that are there already go out
// together, so that a slow client costs no more than a fast one.
func (s *Server) stream(w *response, g *generation, out stream) error {
	g.out = out
	begun := false
	begin := func() {
		if !begun {
			begun = true
			g.describe(w.Header()) // too late where idle sent the head
			w.head(g.timing(false))
			out.open(g)
		}
	}
	for t := range g.tokens() {
		begin()
		g.take(t)
		if !g.waiting() {
			out.flush()
		}
		if out.failed() {
			return context.Canceled // net/http ends the request's own context only later
		}
	}
	if begun {
		g.end()
	}
	e, err := g.finish()
	if err != nil {
		return err
	}
	begin()
	out.finish(e)
	s.answers.keep(g.ask.agent, answerText(string(g.answer), g.calls, true), g.exact())
	w.Header().Set(serverTiming, g.timing(true))
	return nil
}
