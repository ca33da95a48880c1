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

// modelInfo describes the one model. It was created when this server started, because the weights
// have no date of their own.
func (s *Server) modelInfo() modelInfo {
	return modelInfo{
		ID:      s.cfg.Model,
		Object:  "model",
		Created: s.started.Unix(),
		OwnedBy: "loadstone",
	}
}

// models serves GET /v1/models.
func (s *Server) models(w *response, r *http.Request) error {
	if _, err := s.loaded(); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Object string      `json:"object"`
		Data   []modelInfo `json:"data"`
	}{"list", []modelInfo{s.modelInfo()}})
}

// model serves GET /v1/models/{id}.
func (s *Server) model(w *response, r *http.Request) error {
	if _, err := s.loaded(); err != nil {
		return err
	}
	if err := s.checkModel(r.PathValue("id")); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.modelInfo())
}

// fingerprint returns OpenAI's system_fingerprint, which changes with the weights, the tokenizer or
// the backend. It is "" where the engine was given none.
func (s *Server) fingerprint() string {
	f := s.backend.Load().engine.Fingerprint()
	if f == "" {
		return ""
	}
	return "fp_" + f[:min(len(f), 12)]
}

// checkModel returns an error for a model that is not served here.
func (s *Server) checkModel(name string) error {
	if name == s.cfg.Model {
		return nil
	}
	return &apiError{
		status: 404, kind: kindInvalid, code: "model_not_found", param: "model",
		message: fmt.Sprintf("model %q is not served here; %q is", name, s.cfg.Model),
	}
}
