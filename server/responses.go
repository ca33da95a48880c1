package server

import (
	"errors"
	"net/http"
	"strconv"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/responses"
)

// respond serves POST /v1/responses.
func (s *Server) respond(w *response, r *http.Request) error {
	stored := s.responses.Of(w.caller.principal)
	body := responses.NewRequest(stored)
	g, err := s.begin(w, r, body)
	if err != nil {
		return err
	}
	defer g.Cancel()
	keep := func(v *responses.Response) {
		if err := stored.Put(body.Stored(v, g.Params.Agent), g.Params.Durable); err != nil {
			// The answer is good, and the client learns that it cannot be continued by its id.
			s.logOf(w).Error("a response cannot be stored", "error", err)
			v.Store = false
		}
	}
	out := responses.NewWriter(body, newID("resp_"), s.cfg.Model, g.Params, keep)
	w.failed = out.AppendFailed
	return s.sendAnswer(w, g, out)
}

// countInput serves POST /v1/responses/input_tokens: how many tokens the prompt of the same body
// has.
func (s *Server) countInput(w *response, r *http.Request) error {
	n, err := s.countPrompt(w, r, responses.NewRequest(s.responses.Of(w.caller.principal)))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Object      string `json:"object"`
		InputTokens int    `json:"input_tokens"`
	}{"response.input_tokens", n})
}

// stored returns the response that a path names.
func (s *Server) stored(w *response, r *http.Request) (*responses.Stored, error) {
	id := r.PathValue("id")
	v, err := s.responses.Of(w.caller.principal).Get(id)
	if errors.Is(err, responses.ErrNotFound) {
		return nil, &apiError{status: 404, kind: kindInvalid, code: "response_not_found",
			param: "response_id", message: responses.NotFound(id)}
	}
	return v, err
}

// getResponse serves GET /v1/responses/{id}.
func (s *Server) getResponse(w *response, r *http.Request) error {
	v, err := s.stored(w, r)
	if err != nil {
		return err
	}
	if stream := r.URL.Query().Get("stream"); stream == "true" {
		return generate.Unsupported("stream", "stream: only an answer that is made is streamed")
	}
	return writeJSON(w, http.StatusOK, v.Response)
}

// deleteResponse serves DELETE /v1/responses/{id}.
func (s *Server) deleteResponse(w *response, r *http.Request) error {
	v, err := s.stored(w, r)
	if err != nil {
		return err
	}
	if err := s.responses.Of(w.caller.principal).Delete(v.ID); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, responses.Deleted{
		ID: v.ID, Object: "response", Deleted: true,
	})
}

// cancelResponse serves POST /v1/responses/{id}/cancel. Only a response in the background can be
// cancelled so, and there are none.
func (s *Server) cancelResponse(w *response, r *http.Request) error {
	if _, err := s.stored(w, r); err != nil {
		return err
	}
	return generate.Unsupported("response_id", "Cannot cancel a synchronous response. It ends when "+
		"its client closes the connection.")
}

// maxInputItems is the largest number of input items in one list, which is OpenAI's limit.
const maxInputItems = 100

// inputItems serves GET /v1/responses/{id}/input_items.
func (s *Server) inputItems(w *response, r *http.Request) error {
	v, err := s.stored(w, r)
	if err != nil {
		return err
	}
	query, limit := r.URL.Query(), 20
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxInputItems {
			return generate.Invalid("limit", "limit: %q; want 1 to %d", text, maxInputItems)
		}
	}
	list, err := v.InputItems(query.Get("order"), query.Get("after"), limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}
