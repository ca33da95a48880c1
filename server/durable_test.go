package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
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

// TestDurableTooLate: an answer that was to wait for a disk which does not come back in time says
// so, and not that it is saved.
func TestDurableTooLate(t *testing.T) {
	stuck := make(chan struct{})
	tap := &filestest.Tap{System: files.OS{}, Before: func(op filestest.Op, _ string) error {
		if op == filestest.Sync {
			<-stuck
		}
		return nil
	}}
	s, _ := start(t, Config{DurableWait: 20 * time.Millisecond}, engine.Config{Model: &echoModel{},
		Dir: t.TempDir(), SaveAfter: time.Hour, Files: tap}, byteText{})
	for name, body := range map[string]string{
		"whole": say("hi"), "stream": say("hi", `"stream":true`), "choices": say("hi", `"n":2`),
	} {
		got := listen(t, s).exchange(t, postTo("/v1/chat/completions", body, "X-Durable: wait",
			"X-Agent-ID: "+name))
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.Contains(got, "X-Durable: saved") ||
			!strings.Contains(got, "X-Durable: failed: not on disk within 20ms") {
			t.Errorf("%s: %q", name, got)
		}
	}
	close(stuck)
	got := listen(t, s).exchange(t, postTo("/v1/chat/completions", say("hi"), "X-Durable: wait",
		"X-Agent-ID: later"))
	if !strings.Contains(got, "X-Durable: ") {
		t.Errorf("with the disk back: %q", got)
	}
}

// TestDurableDeleted: a turn whose agent is deleted before the disk has it is not saved, which is
// the owner's doing: the answer says so, and the log has no error.
func TestDurableDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		tap := &filestest.Tap{System: files.OS{}, Before: func(op filestest.Op, _ string) error {
			if op == filestest.Sync {
				<-stuck
			}
			return nil
		}}
		var log strings.Builder
		s, e := start(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil)), DurableWait: time.Hour},
			engine.Config{Model: &echoModel{}, Dir: t.TempDir(), SaveAfter: time.Hour, Files: tap},
			byteText{})
		defer e.Close()
		ask := asker(t, s)
		chat := func(agent string) chan string {
			return ask(postTo("/v1/chat/completions", say("hi"), "X-Durable: wait", "X-Agent-ID: "+agent))
		}
		bob, ada, deleted := chat("bob"), chat("ada"), ask(del("/v1/agents/ada")) // behind bob's turn
		close(stuck)
		for _, x := range []struct {
			name, got, want string
		}{
			{"bob's turn", <-bob, "X-Durable: saved\r\n"},
			{"ada's turn", <-ada, "X-Durable: failed: superseded\r\n"},
			{"deletion", <-deleted, "HTTP/1.1 204 "},
		} {
			if !strings.Contains(x.got, x.want) {
				t.Errorf("%s: %q, want %q", x.name, x.got, x.want)
			}
		}
		for _, want := range []string{"level=INFO", "agent=ada", "request=", "reason=superseded"} {
			if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "ERROR") {
				t.Errorf("the log has no %s, or an error: %q", want, log.String())
			}
		}
	})
}

// asker returns a function that sends a request, and returns when the server has nothing left to do
// with it but to wait. Its answer comes by the channel.
func asker(t *testing.T, s *Server) func(request string) (answer chan string) {
	l := listen(t, s)
	return func(request string) chan string {
		answer := make(chan string, 1)
		go func() { answer <- l.exchange(t, request) }()
		synctest.Wait()
		return answer
	}
}

// TestDurableFromCreation: an agent is durable from its creation on, although its memory is deleted,
// here because of its age, before the creation is answered, which waits for a step.
func TestDurableFromCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &echoModel{delay: time.Hour}
		s, e := start(t, Config{DurableWait: 24 * time.Hour}, engine.Config{Model: model,
			Dir: t.TempDir(), SaveAfter: 24 * time.Hour, TTL: time.Minute}, byteText{})
		defer e.Close()
		ask := asker(t, s)
		ask(post(say("steps of an hour")))
		for _, x := range []struct {
			name, request, want string
		}{
			{"creation", postTo("/v1/agents", `{"agent_id":"ada","durable":true}`), `"durable":true`},
			{"what is left", get("/v1/agents/ada"), "HTTP/1.1 404 "},
			{"first turn", post(say("hi"), "X-Agent-ID: ada"), "X-Durable: saved\r\n"},
		} {
			if got := <-ask(x.request); !strings.Contains(got, x.want) {
				t.Errorf("%s: %q, want %q", x.name, got, x.want)
			}
		}
	})
}

// TestMarkOnFullDisk: a disk without room for the mark of an agent is told as a full disk.
func TestMarkOnFullDisk(t *testing.T) {
	tap := &filestest.Tap{System: files.OS{}, Before: func(op filestest.Op, _ string) error {
		if op == filestest.Mark {
			return syscall.ENOSPC
		}
		return nil
	}}
	s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: t.TempDir(), Files: tap},
		byteText{})
	for _, request := range []string{
		postTo("/v1/agents", `{"agent_id":"ada","durable":true}`),
		postTo("/v1/agents/ada/pin", ""),
	} {
		got := listen(t, s).exchange(t, request)
		if !strings.HasPrefix(got, "HTTP/1.1 507 ") || !strings.Contains(got, `"disk_full"`) {
			t.Errorf("%q: %q", request, got)
		}
	}
}

// TestDurableAgent: an agent that was created or pinned as durable has every answer wait for the
// disk, until it is told otherwise or deleted.
func TestDurableAgent(t *testing.T) {
	dir := t.TempDir()
	s, e := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: dir, SaveAfter: time.Hour},
		byteText{})
	without, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
	ask := postTo("/v1/chat/completions", say("hi"), "X-Agent-ID: ada")
	for _, test := range []struct {
		s            *Server
		name         string
		request      string
		status, want string
		saved        bool
	}{
		{s, "create", postTo("/v1/agents", `{"agent_id":"ada","durable":true}`), "201", `"durable":true`, false},
		{s, "chat", ask, "200", "", true},
		{s, "with the header, too", postTo("/v1/chat/completions", say("hi"), "X-Agent-ID: ada", "X-Durable: wait"), "200", "", true},
		{s, "path", postTo("/v1/agents/ada/generate", say("hi", `"stream":true`)), "200", ": X-Durable: saved\n\n", true},
		{s, "messages", postTo("/v1/messages", messagesBody("hi"), "X-Agent-ID: ada"), "200", "", true},
		{s, "another agent", postTo("/v1/chat/completions", say("hi"), "X-Agent-ID: bob"), "200", "", false},
		{s, "nobody", post(say("hi")), "200", "", false},
		{s, "list", get("/v1/agents?limit=1"), "200", `"durable":true`, false},
		{s, "pin alone", postTo("/v1/agents/ada/pin", ""), "200", `"pinned":true,"durable":true`, false},
		{s, "no longer", postTo("/v1/agents/ada/unpin", `{"durable":false}`), "200", `"pinned":false,"durable":false`, false},
		{s, "chat again", ask, "200", "", false},
		{s, "another value", postTo("/v1/agents/ada/pin", `{"durable":"yes"}`), "400", `"param":"durable"`, false},
		{s, "pin", postTo("/v1/agents/bob/pin", `{"durable":true}`), "200", `"pinned":true,"durable":true`, false},
		{s, "what is pinned", postTo("/v1/chat/completions", say("hi"), "X-Agent-ID: bob"), "200", "", true},
		{s, "pin nobody", postTo("/v1/agents/eve/pin", `{"durable":true}`), "404", "agent_not_found", false},
		{s, "delete", del("/v1/agents/bob"), "204", "", false},
		{s, "create anew", postTo("/v1/agents", `{"agent_id":"bob"}`), "201", `"durable":false`, false},
		{s, "what was deleted", postTo("/v1/chat/completions", say("hi"), "X-Agent-ID: bob"), "200", "", false},
		{without, "no directory", postTo("/v1/agents", `{"agent_id":"ada","durable":true}`), "400", "agents_not_kept", false},
	} {
		got := listen(t, test.s).exchange(t, test.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+" ") || !strings.Contains(got, test.want) ||
			strings.Contains(got, "X-Durable: saved\r\n") != test.saved {
			t.Errorf("%s: %q, want %s and %s, saved: %t", test.name, got, test.status, test.want, test.saved)
		}
	}
	// It is so after a restart, and although the memory itself is lost.
	listen(t, s).exchange(t, postTo("/v1/agents/ada/pin", `{"durable":true}`))
	e.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*.memory"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		os.Remove(f)
	}
	again, _ := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: dir, SaveAfter: time.Hour},
		byteText{})
	if got := listen(t, again).exchange(t, ask); !strings.Contains(got, "X-Durable: saved\r\n") {
		t.Errorf("after the memory was lost: %q", got)
	}
}
