package server

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"loadstone/engine"
)

// TestFullDisk: on a full disk answers go on, and readiness, metrics and the answers' headers say
// so. All of it passes when there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a file system of 1 MiB: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	s, _ := start(t, Config{}, engine.Config{Model: &echoModel{}, Dir: filepath.Join(dir, "agents"),
		SaveWithin: 20 * time.Millisecond}, byteText{})
	ask := func(method, path, body string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	expect := func(when, agent, durable, disk string, full bool) {
		t.Helper()
		w := ask("POST", "/v1/chat/completions", say("hi"), "X-Agent-ID", agent, "X-Durable", "wait")
		if w.Code != http.StatusOK || w.Header().Get("X-Durable") != durable {
			t.Errorf("%s: %d, X-Durable: %q, want %q", when, w.Code, w.Header().Get("X-Durable"), durable)
		}
		w = ask("POST", "/v1/chat/completions", say("hi"), "X-Agent-ID", "other")
		if got := w.Header().Get("X-Durable"); w.Code != 200 || (got == "failed: disk full") != full {
			t.Errorf("%s, not asked for: %d, X-Durable: %q", when, w.Code, got)
		}
		w = ask("GET", "/health/ready", "")
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"disk":"full"`) != full {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
		w = ask("GET", "/metrics", "")
		if !strings.Contains(w.Body.String(), "\nloadstone_disk_full "+disk+"\n") {
			t.Errorf("%s: loadstone_disk_full is not %s", when, disk)
		}
		if strings.Contains(w.Body.String(), `loadstone_save_failures_total{reason="disk_full"} 0`) ==
			full {
			t.Errorf("%s: save failures: %s", when, w.Body)
		}
	}
	expect("with room", "ada", "saved", "0", false)
	for _, agent := range []string{"ada", "other"} { // or they would go to make room
		if w := ask("POST", "/v1/agents/"+agent+"/pin", ""); w.Code != http.StatusOK {
			t.Fatalf("pin: %d %s", w.Code, w.Body)
		}
	}
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("2 MiB fit into 1 MiB")
	}
	expect("on a full disk", "bob", "failed: disk full", "1", true)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	w := ask("GET", "/health/ready", "")
	for began := time.Now(); strings.Contains(w.Body.String(), "disk") &&
		time.Since(began) < time.Minute; w = ask("GET", "/health/ready", "") {
		time.Sleep(10 * time.Millisecond)
	}
	if strings.Contains(w.Body.String(), "disk") {
		t.Errorf("with room again: %s", w.Body)
	}
	w = ask("GET", "/v1/agents/bob", "")
	if !strings.Contains(w.Body.String(), `"dirty":false`) ||
		!strings.Contains(w.Body.String(), `"unsaved_seconds":0,`) {
		t.Errorf("bob, with room again: %s", w.Body)
	}
}
