package client

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
)

// Context is how many tokens a prompt and its answer may have together, as the server says of its
// model: in GET /v1/models, as vLLM, llama.cpp, LM Studio and others do, or in llama.cpp's GET
// /props. It is 0 where the server does not say.
func (c *Client) Context(ctx context.Context) (int, error) {
	type limits struct {
		ID        string
		MaxModel  int `json:"max_model_len"`
		Length    int `json:"context_length"`
		Window    int `json:"context_window"`
		Loaded    int `json:"loaded_context_length"`
		MaxLength int `json:"max_context_length"`
		Meta      struct {
			Used  int `json:"n_ctx"`
			Train int `json:"n_ctx_train"`
		}
	}
	_, code, body, err := c.get(ctx, "/props", briefTimeout)
	if err != nil {
		return 0, &UnreachableError{c.URL, err}
	}
	var props struct {
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if code == http.StatusOK && json.Unmarshal(body, &props) == nil && props.Settings.Context > 0 {
		return props.Settings.Context, nil // of one of its slots; /v1/models has the model's own
	}
	_, code, body, err = c.get(ctx, "/v1/models", 2*briefTimeout)
	if err != nil {
		return 0, &UnreachableError{c.URL, err}
	}
	var list struct{ Data []limits }
	if code != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return 0, nil
	}
	longest := 0
	for _, m := range list.Data {
		n := cmp.Or(m.MaxModel, m.Meta.Used, m.Loaded, m.Length, m.Window, m.MaxLength, m.Meta.Train)
		if m.ID == c.Model || longest == 0 {
			longest = n
		}
	}
	return longest, nil
}
