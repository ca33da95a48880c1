package server

import (
	"strings"
	"testing"
	"time"

	"loadstone/engine"
)

// TestDurableHeader: X-Durable: wait is held or refused by name, never passed over.
func TestDurableHeader(t *testing.T) {
	s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: t.TempDir(),
		SaveAfter: time.Hour}, byteText{})
	without, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
	wait, agent, saved := "X-Durable: wait", "X-Agent-ID: ada", "X-Durable: saved\r\n"
	for _, test := range []struct {
		s            *Server
		name         string
		request      string
		status, want string
	}{
		{s, "chat", postTo("/v1/chat/completions", say("hi"), wait, agent), "200", saved},
		{s, "chat again", postTo("/v1/chat/completions", say("hi"), wait, agent), "200",
			saved},
		{s, "completion", postTo("/v1/completions", `{"prompt":"hi","temperature":0}`, wait, agent), "200",
			saved},
		{s, "messages", postTo("/v1/messages", messagesBody("hi"), wait, agent), "200",
			saved},
		{s, "agent of the path", postTo("/v1/agents/ada/generate", say("hi"), wait), "200",
			saved},
		{s, "stream", postTo("/v1/chat/completions", say("hi", `"stream":true`), wait, agent), "200",
			": X-Durable: saved\n\n"},
		{s, "the stream's trailer", postTo("/v1/messages", messagesBody("hi", `"stream":true`), wait,
			agent), "200", saved},
		{s, "another value", postTo("/v1/chat/completions", say("hi"), "X-Durable: yes", agent), "400",
			`"param":"X-Durable"`},
		{s, "nobody", postTo("/v1/chat/completions", say("hi"), wait), "400", "names no agent"},
		{s, "nobody, Anthropic's", postTo("/v1/messages", messagesBody("hi"), wait), "400",
			"names no agent"},
		{without, "no directory", postTo("/v1/chat/completions", say("hi"), wait, agent), "400",
			"agents_not_kept"},
	} {
		got := listen(t, test.s).exchange(t, test.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+" ") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %s and %s", test.name, got, test.status, test.want)
		}
	}
	got := listen(t, s).exchange(t, postTo("/v1/chat/completions", say("hi"), agent))
	if strings.Contains(got, "X-Durable") {
		t.Errorf("not asked for: %q", got)
	}
}
