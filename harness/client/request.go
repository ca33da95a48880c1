package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Message is one message of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant or tool
	Content string `json:"content"`

	// ToolCalls is the JSON array of an assistant's tool calls, as OpenAI has it. A message that
	// has it may have no content: then none is sent.
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"` // of a tool's result
	Name       string          `json:"name,omitempty"`

	// Source stands for Content in the prompt's digest where Content has answers of the server in it:
	// the same text with the answers' digests in their places. "": Content stands for itself.
	Source string `json:"-"`

	// Raw is the message byte for byte, in the form of the prompt's Form: a message of chat or of
	// messages, an item of responses' input, or, of the role system, Anthropic's system. A client of
	// that API sends it in place of the other fields; nil: there is none.
	Raw json.RawMessage `json:"-"`

	// Wire, unless nil, keeps how the message is written in an API, for the next prompts that have it.
	// The message must not change after the first. Copies of a message share it.
	Wire *Wire `json:"-"`
}

// A Prompt is a question and how to ask it.
type Prompt struct {
	record.Place // of the request in its load; Agent is sent as X-Agent-ID unless ""

	Messages    []Message
	MaxTokens   int     // of the answer; 0 lets the server decide
	Temperature float64 // 0: greedy, which makes answers comparable
	Seed        uint64  // of the sampling; 0 lets the server decide
	Stop        []string
	Tools       []json.RawMessage // in the form of Form
	Schema      json.RawMessage   // JSON schema that the answer holds to; nil: any text
	ExactTokens bool              // the answer has MaxTokens, where the server holds to ignore_eos

	// Form is the API in whose form Tools, Fields and the messages' Raw are; "" is Chat. A client of
	// another API makes of the messages and tools what its own has for them.
	Form API
	// Fields, unless nil, are those of a body that was recorded, in its order. A client of the API
	// Form sends them as they are, but for the model, which is the client's, and the bound on the
	// answer. Messages and tools take the places of those without a value.
	Fields   []load.Field
	NoTrace  bool // send no traceparent, as of what is asked again
	NoStream bool // ask for the answer in one piece instead of a stream
	Logprobs bool // ask for the log-probabilities of the two likeliest tokens at each place

	// Canary is the secret word of the conversation, which the messages have in them. It is noted
	// in the record and not sent by itself.
	Canary  string
	Timeout time.Duration // of this request; 0: the client's

	// OnPiece, unless nil, is called with each piece of the answer's text as it arrives, from the
	// goroutine that calls Ask.
	OnPiece func(text string)

	// What the load does to the request on purpose. A request that ends earlier is not affected.
	CancelAfter  time.Duration // cancels it this long after it was sent; 0: never
	CancelPieces int           // cancels it when so many pieces of the answer have come; 0: never
	ReadRate     int           // reads the response at most at so many bytes a second; 0: no limit

	out *outgoing // memory for the body
}

// oneWrite is the longest body that the transport sends together with the head of its request, in
// one write of its buffer. It does so only with readers of the standard library's, which cannot say
// when memory may be used again, so that such a body has its own.
const oneWrite = 3 << 10

// Values of headers that no request changes.
var jsonType, identity = []string{"application/json"}, []string{"identity"}

// request is the HTTP request for a prompt, and its body, of which the caller is a user until all
// of the answer is read; nil where the body has memory of its own.
func (c *Client) request(ctx context.Context, p *Prompt) (*http.Request, *outgoing, error) {
	out := newOutgoing()
	p.out = out
	d := c.dialectOf(p)
	body, err := d.bodyOf(c.Model, p)
	if err == nil && len(c.Body) > 0 {
		body, err = c.Body.Of(body)
		out.forget() // the body's fields are in another order now
	}
	if err != nil {
		return nil, nil, err
	}
	out.bytes = body
	var small io.Reader
	if len(body) <= oneWrite {
		small = bytes.NewReader(bytes.Clone(body))
		out.done()
		out = nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+d.path, small)
	if err != nil {
		return nil, nil, err
	}
	if out != nil {
		req.GetBody, req.ContentLength = out.reader, int64(len(body))
		if req.Body, err = out.reader(); err != nil {
			return nil, nil, err
		}
	}
	req.Header["Content-Type"] = jsonType
	req.Header["Accept-Encoding"] = identity // see decoded
	if p.Agent != "" {
		req.Header.Set("X-Agent-ID", p.Agent)
	}
	if p.Agent != "" && !p.NoTrace {
		req.Header.Set("Traceparent", p.Place.Traceparent(c.Traced))
	}
	if d.api == Messages {
		req.Header.Set("Anthropic-Version", messagesVersion)
		if c.Key != "" {
			req.Header.Set("X-Api-Key", c.Key)
		}
	}
	c.authorize(req)
	// A header without a value is not sent. This one allows the transport to send the request again
	// if the server had closed its connection meanwhile and no byte of a response came: as
	// the clients of OpenAI and Anthropic do, and as is needed with servers on cpp-httplib, which
	// close a connection after a stream or two without saying so. It happens only on connections
	// that were used before, so a server that hangs up on a request is found out all the same; and
	// the record counts it.
	req.Header["Idempotency-Key"] = nil
	return req, out, nil
}
