package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/poll"

	"loadstone/engine/catalog"
	"loadstone/internal/freeport"
	"loadstone/metal"
)

// TestParts: two processes, each with a part of a model, answer as one process that has all of it,
// and end together. Where the other part is killed, a request that waits for it fails, no others
// are taken, and the server says that it is not ready, and why.
func TestParts(t *testing.T) {
	if !metal.Available {
		t.Skip("the mlx backend alone has parts")
	}
	ask := func(p *process, word string) (text string, status int) {
		t.Helper()
		resp := p.chat(t, fmt.Sprintf(`{"messages":[{"role":"user","content":"What is %s?"}],"max_tokens":24,
			"temperature":0}`, word))
		var body struct {
			Choices []struct{ Message message }
			Error   struct{ Message string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if len(body.Choices) == 0 {
			return body.Error.Message, resp.StatusCode
		}
		return body.Choices[0].Message.Content, resp.StatusCode
	}
	startParts := func(model string, flags ...string) (first, other *process) {
		list := freeport.Consecutive(2) + "," + freeport.Consecutive(2)
		flags = append(flags, "-parts", list)
		other = startOnly(t, append(flags, "-backend", "mlx", "-model", model, "-part", "1")...)
		first = startOn(t, model, "mlx", flags...)
		other.line(t, `^(loadstone: part 1 of `+model+`)$`)
		return first, other
	}
	t.Run("answers", func(t *testing.T) {
		// The embedded model is chaotic, so that it cannot be compared (see TestRefMatchesMLX).
		if _, err := catalog.Open("smollm2"); err != nil {
			t.Skip(err)
		}
		alone := startOn(t, "smollm2", "mlx", "-activations", "16")
		first, other := startParts("smollm2", "-activations", "16")
		for _, word := range []string{"iron", "the north"} {
			want, _ := ask(alone, word)
			if got, status := ask(first, word); got != want || status != http.StatusOK {
				t.Errorf("%s: %d %q, one process says %q", word, status, got, want)
			}
		}
		first.Process.Signal(syscall.SIGTERM)
		for _, p := range []*process{first, other} {
			if code := p.end(t); code != 0 {
				t.Errorf("exit code %d, stderr %s", code, &p.stderr)
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		first, other := startParts("tiny")
		if text, status := ask(first, "here"); status != http.StatusOK {
			t.Fatalf("%d %q", status, text)
		}
		// A request that waits for the other part in the middle of a step.
		other.Process.Signal(syscall.SIGSTOP)
		answered := make(chan string, 1)
		go func() {
			resp, err := http.Post(first.url+"/v1/completions", "application/json",
				strings.NewReader(`{"prompt":"Once","max_tokens":9}`))
			if err != nil {
				answered <- err.Error()
				return
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			answered <- fmt.Sprint(resp.StatusCode, " ", string(text), err)
		}()
		poll.WaitOn(t, func(poll.LogT) poll.Result {
			if strings.Contains(first.metrics(t), "\nloadstone_running 1\n") {
				return poll.Success()
			}
			return poll.Continue("the request does not run")
		}, poll.WithTimeout(30*time.Second), poll.WithDelay(10*time.Millisecond))
		other.Process.Kill()
		other.Wait()
		const lost = "part 1, of parts 0 to 1, is lost"
		if text := <-answered; !strings.HasPrefix(text, "500 ") || !strings.Contains(text, lost) {
			t.Errorf("a request under way: %s", text)
		}
		for path, want := range map[string]int{"/health/ready": 503, "/health": 503, "/health/live": 200} {
			resp, err := http.Get(first.url + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want ||
				want == 503 && !(strings.Contains(string(body), `"reason":"model_lost"`) &&
					strings.Contains(string(body), lost)) {
				t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, err)
			}
		}
		if text, status := ask(first, "lost"); status != 503 || !strings.Contains(text, lost) {
			t.Errorf("without the other part: %d %q", status, text)
		}
		first.Process.Signal(syscall.SIGTERM)
		if code := first.end(t); code != 0 {
			t.Errorf("exit code %d, stderr %s", code, &first.stderr)
		}
	})
}
