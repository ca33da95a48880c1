package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// A generationBody is the body of a request for an answer, of either API.
type generationBody interface {
	// Named returns the model that the body asks for and the session it names, "" where it names
	// none.
	Named() (model, session string)
	// Validate checks the body. maxTokens bounds an answer where the body gives no length; 0: the
	// context does.
	Validate(maxTokens int) (*generate.Params, error)
}

// An answerWriter writes one answer in the form of one of the APIs, whole or as events.
type answerWriter interface {
	Whole(generate.Answer) any                         // the body of an answer that does not stream
	AppendStart(b []byte, soFar generate.Usage) []byte // before the first piece
	AppendPiece(b []byte, p generate.Piece) []byte     // the events of one piece
	AppendKeepAlive(b []byte) []byte                   // when no token has come for a while
	AppendFinish(b []byte, a generate.Answer) []byte   // after the last piece of a complete answer
}

// begin does what every request for an answer goes through: its body is read and checked, and the
// engine gets the prompt. The caller must call the generation's Cancel.
func (s *Server) begin(
	w *response, r *http.Request, body generationBody,
) (*generate.Generation, error) {
	b, err := s.accepting()
	if err != nil {
		return nil, err
	}
	if err := readBody(w, r, body); err != nil {
		return nil, err
	}
	return s.beginWith(b, w, r, body)
}

// beginWith is begin with a body that has been read.
func (s *Server) beginWith(
	b *backend, w *response, r *http.Request, body generationBody,
) (*generate.Generation, error) {
	agent, err := s.agentOf(r, body)
	if err != nil {
		return nil, err
	}
	if err := s.limits.take(w.caller.principal, w.caller.rate, agent, time.Now()); err != nil {
		return nil, err
	}
	p, err := body.Validate(s.cfg.MaxTokens)
	if err != nil {
		return nil, err
	}
	p.Principal, p.Agent = w.caller.principal, agent
	if err := durable(r, p, b.of(w)); err != nil {
		return nil, err
	}
	noteDisk(w.Header(), p, b.engine)
	g, err := b.generator.Start(r.Context(), p, w.start)
	if err != nil {
		return nil, err
	}
	if p.CutTo > 0 {
		w.Header().Set(headerMaxTokens, strconv.Itoa(p.CutTo))
	}
	setCutHeader(w.Header(), p)
	w.generation = g
	s.noteUnheld(w, p)
	return g, nil
}

// noteUnheld tells the client and the log which keywords of schemas that are hints the answer is
// not held to.
func (s *Server) noteUnheld(w *response, p *generate.Params) {
	if len(p.Unheld) == 0 {
		return
	}
	var places, reasons []string
	for _, e := range p.Unheld {
		places, reasons = append(places, e.Place()), append(reasons, e.Error())
	}
	// Proxies limit the size of a response's head.
	const maxLength = 2000
	list := strings.Join(places, ", ")
	if len(list) > maxLength {
		list = list[:strings.LastIndex(list[:maxLength], ", ")+2] + "..."
	}
	w.Header().Set(headerUnheld, list)
	s.logOf(w).Warn("schema is not held in full", "agent", p.Agent, "unheld", reasons)
}

// headerUnheld lists the places of keywords that an answer is not held to.
const headerUnheld = "X-Unheld"

// setCutHeader says what the model was not given.
func setCutHeader(h http.Header, p *generate.Params) {
	if p.BillingCut {
		h.Set(headerCut, "x-anthropic-billing-header")
	}
}

const (
	// headerMaxTokens says what a max_tokens was cut to that the context has no room for.
	headerMaxTokens = "X-Max-Tokens"
	// headerCut names a line of the system prompt that the model was not given; see
	// generate.CutBilling.
	headerCut = "X-System-Line-Cut"
)

// agentOf checks the model that a body asks for and returns the agent whose memory the request
// continues.
func (s *Server) agentOf(r *http.Request, body generationBody) (agent string, err error) {
	model, session := body.Named()
	if model != "" {
		if err := s.checkModel(model); err != nil {
			return "", err
		}
	}
	return agentName(r, session)
}

// sendAnswer sends an answer, in one piece or as a stream of events.
func (s *Server) sendAnswer(w *response, g *generate.Generation, out answerWriter) error {
	if g.Params.Stream {
		return s.streamAnswer(w, g, out)
	}
	for range g.Pieces(nil) {
	}
	g.Rest()
	a, err := g.Finish()
	if err != nil {
		return err
	}
	saved, err := s.waitDurable(w, g)
	if err != nil {
		return err
	}
	setDurable(w.Header(), saved)
	setCacheHeaders(w.Header(), a.Usage.Start)
	w.Header().Set(serverTiming, wholeTiming(a.Usage.Start, g.Decode()))
	return writeJSON(w, http.StatusOK, out.Whole(a))
}

// streamAnswer sends an answer token by token. The response's head goes out with the first token,
// so that a failure before it still has a status of its own, unless the first token takes so long
// that the client must hear something. Tokens that are there already go out together, so that a
// slow client costs no more than a fast one.
func (s *Server) streamAnswer(w *response, g *generate.Generation, out answerWriter) error {
	e := newEventStream(w)
	e.durable = g.Params.Durable
	begun := false
	sendStart := func() {
		if !begun {
			begun = true
			start := g.Usage().Start
			setCacheHeaders(w.Header(), start) // too late where keepAlive sent the head
			e.sendHead(timing(start))
			e.buf = out.AppendStart(e.buf, g.Usage())
			e.send()
		}
	}
	keepAlive := func() { e.keepAlive(out.AppendKeepAlive) }
	for pieces := range g.Pieces(keepAlive) {
		sendStart()
		e.buf = appendPieces(e.buf, pieces, out)
		e.send()
		if !g.Behind() {
			e.flush()
		}
		if e.err != nil {
			// The client is gone; net/http ends the request's own context only later.
			return context.Canceled
		}
	}
	e.buf = appendPieces(e.buf, g.Rest(), out)
	e.send()
	a, err := g.Finish()
	if err != nil {
		return err
	}
	sendStart()
	if g.Params.Durable {
		e.flush()
	}
	saved, err := s.waitDurable(w, g)
	if err != nil {
		return err
	}
	setDurable(w.Header(), saved)
	if saved != "" { // for clients that cannot read trailers
		e.buf = append(append(append(e.buf, ": "+headerDurable+": "...), saved...), "\n\n"...)
	}
	e.buf = out.AppendFinish(e.buf, a)
	e.send()
	e.flush()
	w.Header().Set(serverTiming, wholeTiming(a.Usage.Start, g.Decode()))
	return nil
}

func appendPieces(b []byte, pieces []generate.Piece, out answerWriter) []byte {
	for _, p := range pieces {
		b = out.AppendPiece(b, p)
	}
	return b
}

// timing returns the value of Server-Timing while the answer is not complete.
func timing(start engine.Start) string {
	v := "queue;dur=" + milliseconds(start.Queue) + ", prefill;dur=" + milliseconds(start.Prefill)
	if start.Restore > 0 {
		v += ", restore;dur=" + milliseconds(start.Restore)
	}
	return v
}

// wholeTiming returns the value of Server-Timing for a complete answer.
func wholeTiming(start engine.Start, decode time.Duration) string {
	return timing(start) + ", decode;dur=" + milliseconds(decode)
}

// setCacheHeaders says what the cache was worth to the prompt, for clients of APIs whose usage has
// no field for it.
func setCacheHeaders(h http.Header, start engine.Start) {
	h.Set("X-Cache-Tier", start.Tier)
	h.Set("X-Cached-Tokens", strconv.Itoa(start.CachedTokens))
	if start.Miss != "" {
		h.Set("X-Cache-Miss", start.Miss)
	}
	if start.RestoredBytes > 0 {
		h.Set("X-Restored-Bytes", strconv.FormatInt(start.RestoredBytes, 10))
	}
}
