package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/wire"
)

// TestDisconnect: the blocks of a client that goes away are free again, whether it streams or not.
func TestDisconnect(t *testing.T) {
	for _, body := range []string{say("a long story"), say("a long story", `"stream":true`)} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			model := &echoModel{gate: make(chan struct{})}
			s, e := start(t, Config{AccessLog: LineLog(&log)}, engine.Config{Model: model},
				byteText{})
			t.Cleanup(func() { close(model.gate) })
			l := listen(t, s)

			c := l.dial(t)
			go io.Copy(io.Discard, c)
			io.WriteString(c, post(body))
			for range 3 {
				model.gate <- struct{}{}
				synctest.Wait()
			}
			if st := e.Stats(); st.Running != 1 || st.Used == 0 {
				t.Fatalf("before: %d running, %d blocks used", st.Running, st.Used)
			}
			c.Close()
			synctest.Wait()
			if want := "REQUEST: POST /v1/chat/completions STATUS: 499 LATENCY: 0.00ms\n"; log.String() != want {
				t.Errorf("log %q, want %q", log.String(), want)
			}
			model.gate <- struct{}{}
			synctest.Wait()
			if st := e.Stats(); st.Running != 0 || st.Used != 0 || st.Cancelled != 1 {
				t.Errorf("one step later: %d running, %d blocks used, %d cancelled", st.Running,
					st.Used, st.Cancelled)
			}
		})
	}
}

// TestSlowReader: a client that stops reading is given up after writeTimeout and costs no other
// client anything, while a stream that is read may take any time.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, _ := start(t, Config{AccessLog: LineLog(&log)},
			engine.Config{Model: &echoModel{delay: 10 * time.Second}}, byteText{})
		l := listen(t, s)

		slow := l.dial(t)
		defer slow.Close()
		io.WriteString(slow, post(say("0123456789", `"stream":true`)))
		synctest.Wait() // until the request is in its first step
		began := time.Now()
		answer := l.exchange(t, post(say("0123456789", `"stream":true`)))
		if took := time.Since(began); took < 110*time.Second ||
			!strings.Contains(answer, "data: [DONE]") {
			t.Errorf("a stream that is read ended after %v with %q", took, answer)
		}
		if !strings.Contains(log.String(), "STATUS: 499 LATENCY: 40000.00ms\n") {
			t.Errorf("the client that does not read is not given up 30 s after the first token: %q",
				log.String())
		}
	})
}

// TestManyMessagesOfOneRole: the messages that become one are copied once, not once for each.
func TestManyMessagesOfOneRole(t *testing.T) {
	s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
	message := `{"role":"user","content":"` + strings.Repeat("x", 250) + `"}`
	body := `{"max_tokens":1,"messages":[` + message + strings.Repeat(","+message, 4000) + "]}"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := listen(t, s).exchange(t, postTo("/v1/messages", body))
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 200 || !strings.Contains(got, "prompt is too long") {
		t.Errorf("a body of 1 MiB takes %d MiB: %q", n, got)
	}
}

// TestKeepAlive: a client that waits hears something every 15 s, before the first token and between
// two tokens, in a form that its SDK skips, and then gets its answer. A failure after that is an
// event.
func TestKeepAlive(t *testing.T) {
	for _, test := range []struct{ path, body, before, between, first string }{
		{"/v1/chat/completions", say("ab", `"stream":true`), wire.KeepAlive, wire.KeepAlive, `"delta":{"role"`},
		{"/v1/completions", `{"prompt":"ab","temperature":0,"stream":true}`, wire.KeepAlive, wire.KeepAlive, `"text":"a"`},
		{"/v1/messages", messagesBody("ab", `"stream":true`), wire.KeepAlive, "event: ping\ndata: {\"type\":\"ping\"}\n\n", "event: message_start"},
	} {
		synctest.Test(t, func(t *testing.T) {
			model := &echoModel{delay: 40 * time.Second}
			s, _ := start(t, Config{}, engine.Config{Model: model}, byteText{})
			l := listen(t, s)
			got := l.exchange(t, postTo(test.path, test.body))
			before, after, ok := strings.Cut(got, test.first)
			if !ok || strings.Count(before, test.before) != 2 ||
				strings.Count(after, test.between) < 4 ||
				!strings.Contains(after, "decode;dur=80000.00") {
				t.Errorf("%s: %q", test.path, got)
			}
			model.broken = errors.New("step: out of luck")
			if got := l.exchange(t, postTo(test.path, test.body)); !strings.HasPrefix(got,
				"HTTP/1.1 200 ") || !strings.Contains(got, "out of luck") {
				t.Errorf("%s that fails: %q", test.path, got)
			}
		})
	}
}

// TestKeepAliveBetweenPieces: a client hears that the server is there while tokens come of which it
// gets nothing yet, here because they may be the beginning of a stop string.
func TestKeepAliveBetweenPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, engine.Config{Model: &echoModel{delay: 10 * time.Second}}, byteText{})
		got := listen(t, s).exchange(t, post(say("aaaaaa", `"stream":true`, `"stop":"aaaaaab"`)))
		_, after, _ := strings.Cut(got, `"delta":{"role"`)
		silent, _, ok := strings.Cut(after, `"delta":{"content":"aaaaaa"}`)
		if n := strings.Count(silent, wire.KeepAlive); !ok || n != 3 {
			t.Errorf("%d times in a minute: %q", n, got)
		}
	})
}

// TestKeepAliveOfChoices: a client that waits for several answers hears that the server is there.
func TestKeepAliveOfChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &echoModel{delay: 40 * time.Second}
		s, _ := start(t, Config{}, engine.Config{Model: model}, byteText{})
		l := listen(t, s)
		body := say("ab", `"stream":true,"n":2`)
		got := l.exchange(t, post(body))
		before, after, ok := strings.Cut(got, `"delta":{"role"`)
		if !ok || strings.Count(before, wire.KeepAlive) != 2 ||
			strings.Count(after, wire.KeepAlive) < 4 || !strings.Contains(after, "data: [DONE]") {
			t.Errorf("%q", got)
		}
		model.broken = errors.New("step: out of luck")
		if got := l.exchange(t, post(body)); !strings.HasPrefix(got, "HTTP/1.1 200 ") ||
			!strings.Contains(got, "out of luck") {
			t.Errorf("one that fails: %q", got)
		}
	})
}

// TestAccessLog: a record has all its attributes, and nothing of the prompt or the answer.
func TestAccessLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, _ := start(t,
			Config{AccessLog: slog.New(slog.NewTextHandler(&log, nil)), Keys: keysOf("sk-1")},
			engine.Config{Model: &echoModel{delay: time.Millisecond}}, byteText{})
		listen(t, s).exchange(t,
			post(say("a secret"), "X-Agent-ID: ada", "X-Request-ID: r1", "X-Api-Key: sk-1"))
		synctest.Wait()
		want := "time=2000-01-01T00:00:00.009Z level=INFO msg=request method=POST path=/v1/chat/completions status=200 latency_ms=9 route=/v1/chat/completions request=r1 principal=of-sk-1" +
			" agent=ada stream=false tier=cold miss=new_agent prompt_tokens=13 cached_tokens=0 output_tokens=8 queue=0s prefill=1ms\n"
		if log.String() != want {
			t.Errorf("log %q, want %q", log.String(), want)
		}
	})
}

// TestSlowBody: a body that does not arrive is given up after bodyTimeout. Where no handler waits
// for it, net/http does so before it sends the answer, which is then lost.
func TestSlowBody(t *testing.T) {
	for path, want := range map[string]string{"/v1/chat/completions": "HTTP/1.1 408 ",
		"/v1/models": ""} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
			began := time.Now()
			answer := listen(t, s).exchange(t,
				"POST "+path+" HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{")
			if took := time.Since(began); !strings.HasPrefix(answer, want) || took != bodyTimeout {
				t.Errorf("%s after %v: %q", path, took, answer)
			}
		})
	}
}

// TestDrainCutsOff: when the time of a drain is over, a stream ends with an error in place of a
// finish.
func TestDrainCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, engine.Config{Model: &echoModel{delay: 10 * time.Second}},
			byteText{})
		l := listen(t, s)
		answer := make(chan string)
		go func() { answer <- l.exchange(t, post(say("0123456789", `"stream":true`))) }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v, want its context's error", err)
		}
		got := <-answer
		if !strings.Contains(got, `data: {"error":{`) ||
			!strings.Contains(got, `"code":"draining"`) || strings.Contains(got, "[DONE]") ||
			strings.Contains(got, `"finish_reason":"`) {
			t.Errorf("the stream that was cut off: %q", got)
		}
	})
}

// TestFailureWithinStream: after the head has been sent, a failure of the model is an event and not
// a finish.
func TestFailureWithinStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log, inside strings.Builder
		model := &echoModel{delay: time.Second, broken: errors.New("step: out of luck"), from: 17}
		s, _ := start(t,
			Config{AccessLog: LineLog(&log), Log: slog.New(slog.NewTextHandler(&inside, nil))},
			engine.Config{Model: model}, byteText{})
		l := listen(t, s)
		got := l.exchange(t, post(say("0123456789", `"stream":true`), "X-Request-ID: r1"))
		synctest.Wait()
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, `"content":"2"`) ||
			!strings.Contains(got,
				`data: {"error":{"message":"model failed in a step of 1 sequences: step: out of luck"`) || strings.Contains(got, "[DONE]") {
			t.Errorf("the stream: %q", got)
		}
		if !strings.Contains(log.String(), "STATUS: 500 ") ||
			!strings.Contains(inside.String(), "request=r1") {
			t.Errorf("the logs: %q, %q", log.String(), inside.String())
		}
	})
}

// panicText panics after a number of tokens.
type panicText struct {
	byteText
	after int
}

func (p *panicText) AppendToken(dst []byte, id int32) []byte {
	if p.after--; p.after < 0 {
		panic("a bug")
	}
	return p.byteText.AppendToken(dst, id)
}

// TestPanic: a bug costs only its own request, which is told, and everything else goes on.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log, inside strings.Builder
		text := &panicText{}
		s, e := start(t,
			Config{AccessLog: LineLog(&log), Log: slog.New(slog.NewTextHandler(&inside, nil))},
			engine.Config{Model: &echoModel{delay: time.Millisecond}}, text)
		l := listen(t, s)
		got := l.exchange(t, post(say("hello"), "X-Request-ID: r1"))
		if !strings.HasPrefix(got, "HTTP/1.1 500 ") ||
			!strings.Contains(got, "X-Should-Retry: false\r\n") ||
			!strings.Contains(got, `"code":"internal_error"`) {
			t.Errorf("a panic before the head: %q", got)
		}
		text.after = 2
		got = l.exchange(t, post(say("hello", `"stream":true`), "X-Request-ID: r2"))
		if !strings.Contains(got, `"content":"he"`) && !strings.Contains(got, `data: {"error":{`) ||
			strings.Contains(got, "[DONE]") {
			t.Errorf("a panic in a stream: %q", got)
		}
		for _, want := range []string{"request=r1", "request=r2", "a bug", "AppendToken"} {
			if !strings.Contains(inside.String(), want) {
				t.Errorf("the log does not say %s: %q", want, inside.String())
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if strings.Count(log.String(), "STATUS: 500 ") != 2 || e.Stats().Used != 0 {
			t.Errorf("afterwards %d blocks are used; log %q", e.Stats().Used, log.String())
		}
		text.after = 1 << 30
		if got := l.exchange(t, post(say("hello"))); !strings.Contains(got, `"content":"hello"`) {
			t.Errorf("the next request: %q", got)
		}
	})
}

// TestTrailers: net/http's client gets a stream's timing in the head, and all of it in the trailer.
func TestTrailers(t *testing.T) {
	s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}}, byteText{})
	hs := httptest.NewServer(s)
	defer hs.Close()
	resp, err := http.Post(hs.URL+"/v1/chat/completions", "application/json",
		strings.NewReader(say("hi", `"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, bufio.NewReader(resp.Body)); err != nil {
		t.Fatal(err)
	}
	head, tail := resp.Header.Get(serverTiming), resp.Trailer.Get(serverTiming)
	if !strings.Contains(head, "prefill;dur=") || strings.Contains(head, "decode") ||
		!strings.Contains(tail, "decode;dur=") || resp.Trailer.Get(trailerTotal) == "" {
		t.Errorf("Server-Timing %q, then %q; %s %q", head, tail, trailerTotal,
			resp.Trailer.Get(trailerTotal))
	}
}

func TestRetryAfter(t *testing.T) {
	for d, want := range map[time.Duration]string{1: "1", time.Second: "1",
		1500 * time.Millisecond: "2", time.Hour: "60"} {
		if got := retryAfter(d); got != want {
			t.Errorf("retryAfter(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestImports: the server needs the standard library, the engine and their internal packages, and
// nothing else.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f",
		"{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	want := []string{"loadstone/internal/files", "loadstone/internal/seal", "loadstone/internal/objects",
		"loadstone/engine", "loadstone/engine/grammar", "loadstone/server"}
	got := slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
		return strings.HasPrefix(path, "loadstone/engine/internal/") ||
			strings.HasPrefix(path, "loadstone/server/internal/")
	})
	if !slices.Equal(got, want) {
		t.Errorf("imports %v, want %v", got, want)
	}
}

// TestAgentBusy: an agent over its own limit gets the same status as with a full queue, so that
// clients wait and try again.
func TestAgentBusy(t *testing.T) {
	got := classify(fmt.Errorf("submit: %w",
		&engine.AgentError{InFlight: 2, Limit: 2, RetryAfter: 300 * time.Millisecond}))
	if got.status != 429 || got.code != "agent_busy" || got.kind != "rate_limit_error" ||
		got.retry != time.Second || !slices.Contains(refusals, got.code) {
		t.Errorf("%+v", *got)
	}
}
