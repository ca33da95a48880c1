package server

import (
	"net/http"
	"strings"

	"loadstone/server/internal/anthropic"
)

// isAnthropic says whether a path is one of Anthropic's API.
func isAnthropic(path string) bool {
	return path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/")
}

// messages serves POST /v1/messages.
func (s *Server) messages(w *response, r *http.Request) error {
	g, err := s.begin(w, r, new(anthropic.MessagesRequest))
	if err != nil {
		return err
	}
	defer g.Cancel()
	return s.sendAnswer(w, g, anthropic.NewMessageWriter(newID("msg_"), s.cfg.Model))
}

// countTokens serves POST /v1/messages/count_tokens: how many tokens the prompt of the same body
// has.
func (s *Server) countTokens(w *response, r *http.Request) error {
	b, err := s.open()
	if err != nil {
		return err
	}
	body := new(anthropic.MessagesRequest)
	if err := readBody(w, r, body); err != nil {
		return err
	}
	agent, err := s.agentOf(r, body)
	if err != nil {
		return err
	}
	p, err := body.ValidatePrompt()
	if err != nil {
		return err
	}
	p.Agent = agent
	prompt, err := b.generator.Encode(p)
	if err != nil {
		return err
	}
	setCutHeader(w.Header(), p)
	return writeJSON(w, http.StatusOK, struct {
		InputTokens int `json:"input_tokens"`
	}{len(prompt)})
}
