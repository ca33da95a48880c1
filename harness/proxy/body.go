package proxy

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// A hash identifies a text within this process.
type hash [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashOf(text []byte) hash {
	return hash{maphash.Bytes(seeds[0], text), maphash.Bytes(seeds[1], text)}
}

// and returns the hash of the texts of h followed by those of next.
func (h hash) and(next hash) hash {
	pair := [2]hash{h, next}
	return hash{maphash.Comparable(seeds[0], pair), maphash.Comparable(seeds[1], pair)}
}

// A body is the part of a request's body that a recording needs.
type body struct {
	fields    []load.Field // in their order; system, messages and tools without their values
	system    json.RawMessage
	said      []json.RawMessage // messages or items, or one text
	tools     []json.RawMessage
	hasTools  bool
	maxTokens int    // 0 if not known
	previous  string // previous_response_id of the responses API
	name      string // the session's name; "" if the body has none
	stores    bool   // the server stores the answer (responses API)
}

// decoded undoes the content encoding of a body.
func decoded(encoding string, text []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity":
		return text, nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(text))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(text))
	default:
		return nil, fmt.Errorf("a body is encoded as %s", encoding)
	}
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxBody))
	if errors.Is(err, io.ErrUnexpectedEOF) { // the answer broke off
		err = nil
	}
	return plain, err
}

// parseBody parses the body of a request of an API.
func parseBody(api client.API, text []byte) (*body, error) {
	b := &body{stores: api == client.Responses}
	err := splitObject(text, func(name string, value json.RawMessage) error {
		return b.take(api, load.Field{Name: name, Value: value})
	})
	return b, err
}

// take adds a field to the body.
func (b *body) take(api client.API, f load.Field) (err error) {
	switch {
	case f.Name == "messages" && (api == client.Chat || api == client.Messages),
		f.Name == "input" && api == client.Responses && f.Value[0] == '[':
		b.said, err = splitArray(f.Value)
		f.Value = nil
	case f.Name == "input" && api == client.Responses && f.Value[0] == '"':
		b.said = []json.RawMessage{f.Value}
		f.Value = nil
	case f.Name == "prompt" && api == client.Completions && f.Value[0] == '"':
		b.said = []json.RawMessage{f.Value}
		f.Value = nil
	case f.Name == "system" && api == client.Messages && string(f.Value) != "null":
		b.system = f.Value
		f.Value = nil
	case f.Name == "tools" && f.Value[0] == '[':
		b.tools, err = splitArray(f.Value)
		b.hasTools, f.Value = true, nil
	case f.Name == "previous_response_id" && api == client.Responses:
		if json.Unmarshal(f.Value, &b.previous) == nil {
			return nil // a replay sends the whole conversation instead
		}
	}
	switch f.Name {
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		json.Unmarshal(f.Value, &b.maxTokens) // stays 0 if it is no number
	case "metadata":
		if name := nameIn(f.Value); name != "" {
			b.name = name
		}
	case "store":
		b.stores = b.stores && string(f.Value) != "false"
	case "prompt_cache_key":
		json.Unmarshal(f.Value, &b.name)
	}
	b.fields = append(b.fields, f)
	return err
}

// nameIn returns the session's name in the metadata of a request of Claude Code, which is
// {"user_id":"user_…_account_…_session_NAME"} or {"user_id":"{\"session_id\":\"NAME\",…}"}. It
// returns "" for other values: they name a user, who has many sessions.
func nameIn(metadata json.RawMessage) string {
	var m struct {
		User string `json:"user_id"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return ""
	}
	var inner struct {
		Session string `json:"session_id"`
	}
	if json.Unmarshal([]byte(m.User), &inner) == nil && inner.Session != "" {
		return inner.Session
	}
	if _, name, ok := strings.Cut(m.User, "_session_"); ok {
		return name
	}
	return ""
}

// A message is the part of a conversation's message that a recording needs.
type message struct {
	role    string
	kind    string // type of an item of the responses API
	results bool   // it contains results of tools
}

// look parses a message of any API.
func look(raw json.RawMessage) message {
	if len(raw) == 0 || raw[0] != '{' {
		return message{role: "user"}
	}
	var m struct {
		Role    string          `json:"role"`
		Type    string          `json:"type"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return message{}
	}
	out := message{role: m.Role, kind: m.Type,
		results: m.Role == "tool" || strings.HasSuffix(m.Type, "_output")}
	if len(m.Content) > 0 && m.Content[0] == '[' {
		var blocks []struct {
			Type string `json:"type"`
		}
		json.Unmarshal(m.Content, &blocks)
		out.results = out.results || slices.ContainsFunc(blocks,
			func(b struct {
				Type string `json:"type"`
			}) bool {
				return b.Type == "tool_result"
			})
	}
	if out.role == "" {
		switch {
		case out.results:
			out.role = "tool"
		case strings.HasSuffix(m.Type, "_call"), m.Type == "reasoning":
			out.role = "assistant"
		}
	}
	return out
}

// normal returns the form in which a message is compared with those of earlier requests: without
// cache_control, and with a text content as a list of one part.
func normal(raw json.RawMessage) []byte {
	var v any
	values := json.NewDecoder(bytes.NewReader(raw))
	values.UseNumber()
	if values.Decode(&v) != nil {
		return raw
	}
	v = unmarked(v)
	if m, ok := v.(map[string]any); ok {
		if text, ok := m["content"].(string); ok {
			m["content"] = []any{map[string]any{"type": "text", "text": text}}
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return text
}

// unmarked removes cache_control from a value.
func unmarked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "cache_control")
		for name, inner := range v {
			v[name] = unmarked(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = unmarked(inner)
		}
	}
	return v
}
