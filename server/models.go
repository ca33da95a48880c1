package server

import (
	"fmt"
	"net/http"
)

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// info describes the one model. Created is when this server started: the weights have no date of their own.
func (s *Server) info() modelInfo {
	return modelInfo{ID: s.cfg.Model, Object: "model", Created: s.started.Unix(), OwnedBy: "loadstone"}
}

func (s *Server) models(w *response, r *http.Request) error {
	if s.backend.Load() == nil {
		return loadingError{s.loading.Load()}
	}
	return writeJSON(w, http.StatusOK, struct {
		Object string      `json:"object"`
		Data   []modelInfo `json:"data"`
	}{"list", []modelInfo{s.info()}})
}

func (s *Server) model(w *response, r *http.Request) error {
	if s.backend.Load() == nil {
		return loadingError{s.loading.Load()}
	}
	if err := s.isServed(r.PathValue("id")); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.info())
}

// fingerprint is OpenAI's system_fingerprint: it changes when the weights, the tokenizer or the backend do. "" where the
// engine was given none.
func (s *Server) fingerprint() string {
	f := s.backend.Load().engine.Fingerprint()
	if f == "" {
		return ""
	}
	return "fp_" + f[:min(len(f), 12)]
}

func (s *Server) isServed(name string) error {
	if name == s.cfg.Model {
		return nil
	}
	return &apiError{status: 404, kind: "invalid_request_error", code: "model_not_found", param: "model",
		message: fmt.Sprintf("model %q is not served here; %q is", name, s.cfg.Model)}
}
