package service

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"loadstone/internal/seal"
)

// TestSealKey: with a key, nothing that was said is on the disk, and a restart with the key goes on
// from it. With another key, or none, the server does not start, says which key it needs, and
// leaves all as it is. The only memory's name of its key, damaged, keeps no server from starting.
func TestSealKey(t *testing.T) {
	dir := t.TempDir()
	agents := filepath.Join(dir, "agents")
	keyFile := func(name string, lines ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := strings.Repeat("1b", 32), strings.Repeat("2b", 32)
	first, second := keyFile("first", "# ours", one), keyFile("second", two)
	both := keyFile("both", two, one)
	ask := func(p *process, path, body string) string {
		t.Helper()
		r, err := http.NewRequest("POST", p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Agent-ID", "anneliese")
		r.Header.Set("X-Durable", "wait")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("status %d, %s, %v", resp.StatusCode, b, err)
		}
		return string(b)
	}
	const said = "The treasure lies under the third willow."
	chat := `{"messages":[{"role":"user","content":"` + said + `"}],"max_tokens":4,"temperature":0}`
	stop := func(p *process) {
		p.Process.Signal(syscall.SIGTERM)
		p.end(t)
	}
	p := start(t, "-agents-dir", agents) // which is older than the key
	ask(p, "/v1/chat/completions", chat)
	ask(p, "/v1/responses", `{"input":"`+said+`","max_output_tokens":4}`)
	stop(p)
	p = start(t, "-agents-dir", agents, "-seal-key-file", first)
	ask(p, "/v1/responses", `{"input":"`+said+`","max_output_tokens":4}`)
	stop(p)
	files := 0
	filepath.WalkDir(agents, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			if bytes.Contains(b, []byte("willow")) || bytes.Contains(b, []byte("anneliese")) ||
				bytes.Contains(b, []byte("checksums")) {
				t.Errorf("%s is readable", path)
			}
			files++
		}
		return nil
	})
	if files < 3 {
		t.Errorf("%d files", files)
	}
	for name, args := range map[string][]string{"no key is given": nil, "the key given has the id": {"-seal-key-file", second}} {
		p := startOnly(t, append([]string{"-agents-dir", agents}, args...)...)
		p.line(t, "^(loadstone: listening).*")
		if code := p.end(t); code != 1 || !strings.Contains(p.stderr.String(), name) ||
			!strings.Contains(p.stderr.String(), "is sealed with another key, whose id is") {
			t.Errorf("%s: exit code %d, %s", name, code, &p.stderr)
		}
		if strings.Contains(p.stderr.String(), two[:8]) {
			t.Errorf("a key is in the log: %s", &p.stderr)
		}
	}
	p = start(t, "-agents-dir", agents, "-seal-key-file", both)
	if r := ask(p, "/v1/chat/completions", chat); !strings.Contains(r, `"tier":"disk"`) {
		t.Errorf("after a restart: %s", r)
	}
	stop(p)
	memories, _ := filepath.Glob(filepath.Join(agents, "*.memory"))
	if len(memories) != 1 {
		t.Fatalf("memories: %v", memories)
	}
	b, err := os.ReadFile(memories[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(seal.Format)] ^= 4
	if err := os.WriteFile(memories[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, "-agents-dir", agents, "-seal-key-file", both)
	if r := ask(p, "/v1/chat/completions", chat); !strings.Contains(r, `"tier":"cold"`) {
		t.Errorf("after a bit of the key's id has flipped: %s", r)
	}
}
