package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// An API is one of the ways to ask a server of models over HTTP.
type API string

// The APIs. A Client without one speaks Chat.
const (
	Chat        API = "chat"        // OpenAI's chat completions
	Completions API = "completions" // OpenAI's older completions of one text
	Messages    API = "messages"    // Anthropic's
	Responses   API = "responses"   // OpenAI's newer one, of which nothing is stored on the server
)

// Aspect is the API as reports and the identities of loads have it: "" is Chat, in which all were
// once.
func (a API) Aspect() string {
	if a == Chat {
		return ""
	}
	return string(a)
}

// APIs are all there are, in the order in which FindAPI tries them.
var APIs = []API{Chat, Messages, Responses, Completions}

// ParseAPI reads the name of an API.
func ParseAPI(name string) (API, error) {
	for _, api := range APIs {
		if string(api) == name {
			return api, nil
		}
	}
	return "", fmt.Errorf("%q is no API; there are %s, %s, %s and %s", name, Chat, Completions,
		Messages, Responses)
}

// A dialect is how one API asks and answers. All of them are read into a completion.
type dialect struct {
	api   API
	path  string
	limit string // the field of a request that bounds the answer
	end   string // what ends a stream, in words

	body         func(model string, p *Prompt) ([]byte, error)
	conversation func(messages []Message) (conversation, error)

	event func(v *completion, data []byte) error // reads an event of a stream
	whole func(v *completion, text []byte) error // reads an answer in one piece, or an error
}

var dialects = map[API]*dialect{
	Chat: {Chat, "/v1/chat/completions", "max_tokens", "[DONE]",
		chatBody, chatConversation, (*completion).parse, (*completion).parse},
	Completions: {Completions, "/v1/completions", "max_tokens", "[DONE]",
		completionsBody, completionsConversation, (*completion).parse, (*completion).parse},
	Messages: {Messages, "/v1/messages", "max_tokens", "message_stop",
		messagesBody, messagesConversation, (*completion).parseMessageEvent, (*completion).parseMessage},
	Responses: {Responses, "/v1/responses", "max_output_tokens", "response.completed",
		responsesBody, responsesConversation, (*completion).parseResponseEvent,
		(*completion).parseResponse},
}

// bodyOf is the body of the request for a prompt.
func (d *dialect) bodyOf(model string, p *Prompt) ([]byte, error) {
	if cmp.Or(p.Form, Chat) != d.api {
		if p.Form != "" && p.Form != Chat || p.Fields != nil || p.raw() {
			own, err := p.inChat()
			if err != nil {
				return nil, err
			}
			p = own
		}
	} else if p.Fields != nil {
		return recordedBody(d, model, p)
	}
	return d.body(model, p)
}

// dialectOf is that in which a prompt is asked.
func (c *Client) dialectOf(p *Prompt) *dialect {
	switch form := cmp.Or(p.Form, Chat); {
	case p.Fields != nil && slices.Contains(c.Forms, form):
		return dialects[form]
	case c.API == "":
		return dialects[Chat]
	}
	return dialects[c.API]
}

// An UnsayableError says that an API has no words for what a prompt wants. The request is not sent.
type UnsayableError struct {
	API  API
	What string
}

func (e *UnsayableError) Error() string {
	return fmt.Sprintf("the %s API has no %s", e.API, e.What)
}

// A NoAPIError says that a server answers on no route that the client knows.
type NoAPIError struct{ URL string }

func (e *NoAPIError) Error() string {
	var paths []string
	for _, api := range APIs {
		paths = append(paths, dialects[api].path)
	}
	return fmt.Sprintf("%s has none of the routes %s", e.URL, strings.Join(paths, ", "))
}

// FindAPI returns the first of APIs that the server has. The client's own is left as it is.
func (c *Client) FindAPI(ctx context.Context) (API, error) {
	for _, api := range APIs {
		if has, err := c.Has(ctx, api); has || err != nil {
			return api, err
		}
	}
	return "", &NoAPIError{c.URL}
}

// Has reports whether the server has a route of an API: to a request that asks nothing it answers
// something other than that there is no such route or method.
func (c *Client) Has(ctx context.Context, api API) (bool, error) {
	code, err := c.probe(ctx, dialects[api].path)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err != nil:
		return false, &UnreachableError{c.URL, err}
	}
	return code != http.StatusNotFound && code != http.StatusMethodNotAllowed &&
		code != http.StatusNotImplemented, nil
}

// probe returns the status of the answer to a request without a question, whose answer, if a server
// gives one all the same, is one token.
func (c *Client) probe(ctx context.Context, path string) (int, error) {
	timed, cancel := context.WithTimeout(ctx, briefTimeout)
	defer cancel()
	req, err := c.plainRequest(timed, http.MethodPost, path, []byte(`{"max_tokens":1}`))
	if err != nil {
		return 0, err
	}
	res, err := c.send(c.http, req)
	switch {
	case timed.Err() != nil: // it is at work on something
		return http.StatusOK, nil
	case err != nil && statusOf(err) != 0:
		return statusOf(err), nil
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return http.StatusOK, nil // it took the request, and dropped the connection for what is in it
	case err != nil:
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}
