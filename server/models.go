package server

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// modelInfo describes the model in the fields of several APIs: OpenAI's, vLLM's (root,
// max_model_len), llama.cpp's (meta) and Anthropic's (type, display_name, created_at).
type modelInfo struct {
	ID          string    `json:"id"`
	Object      string    `json:"object"`
	Created     int64     `json:"created"`
	OwnedBy     string    `json:"owned_by"`
	Root        string    `json:"root"` // the model's own name
	Parent      *string   `json:"parent"`
	MaxModelLen int       `json:"max_model_len"` // tokens of the longest request
	Meta        modelMeta `json:"meta"`
	Type        string    `json:"type"`
	DisplayName string    `json:"display_name"`
	CreatedAt   string    `json:"created_at"`
}

type modelMeta struct {
	Vocab   int `json:"n_vocab"`
	Longest int `json:"n_ctx"`       // max_model_len
	Context int `json:"n_ctx_train"` // the model's own
}

// modelInfo describes the one model under one of its names. It was created when this server
// started, because the weights have no date of their own.
func (s *Server) modelInfo(b *backend, name string) modelInfo {
	e := b.engine
	return modelInfo{
		ID:          name,
		Object:      "model",
		Created:     s.started.Unix(),
		OwnedBy:     "loadstone",
		Root:        s.cfg.Model,
		MaxModelLen: e.Longest(),
		Meta:        modelMeta{Vocab: e.Vocab(), Longest: e.Longest(), Context: e.Context()},
		Type:        "model",
		DisplayName: name,
		CreatedAt:   s.started.UTC().Format(time.RFC3339),
	}
}

// models serves GET /v1/models: the model under each of its names.
func (s *Server) models(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	list := struct {
		Object  string      `json:"object"`
		Data    []modelInfo `json:"data"`
		HasMore bool        `json:"has_more"`
		FirstID string      `json:"first_id"`
		LastID  string      `json:"last_id"`
	}{Object: "list", FirstID: s.cfg.Model}
	for _, name := range append([]string{s.cfg.Model}, s.cfg.Aliases...) {
		if name != anyModel {
			list.Data = append(list.Data, s.modelInfo(b, name))
			list.LastID = name
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

// model serves GET /v1/models/{id}.
func (s *Server) model(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	name := r.PathValue("id")
	if err := s.checkModel(name); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.modelInfo(b, name))
}

// anyModel is the alias that stands for every name.
const anyModel = "*"

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
	if name == s.cfg.Model || slices.Contains(s.cfg.Aliases, name) ||
		slices.Contains(s.cfg.Aliases, anyModel) && name != "" {
		return nil
	}
	return &apiError{
		status: 404, kind: kindInvalid, code: "model_not_found", param: "model",
		message: fmt.Sprintf("model %q is not served here; %q is", name, s.cfg.Model),
	}
}
