package server

import (
	"net/http"
	"strings"

	"loadstone/server/internal/anthropic"
	"loadstone/server/internal/generate"
)

// isAnthropic reports whether a path is one of Anthropic's API.
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
	n, err := s.countPrompt(w, r, new(anthropic.MessagesRequest))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		InputTokens int `json:"input_tokens"`
	}{n})
}

// A promptBody is the body of a request of which the prompt alone is wanted.
type promptBody interface {
	generationBody
	ValidatePrompt() (*generate.Params, error)
}

// countPrompt returns how many tokens the prompt of a request has.
func (s *Server) countPrompt(w *response, r *http.Request, body promptBody) (int, error) {
	b, err := s.accepting()
	if err != nil {
		return 0, err
	}
	if err := readBody(w, r, body); err != nil {
		return 0, err
	}
	agent, err := s.agentOf(r, body)
	if err != nil {
		return 0, err
	}
	p, err := body.ValidatePrompt()
	if err != nil {
		return 0, err
	}
	p.Principal, p.Agent = w.caller.principal, agent
	prompt, err := b.generator.Encode(p)
	if err != nil {
		return 0, err
	}
	setCutHeader(w.Header(), p)
	return len(prompt), nil
}
