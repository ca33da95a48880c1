package server

import (
	"net/http"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/openai"
)

// chat serves POST /v1/chat/completions.
func (s *Server) chat(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(openai.ChatRequest))
	if err != nil {
		return err
	}
	defer g.Cancel()
	return s.sendChat(w, r, g)
}

// completions serves POST /v1/completions.
func (s *Server) completions(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(openai.CompletionRequest))
	if err != nil {
		return err
	}
	defer g.Cancel()
	return s.sendCompletion(w, r, g)
}

func (s *Server) sendChat(w *response, r *http.Request, g *generate.Generation) error {
	return sendWith(s, w, r, g, openai.NewChatWriter(s.openaiHead("chatcmpl-"), g.Params))
}

func (s *Server) sendCompletion(w *response, r *http.Request, g *generate.Generation) error {
	return sendWith(s, w, r, g, openai.NewCompletionWriter(s.openaiHead("cmpl-"), g.Params))
}

// sendWith sends one answer with a writer, or several with the writer of each.
func sendWith[W interface {
	choiceWriter
	Choice(i int) W
}](s *Server, w *response, r *http.Request, g *generate.Generation, out W) error {
	if g.Params.N <= 1 {
		return s.sendAnswer(w, g, out)
	}
	var outs []choiceWriter
	for i := range g.Params.N {
		outs = append(outs, out.Choice(i))
	}
	return s.sendChoices(w, r, g, outs)
}

func (s *Server) openaiHead(idPrefix string) openai.Head {
	return openai.Head{ID: newID(idPrefix), Model: s.cfg.Model, Fingerprint: s.fingerprint()}
}
