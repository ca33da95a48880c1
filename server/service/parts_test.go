package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/internal/freeport"
	"loadstone/metal"
)

// TestParts: two processes, each with a part of a model, answer as one process that has all of it, and
// end together. Where the other part is killed, requests fail and say so.
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
		other.Process.Kill()
		other.Wait()
		if text, status := ask(first, "lost"); status != http.StatusInternalServerError {
			t.Errorf("without the other part: %d %q", status, text)
		}
		first.Process.Signal(syscall.SIGTERM)
		if code := first.end(t); code != 0 {
			t.Errorf("exit code %d, stderr %s", code, &first.stderr)
		}
	})
}
