package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// CountTokens asks the server how many tokens a text has, by POST /tokenize, which llama.cpp, vLLM,
// SGLang and TGI have, each with a body of its own. The error is that it has no such route, or says
// nothing of the kind.
func (c *Client) CountTokens(ctx context.Context, text string) (int, error) {
	body, err := json.Marshal(map[string]any{"model": c.Model,
		"content": text, "add_special": false, // llama.cpp
		"prompt": text, "add_special_tokens": false, // vLLM, SGLang
		"inputs": text, // TGI
	})
	if err != nil {
		return 0, err
	}
	status, code, said, err := c.fetch(ctx, http.MethodPost, "/tokenize", body, briefTimeout)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("POST /tokenize gave %s", status)
	}
	if err != nil {
		return 0, err
	}
	return countOf(said)
}

// countOf reads the number of tokens from what a tokenizer says: a list of them, or an object with
// one, or with their count.
func countOf(said []byte) (int, error) {
	var tokens []json.RawMessage
	if json.Unmarshal(said, &tokens) == nil {
		return len(tokens), nil
	}
	var object struct {
		Count  *int
		Tokens []json.RawMessage
	}
	switch err := json.Unmarshal(said, &object); {
	case err != nil:
		return 0, fmt.Errorf("POST /tokenize gave neither tokens nor a count: %w", err)
	case object.Tokens != nil:
		return len(object.Tokens), nil
	case object.Count != nil && *object.Count >= 0:
		return *object.Count, nil
	}
	return 0, fmt.Errorf("POST /tokenize gave neither tokens nor a count: %s", excerpt(said))
}
