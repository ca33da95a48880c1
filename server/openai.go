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
	return s.sendChat(w, g)
}

// completions serves POST /v1/completions.
func (s *Server) completions(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(openai.CompletionRequest))
	if err != nil {
		return err
	}
	defer g.Cancel()
	return s.sendCompletion(w, g)
}

func (s *Server) sendChat(w *response, g *generate.Generation) error {
	return s.sendAnswer(w, g, openai.NewChatWriter(s.openaiHead("chatcmpl-"), g.Params))
}

func (s *Server) sendCompletion(w *response, g *generate.Generation) error {
	return s.sendAnswer(w, g, openai.NewCompletionWriter(s.openaiHead("cmpl-"), g.Params))
}

func (s *Server) openaiHead(idPrefix string) openai.Head {
	return openai.Head{ID: newID(idPrefix), Model: s.cfg.Model, Fingerprint: s.fingerprint()}
}
