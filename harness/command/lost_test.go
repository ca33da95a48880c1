package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
	"loadstone/harness/verify"
)

// answering is a server that takes a time for each of its short answers. What options say of it is
// changed.
type answering struct {
	takes   time.Duration
	key     string // that it wants
	field   string // that it refuses in a request
	metrics http.HandlerFunc
	asked   atomic.Int64
}

func (s *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.key != "" && r.Header.Get("Authorization") != "Bearer "+s.key {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"message":"no key, no answer"}}`)
		return
	}
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
	case "/metrics":
		if s.metrics != nil {
			s.metrics(w, r)
			return
		}
		http.NotFound(w, r)
	case "/v1/chat/completions":
		var q map[string]any
		json.NewDecoder(r.Body).Decode(&q)
		if _, has := q[s.field]; has {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":{"message":"Unsupported parameter: '%s'. Use 'max_completion_tokens' instead."}}`, s.field)
			return
		}
		s.asked.Add(1)
		time.Sleep(s.takes)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"so\"}}]}\n\n"+
			"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
	default:
		http.NotFound(w, r)
	}
}

// program runs this program with arguments, and after words of a shell's, and returns its exit code
// and what it wrote.
func program(t *testing.T, before string, args ...string) (code int, out string) {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	cmd := exec.Command("sh", append([]string{"-c", before + ` exec "$0" "$@"`, self}, args...)...)
	cmd.Dir = t.TempDir()
	text, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(text)
}

// scenarioFile writes one and returns its name.
func scenarioFile(t *testing.T, load string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "small.txtar")
	assert.NilError(t, os.WriteFile(name, []byte("-- load --\nprompt: 20\nanswer: 30\n"+load), 0o600))
	return name
}

// What was measured until the program was killed is on disk, but what was not yet written, and
// makes a report that says it is incomplete: the requests, and the samples of the server meanwhile.
// Both are written time and again.
func TestKilled(t *testing.T) {
	server := httptest.NewServer(&answering{takes: 5 * time.Millisecond,
		metrics: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "vllm:num_requests_running 2\nvllm:gpu_cache_usage_perc 0.625\n")
		}})
	defer server.Close()
	file := scenarioFile(t, "concurrency: 2\nrequests: 1000000\nruns: 3\n")
	self, err := os.Executable()
	assert.NilError(t, err)
	for _, args := range [][]string{
		{"run", file, "-q", "-url", server.URL},
		{"bench", "-q", "-url", server.URL, "-n", "100000", "-runs", "10"},
	} {
		out := filepath.Join(t.TempDir(), "results")
		cmd := exec.Command(self, append(args, "-out", out)...)
		assert.NilError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })
		for _, name := range []string{journalFile, samplesFile} {
			size, grown := 0, 0
			until(t, func() bool {
				text, _ := os.ReadFile(filepath.Join(out, name))
				if len(text) > size {
					size, grown = len(text), grown+1
				}
				return grown >= 2 && (name != journalFile || bytes.Count(text, []byte("\n")) >= 50)
			}, "%s: %s has grown twice", args[0], name)
		}
		assert.NilError(t, cmd.Process.Signal(syscall.SIGKILL))
		cmd.Wait()
		records, err := readLines(filepath.Join(out, journalFile), record.Read)
		assert.NilError(t, err)
		samples, err := readLines(filepath.Join(out, samplesFile), record.ReadSamples)
		assert.NilError(t, err)
		assert.Assert(t, len(records) >= 50 && len(samples) > 0)
		for _, name := range []string{journalFile, samplesFile} {
			info, err := os.Stat(filepath.Join(out, name))
			assert.NilError(t, err)
			assert.Equal(t, info.Mode().Perm(), os.FileMode(0o600), name)
			// A line that was cut off is not in the way.
			f, err := os.OpenFile(filepath.Join(out, name), os.O_APPEND|os.O_WRONLY, 0o600)
			assert.NilError(t, err)
			fmt.Fprint(f, `{"scenario":"small","run":0,`)
			assert.NilError(t, f.Close())
		}

		code, text := program(t, "", "gate", "-base", out, "-head", out)
		assert.Equal(t, code, exitUsage, text)
		assert.Assert(t, strings.Contains(text, "loadstone report "+out+" makes it of what"), text)
		code, text = program(t, "", "report", out)
		assert.Equal(t, code, exitOK, text)
		assert.Assert(t, strings.Contains(text, "note: this measurement did not come to its end"), text)
		assert.Assert(t, strings.Contains(text, "62.5 %"), text) // the pool
		bench, err := os.ReadFile(filepath.Join(out, "bench.txt"))
		assert.NilError(t, err)
		assert.Assert(t, strings.Contains(string(bench), "incomplete: it was ended from outside"), string(bench))
		var results struct {
			Stopped   string
			System    struct{ URL string }
			Scenarios []struct{ All struct{ Requests int } }
		}
		stored, err := os.ReadFile(filepath.Join(out, "results.json"))
		assert.NilError(t, err)
		assert.NilError(t, json.Unmarshal(stored, &results))
		assert.Equal(t, results.System.URL, server.URL) // what is not in the records was written as well
		assert.Assert(t, results.Scenarios[0].All.Requests >= 50)
		assert.Assert(t, results.Stopped != "")
	}
}

// A measurement that ends by itself leaves no journal, nor one that was measured before into the
// same folder.
func TestJournalIsTakenAway(t *testing.T) {
	server := httptest.NewServer(&answering{})
	defer server.Close()
	file := scenarioFile(t, "concurrency: 2\nrequests: 20\n")
	out := filepath.Join(t.TempDir(), "results")
	for range 2 {
		code, text := program(t, "", "run", file, "-q", "-url", server.URL, "-out", out)
		assert.Equal(t, code, exitOK, text)
		for _, name := range []string{journalFile, samplesFile, restFile, headFile} {
			_, err := os.Stat(filepath.Join(out, name))
			assert.Assert(t, os.IsNotExist(err), name)
		}
		text2, err := os.ReadFile(filepath.Join(out, "records.jsonl"))
		assert.NilError(t, err)
		assert.Assert(t, strings.Count(string(text2), "\n") >= 20)
		assert.NilError(t, os.WriteFile(filepath.Join(out, journalFile), []byte("an older one\n"), 0o600))
	}
}

// On a full disk the figures are printed, and what fits of the requests stays and is readable. The
// shell bounds the size of each file, which an error tells of as a full disk does.
func TestFullDisk(t *testing.T) {
	server := httptest.NewServer(&answering{takes: time.Millisecond})
	defer server.Close()
	file := scenarioFile(t, "concurrency: 2\nrequests: 2000\n")
	out := filepath.Join(t.TempDir(), "results")
	code, text := program(t, "ulimit -f 120; trap '' XFSZ;", "run", file, "-q", "-url", server.URL, "-out", out)
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, "the requests from now on are in memory alone"), text)
	assert.Assert(t, strings.Contains(text, "makes the report of them when there is room"), text)
	assert.Assert(t, strings.Contains(text, "end to end"), text) // the table
	code, text = program(t, "", "report", out)
	assert.Equal(t, code, exitOK, text)
	assert.Assert(t, strings.Contains(text, "did not come to its end"), text)
}

// The client's own limit of open files is refused beforehand where the load says how many it needs,
// and named as such where that shows only meanwhile; the results are written all the same.
func TestOpenFiles(t *testing.T) {
	s := &answering{takes: 3 * time.Second} // in which even a slow client sends more than it may
	server := httptest.NewServer(s)
	defer server.Close()
	out := filepath.Join(t.TempDir(), "results")
	code, text := program(t, "ulimit -n 64;", "run", scenarioFile(t, "burst: 150\n"), "-q", "-api", "chat", "-url", server.URL, "-out", out)
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, "has 150 requests in flight at once") && strings.Contains(text, "may open 64"), text)
	assert.Equal(t, s.asked.Load(), int64(0))

	code, text = program(t, "ulimit -n 64;", "run", scenarioFile(t, "rate: 500/s\nrequests: 400\n"), "-q", "-url", server.URL, "-out", out)
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, "the client's own limit, not the server's: this process may open no more files"), text)
	assert.Assert(t, !strings.Contains(text, "the server is gone"), text)
	names := slices.Clone(verify.RawFiles)
	for _, form := range verify.Forms {
		names = append(names, form.Name)
	}
	for _, name := range names {
		_, err := os.Stat(filepath.Join(out, name))
		assert.NilError(t, err, name)
	}
	bench, err := os.ReadFile(filepath.Join(out, "bench.txt"))
	assert.NilError(t, err)
	assert.Assert(t, strings.Contains(string(bench), "incomplete: the client's own limit"), string(bench))
}

// The first word of a key's file is the key, as editors and people write one.
func TestFirstKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{
		"sesame": "sesame", "sesame\n": "sesame", "sesame\r\n": "sesame", "\ufeffsesame\n": "sesame",
		"\n\n  sesame  \nother\n": "sesame", "Bearer sesame\n": "sesame", "bearer": "bearer",
		"": "", "\n": "", "\ufeff": "", "ses\x00ame\n": "", "sésame\n": "",
	} {
		assert.NilError(t, os.WriteFile(file, []byte(text), 0o600))
		key, err := firstKey("-key-file", file)
		assert.Equal(t, key, want, "%q", text)
		assert.Equal(t, err == nil, want != "", "%q: %v", text, err)
	}
}

// A server behind a key is measured with it, from a file or the environment; without it, what to do
// is said. One that is started here with keys is measured with the first of them.
func TestKeys(t *testing.T) {
	server := httptest.NewServer(&answering{key: "sesame"})
	defer server.Close()
	keys := filepath.Join(t.TempDir(), "keys")
	assert.NilError(t, os.WriteFile(keys, []byte("\nsesame\nother\n"), 0o600))
	file := scenarioFile(t, "concurrency: 1\nrequests: 6\n")
	url := []string{"-url", server.URL}
	for _, args := range [][]string{
		{"run", file, "-q"},
		{"bench", "-q", "-n", "6", "-runs", "1", "-scenario", "single-cold"},
		{"check", "-q", "-agents", "2", "-turns", "1", "-aborts", "1"},
		{"ask"},
	} {
		last := []string{}
		if args[0] == "ask" {
			last = []string{"why"}
		}
		code, text := program(t, "", append(append(args[:len(args):len(args)], url...), last...)...)
		assert.Equal(t, code, exitUnreachable, text)
		assert.Assert(t, strings.Contains(text, "give it an API key with -key-file or in LOADSTONE_KEY"), text)
		code, text = program(t, "", append(append(append(args[:len(args):len(args)], url...), "-key-file", keys), last...)...)
		assert.Equal(t, code, exitOK, text)
		code, text = program(t, "LOADSTONE_KEY=sesame; export LOADSTONE_KEY;", append(append(args[:len(args):len(args)], url...), last...)...)
		assert.Equal(t, code, exitOK, text)
	}
	code, text := program(t, "", "run", file, "-q", "-out", t.TempDir(), "--", "-api-key-file", keys)
	assert.Equal(t, code, exitOK, text)
	for _, bad := range []struct{ text, want string }{{"", "has no key in it"}, {"k\x01", "is no key"}} {
		assert.NilError(t, os.WriteFile(keys, []byte(bad.text), 0o600))
		code, text = program(t, "", "ask", "-url", server.URL, "-key-file", keys, "why")
		assert.Equal(t, code, exitUsage, text)
		assert.Assert(t, strings.Contains(text, bad.want), text)
	}
}

// A server that wants other fields gets them, by flags or by the scenario; what it said without
// them leads there.
func TestBodyFlags(t *testing.T) {
	s := &answering{field: "max_tokens"}
	server := httptest.NewServer(s)
	defer server.Close()
	file := scenarioFile(t, "concurrency: 1\nrequests: 6\n")
	code, text := program(t, "", "run", file, "-q", "-url", server.URL)
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, "-body max_completion_tokens=@max_tokens sends it under that name"), text)
	code, text = program(t, "", "run", file, "-q", "-url", server.URL, "-body", "max_completion_tokens=@max_tokens")
	assert.Equal(t, code, exitOK, text)
	own := scenarioFile(t, "concurrency: 1\nrequests: 6\nbody: max_tokens= user=\"me\"\nheader: X-Team: storage\n")
	code, text = program(t, "", "run", own, "-q", "-url", server.URL)
	assert.Equal(t, code, exitOK, text)
	code, text = program(t, "", "run", own, "-q", "-url", server.URL, "-body", "max_tokens=9")
	assert.Equal(t, code, exitFailed, text) // the command line comes before the file
	code, text = program(t, "", "run", file, "-q", "-url", server.URL, "-body", "user=me")
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, `user: me is not JSON; a text is written "me", quotes included`), text)
	code, text = program(t, "", "run", file, "-q", "-url", server.URL, "-insecure")
	assert.Equal(t, code, exitUsage, text)
}

// What is no metrics is said once, and the server is measured without.
func TestPageForMetrics(t *testing.T) {
	server := httptest.NewServer(&answering{metrics: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }})
	defer server.Close()
	code, text := program(t, "", "run", scenarioFile(t, "concurrency: 1\nrequests: 6\n"), "-q", "-url", server.URL)
	assert.Equal(t, code, exitOK, text)
	assert.Equal(t, strings.Count(text, "/metrics is a page"), 1, text)
	assert.Equal(t, strings.Count(text, "that the caches were cold is unproven"), 1, text)
}

// A redirect is not followed, and its address is said.
func TestRedirected(t *testing.T) {
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	code, text := program(t, "", "run", scenarioFile(t, "concurrency: 1\nrequests: 6\n"), "-q", "-url", server.URL)
	assert.Equal(t, code, exitUnreachable, text)
	assert.Assert(t, strings.Contains(text, "the server redirects to "+other.URL+"/v1/models, and redirects are not followed"), text)
	code, text = program(t, "", "ask", "-model", "m", "-url", server.URL, "why")
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, "redirects to "+other.URL), text)
	assert.Equal(t, asked.Load(), int64(0))
}

// One server under two names is no comparison.
func TestGateOfOneServer(t *testing.T) {
	server := httptest.NewServer(&answering{})
	defer server.Close()
	name := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	code, text := program(t, "", "gate", "-q", "-n", "6", "-runs", "6", "-scenario", "single-cold", "-base-url", server.URL, "-head-url", name)
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, "are one server: connections to both lead to 127.0.0.1:"), text)
}
