package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"loadstone/harness/record"
)

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A Prompt is what to ask and how.
type Prompt struct {
	record.Place // of the request in its load; Agent is sent as X-Agent-ID unless ""

	Messages    []Message
	MaxTokens   int
	Temperature float64 // 0: greedy, which makes answers comparable
	Seed        uint64
	Stop        []string
	Canary      string // the secret of the Conversation in the messages, noted in the record; not sent by itself
	NoStream    bool   // ask for one JSON answer instead of a stream
	Logprobs    bool   // ask for the log-probabilities of the two likeliest tokens at each place
	Tools       []json.RawMessage
	Timeout     time.Duration // of this request; 0: the client's

	// What the load does to the request on purpose. A request that ends before is not touched by it.
	CancelAfter  time.Duration // takes it back so long after it was sent; 0 does not
	CancelPieces int           // takes it back when so many pieces of the answer have come; 0 does not
	ReadRate     int           // reads the response at no more than so many bytes a second; 0 as fast as it comes
}

func (c *Client) request(ctx context.Context, p Prompt) (*http.Request, error) {
	type streamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	body := struct {
		Model       string         `json:"model,omitempty"`
		Messages    []Message      `json:"messages"`
		MaxTokens   int            `json:"max_tokens,omitempty"`
		Temperature float64        `json:"temperature"`
		Seed        uint64         `json:"seed,omitempty"`
		Stop        []string       `json:"stop,omitempty"`
		Stream      bool           `json:"stream,omitempty"`
		Options     *streamOptions `json:"stream_options,omitempty"`
		Logprobs    bool           `json:"logprobs,omitempty"`
		Likely      int            `json:"top_logprobs,omitempty"`

		Tools []json.RawMessage `json:"tools,omitempty"`
	}{Model: c.Model, Messages: p.Messages, MaxTokens: p.MaxTokens, Temperature: p.Temperature, Seed: p.Seed, Stop: p.Stop, Tools: p.Tools}
	if p.Logprobs {
		body.Logprobs, body.Likely = true, 2
	}
	if !p.NoStream {
		body.Stream, body.Options = true, &streamOptions{true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if p.Agent != "" {
		req.Header.Set("X-Agent-ID", p.Agent)
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	// A key with no value is not sent. It tells the transport that a request may be sent again which met a connection that the
	// server had closed meanwhile, before a byte of a response: as the clients of OpenAI and Anthropic do, and as must be with
	// servers on cpp-httplib, which close after a stream or two without saying so. It happens on connections used before
	// alone, so a server that hangs up on a request is seen all the same; and the record counts it.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}
