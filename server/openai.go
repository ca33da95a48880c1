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
	return s.answerChat(w, g)
}

// completions serves POST /v1/completions.
func (s *Server) completions(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(openai.CompletionRequest))
	if err != nil {
		return err
	}
	defer g.Cancel()
	return s.answerCompletion(w, g)
}

func (s *Server) answerChat(w *response, g *generate.Generation) error {
	return s.answer(w, g, openai.NewChatWriter(s.openaiHead("chatcmpl-"), g.Params))
}

func (s *Server) answerCompletion(w *response, g *generate.Generation) error {
	return s.answer(w, g, openai.NewCompletionWriter(s.openaiHead("cmpl-"), g.Params))
}

func (s *Server) openaiHead(idPrefix string) openai.Head {
	return openai.Head{ID: newID(idPrefix), Model: s.cfg.Model, Fingerprint: s.fingerprint()}
}
