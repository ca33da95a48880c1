package command

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// slowServer is an OpenAI server that takes its time before the first token.
func slowServer(t *testing.T, delay time.Duration) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
		case "/v1/chat/completions":
			<-time.After(delay)
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"a stone\"},\"finish_reason\":\"stop\"}]}\n\n"+
				"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// A delay in front of the first token is found by a gate that measures by itself. The delay is far
// more than what a busy machine adds to a run's median, so that this is no test of the machine.
func TestGateMeasures(t *testing.T) {
	quick, slow := slowServer(t, 20*time.Millisecond), slowServer(t, 150*time.Millisecond)
	t.Chdir(t.TempDir())
	code, stdout, stderr := loadstone(t, "", "gate", "-base-url", quick.URL, "-head-url", slow.URL, "-out", "out", "-q",
		"-scenario", "single-cold", "-unit", "p50-ttft", "-runs", "6", "-n", "18")
	if code != exitFailed || !strings.Contains(stdout, "worse: more than 5 %") {
		t.Errorf("exit %d, %s%s; want exit %d", code, stdout, stderr, exitFailed)
	}
	for _, name := range []string{"base.txt", "head.txt"} {
		text, err := os.ReadFile(filepath.Join("out", name))
		if err != nil || strings.Count(string(text), "\nBenchmarkServe/") != 6 {
			t.Errorf("%s: %v, want 6 runs\n%s", name, err, text)
		}
	}
}

// Two servers that take no time differ by what the client does: nothing is decided. What it takes
// by itself is measured just before, so a machine that is four times as slow a moment later hides
// that.
func TestGateDoubts(t *testing.T) {
	base, head := slowServer(t, 0), slowServer(t, 0)
	t.Chdir(t.TempDir())
	const want = "nothing can be decided: the measurement is invalid: "
	for try := 1; ; try++ {
		code, stdout, stderr := loadstone(t, "", "gate", "-base-url", base.URL, "-head-url", head.URL, "-out", fmt.Sprint("out", try), "-q",
			"-scenario", "single-cold", "-unit", "error-ratio", "-runs", "6", "-n", "18")
		if code == exitUsage && strings.Contains(stderr, want) && strings.Contains(stderr, ", single-cold: a server that takes no time measures") {
			return
		}
		if try == 5 {
			t.Fatalf("exit %d, %s%s; want exit %d", code, stdout, stderr, exitUsage)
		}
	}
}

// Exit codes, as the help says, and one line for each mistake.
func TestGateExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("empty.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"gate", exitUsage, "nothing to judge"},
		{"gate -base empty.txt", exitUsage, "want -head FOLDER"},
		{"gate -base empty.txt -head empty.txt", exitUsage, "no benchmark result"},
		{"gate -base x -base-url 127.0.0.1:1", exitUsage, "not both"},
		{"gate -base-cmd nosuchprogram", exitUsage, "nosuchprogram"},
		{"gate -base-url 127.0.0.1:1 -head-url 127.0.0.1:1", exitUsage, "are one server"},
		{"gate -base-url 127.0.0.1:1 -head-url 127.0.0.1:2", exitUnreachable, "does not answer"},
		{"gate -base-url example.com", exitUsage, "example.com is not this machine"},
		{"gate -head empty.txt -slo p99", exitUsage, "is not a limit"},
		{"gate -base a -head b -effect p99=fast", exitUsage, "is not an effect"},
		{"gate -base a -head b -min-runs 2", exitUsage, "want at least 4"},
		{"gate -aa x -runs 3 -n 10", exitUsage, "cannot be split evenly"},
		{"compare empty.txt", exitUsage, "want two measurements"},
		{"compare empty.txt nosuch.txt", exitUsage, "nosuch.txt"},
		{"compare -alpha 2 a b", exitUsage, "-alpha is 2"},
	} {
		code, stdout, stderr := loadstone(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("loadstone %s: exit %d, %q %q; want exit %d and one line with %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}
