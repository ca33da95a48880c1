package command

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"loadstone/harness"
	"loadstone/harness/client"
)

// loadstone runs the program in this process and returns what it wrote.
func loadstone(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// A command line that makes no sense gets one line that says why, and exit code 2; for a server
// that is not there the code is 4. Nothing is printed on standard output and no folder is left
// behind.
func TestMistakes(t *testing.T) {
	const nobody = "http://127.0.0.1:1" // a port that was free a moment ago may be somebody's now
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	t.Chdir(t.TempDir())
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("nothing of interest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"measure", exitUsage, `unknown command "measure"`},
		{"bench -frobnicate", exitUsage, "loadstone bench -h lists the flags"},
		{"bench -model nosuch", exitUsage, "unknown model \"nosuch\"; known are tiny"},
		{"bench -scenario warm", exitUsage, "unknown scenario \"warm\"; known are single-cold, single-cached, concurrent-5, concurrent-10, pool-pressure"},
		{"bench -scenario single-cold,single-cold", exitUsage, "named twice"},
		{"bench -n 0", exitUsage, "-n is 0; want at least 1"},
		{"bench -n 10 -runs 3", exitUsage, "-n 10 cannot be split evenly into -runs 3"},
		{"bench fast", exitUsage, `unexpected argument "fast"`},
		{"bench -url http://192.0.2.1:80", exitUsage, "192.0.2.1 is not this machine"},
		{"bench -url http://example.com", exitUsage, "say -allow-remote"},
		{"bench -url ftp://127.0.0.1", exitUsage, "is not a server's address"},
		{"bench -url 127.0.0.1:1 -backend ref", exitUsage, "with -url it runs already"},
		{"bench -url " + nobody, exitUnreachable, "(loadstone serve -addr " + strings.TrimPrefix(nobody, "http://") + ")"},
		{"bench -url " + other.URL, exitUnreachable, "lists no model as an OpenAI server does: GET /v1/models gave 404"},
		{"bench -out " + empty + "/x", exitFailed, "give another with -out"},
		{"check -agents 0", exitUsage, "-agents is 0; want 1 to 1000"},
		{"check fast", exitUsage, `unexpected argument "fast"`},
		{"check -url http://example.com", exitUsage, "say -allow-remote"},
		{"check -url " + nobody, exitUnreachable, "does not answer: "},
		{"bench fast -- -max-batch 4", exitUsage, `unexpected argument "fast"`},
		{"gate -base a -head b -- -max-batch 4", exitUsage, "flags after -- are for servers that gate starts"},
		{"soak -for 5", exitUsage, "want a time such as 30s, 10m or 1h30m; loadstone soak -h"},
		{"bench -n ten", exitUsage, "want a whole number; loadstone bench -h"},
		{"verify nosuch -frobnicate", exitUsage, "flag provided but not defined: -frobnicate"},
		{"verify nosuch -key " + empty, exitUsage, "want a PUBLIC KEY"},
		{"verify " + empty, exitUsage, "is no zip of results, or a damaged one"},
		{"sign -new " + empty, exitUsage, "file exists, and was left as it is"},
		{"compare nosuch " + empty, exitUsage, "nosuch does not exist; want a folder that bench or run wrote"},
		{"gate -base nosuch -head " + empty, exitUsage, "nosuch does not exist; want a folder"},
		{"model check " + empty, exitFailed, "is a file, and no GGUF file; give a checkpoint folder"},
		{"verify -- -nosuch", exitUsage, "-nosuch does not exist"},
		{"run a.txtar b.txtar", exitUsage, `unexpected argument "b.txtar"`},
		{"ask -url " + nobody + " what is -h", exitUnreachable, "does not answer"},
		{"ask", exitUsage, "there is no question"},
		{"ask -url http://example.com hello", exitUsage, "example.com is not this machine"},
		{"ask -url " + nobody + " hello", exitUnreachable, "does not answer"},
		{"logs", exitUsage, "want one access log"},
		{"logs nosuch.log", exitFailed, "nosuch.log"},
		{"logs " + empty, exitFailed, "no access-log line among its 1"},
		{"model", exitUsage, "want one of: loadstone model list"},
		{"model pull nosuch", exitUsage, "unknown model"},
		{"model path tiny", exitUsage, "has no folder"},
		{"model import nosuch.gguf dir", exitFailed, "nosuch.gguf"},
		{"run " + empty + " -part 4/4", exitUsage, "want I/N, such as 0/4 to 3/4"},
		{"bench -workers nats://127.0.0.1:1", exitUnreachable, "no NATS server at nats://127.0.0.1:1: nothing answers there; loadstone workers -n 4 starts one"},
		{"bench -workers-min 2", exitUsage, "want -workers URL"},
		{"workers -n 0", exitUsage, "-n is 0; want 1 to 1000"},
		{"workers -listen 0.0.0.0:4222", exitUsage, "anybody who can connect could tell the workers what to load"},
		{"worker", exitUsage, "want -join URL"},
		{"worker -join nats://127.0.0.1:1", exitUnreachable, "no NATS server at nats://127.0.0.1:1"},
		{"store now", exitUsage, `unexpected argument "now"`},
		{"store -listen 0.0.0.0:0 -dir " + t.TempDir(), exitUsage, "anybody who can connect could read and change agents' memories"},
		{"serve -agents-store s3://me:secret@b", exitUsage, "-agents-store: that is no address of an object store: others can see"},
		{"serve -agents-store s3://b?endpoint=http://192.0.2.1", exitUsage, "want https:// in its endpoint, or -agents-store-plain"},
		{"serve -agents-store nats://192.0.2.1:4222/b", exitUsage, "want tls:// in its address, or -agents-store-plain"},
		{"serve -agents-store nats://127.0.0.1:1/b", exitFailed, "nothing answers there; loadstone store starts one"},
		{"serve -model nosuch", exitUsage, "unknown model"},
		{"serve -frobnicate", exitUsage, "flag provided but not defined: -frobnicate; -h lists the flags"},
		{"serve -addr 8080", exitUsage, "want one like 127.0.0.1:8080"},
		{"serve -agents-ttl -1s", exitUsage, "-agents-ttl is -1s; want 0 or more"},
		{"help nonsense", exitUsage, `no help on "nonsense"`},
	} {
		code, stdout, stderr := loadstone(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("loadstone %s: exit %d, %q; want exit %d and %q", c.args, code, stderr, c.code, c.want)
		}
		if stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("loadstone %s: want one line on stderr and none on stdout, got\n%s%s", c.args, stdout, stderr)
		}
	}
	if left, _ := os.ReadDir("."); len(left) > 0 {
		t.Errorf("%s was left behind", left[0].Name())
	}
}

// Every command explains itself on standard output, with exit code 0, and help knows what it names.
// Its lines fit a page.
func TestHelp(t *testing.T) {
	fits := func(about, text string) {
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s: a line of %d columns: %s", about, n, line)
			}
		}
	}
	_, over, _ := loadstone(t, "", "help")
	for _, c := range commands() {
		if !strings.Contains(over, c.name) {
			t.Errorf("the overview does not name %s", c.name)
		}
		code, stdout, stderr := loadstone(t, "", c.name, "-h")
		if code != exitOK || stderr != "" || len(stdout) < 150 || !strings.HasPrefix(stdout, "usage: loadstone "+c.name) {
			t.Errorf("loadstone %s -h: exit %d, stdout %d bytes, stderr %q", c.name, code, len(stdout), stderr)
		}
		fits(c.name, stdout)
		if _, again, _ := loadstone(t, "", "help", c.name); again != stdout {
			t.Errorf("loadstone help %s and loadstone %s -h differ", c.name, c.name)
		}
	}
	for _, topic := range topicNames() {
		if code, stdout, _ := loadstone(t, "", "help", topic); code != exitOK || stdout == "" {
			t.Errorf("loadstone help %s: exit %d, %q", topic, code, stdout)
		} else {
			fits(topic, stdout)
		}
		if !strings.Contains(over, topic) {
			t.Errorf("the overview does not name the topic %s", topic)
		}
	}
}

// A server that is wrong makes check fail, and check says what is wrong.
func TestCheckFails(t *testing.T) {
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"data":[{"id":"wrong"}]}`)
			return
		}
		fmt.Fprint(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":0}}`)
	}))
	defer wrong.Close()
	code, stdout, stderr := loadstone(t, "", "check", "-q", "-url", wrong.URL, "-agents", "2", "-aborts", "1")
	if code != exitFailed || !strings.Contains(stderr, "1 of 13 checks fail") || !strings.Contains(stdout, "an answer of 0 tokens has a text of 2 bytes") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if !strings.Contains(stdout, "recovery    unknown") {
		t.Errorf("a server without metrics: %s", stdout)
	}
}

func TestCheckURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8080":    "http://127.0.0.1:8080",
		"127.0.0.1:8080":           "http://127.0.0.1:8080",
		"http://localhost:8080/":   "http://localhost:8080",
		"http://[::1]:8080/v1":     "http://[::1]:8080",
		"http://127.0.0.1:80/v1/":  "http://127.0.0.1:80",
		"http://127.0.0.1:80/api/": "http://127.0.0.1:80/api",

		"http://[::ffff:127.0.0.1]:80":             "http://[::ffff:127.0.0.1]:80",
		"HTTP://127.0.0.1:80":                      "http://127.0.0.1:80",
		"http://127.0.0.1:80/v1/chat/completions":  "http://127.0.0.1:80",
		"http://127.0.0.1:80/llm/v1/models":        "http://127.0.0.1:80/llm",
		"http://127.0.0.1:80/a/v1/completions/":    "http://127.0.0.1:80/a",
		"http://127.0.0.1:80/chat/completions/old": "http://127.0.0.1:80/chat/completions/old",
	} {
		if got, err := checkURL(in, false); err != nil || got != want {
			t.Errorf("checkURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "http://", "http://127.0.0.1.example.com", "http://0.0.0.0:80", "http://10.0.0.1", "http://localhost.example.com",
		"http://127.0.0.1:80/v1?api-version=1", "http://127.0.0.1:80/#v1", "ws://127.0.0.1:80"} {
		if got, err := checkURL(in, false); err == nil {
			t.Errorf("checkURL(%q) = %q, want an error", in, got)
		}
	}
}

// ask prints the answer as it arrives and nothing else on standard output; a failure is one line.
// It waits for a server that loads its model.
func TestServedModelWaits(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`)
			return
		}
		fmt.Fprint(w, `{"object":"list","data":[{"id":"some-model"}]}`)
	}))
	t.Cleanup(server.Close)
	var stderr strings.Builder
	model, err := servedModel(t.Context(), &env{stderr: &stderr}, &harness.Target{URL: server.URL, API: client.Chat}, "")
	if err != nil || model != "some-model" || asked != 3 || stderr.String() != "waiting for "+server.URL+": Loading model\n" {
		t.Errorf("%q, %v after %d questions, stderr %q", model, err, asked, &stderr)
	}
}

// A server that lists no models is asked a question: its answer names the model.
func TestServedModelOfNoList(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"object":"list","data":[]}`)
			return
		}
		fmt.Fprint(w, `{"model":"default_model","choices":[{"message":{"content":"so"},"finish_reason":"length"}]}`)
	}))
	t.Cleanup(server.Close)
	if model, err := servedModel(t.Context(), &env{}, &harness.Target{URL: server.URL, API: client.Chat}, ""); err != nil || model != "default_model" {
		t.Errorf("%q, %v", model, err)
	}
}

func TestAsk(t *testing.T) {
	stream := "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a st\"}}]}\n\n" +
		"data: {\"choices\":[{\"delta\":{\"content\":\"one\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":7}}}\n\n"
	reply := ""
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
		default:
			if r.Header.Get("X-Agent-ID") != "alice" {
				t.Errorf("X-Agent-ID is %q", r.Header.Get("X-Agent-ID"))
			}
			w.Header().Set("Trailer", "Server-Timing")
			w.Header().Set("Retry-After", "2")
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(status)
			fmt.Fprint(w, reply)
			w.Header().Set("Server-Timing", "queue;dur=0.10, prefill;dur=1.20, decode;dur=3.40")
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		name, reply    string
		status, code   int
		stdout, stderr string
	}{
		{"whole", stream + "data: [DONE]\n\n", 200, exitOK, "a stone\n", "tokens: 9 prompt, 7 of them cached, 2 answer (finish: stop)"},
		{"timing", stream + "data: [DONE]\n\n", 200, exitOK, "a stone\n", "server: queue 0.10, prefill 1.20, decode 3.40 (ms)"},
		{"cut off", stream, 200, exitFailed, "a stone\n", "the stream ended before the answer did"},
		{"error in the stream", stream + "data: {\"error\":{\"message\":\"out of luck\"}}\n\n", 200, exitFailed, "a stone\n", "out of luck"},
		{"refused", `{"error":{"message":"pool exhausted"}}`, 429, exitFailed, "", "429 Too Many Requests: pool exhausted (retry after 2 s)"},
		{"no chunk", "data: {{{\n\n", 200, exitFailed, "\n", "event is not a chunk"},
	} {
		reply, status = c.reply, c.status
		code, stdout, stderr := loadstone(t, "what is a loadstone?\n", "ask", "-v", "-api", "chat", "-agent", "alice", "-url", server.URL)
		if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit %d, %q, %q", c.name, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}

// The log alone is a table; with records that it cannot belong to, the command fails and says why.
func TestLogs(t *testing.T) {
	log := "REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.00ms\nnoise\nREQUEST: GET /metrics STATUS: 200 LATENCY: 0.10ms\n"
	code, stdout, stderr := loadstone(t, log, "logs", "-")
	if code != exitOK || !strings.Contains(stdout, "POST /v1/chat/completions     200       1  n<6  n<76  n<441  12.0 ms") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	record := `{"outcome":"ok","sent_ns":0,"end_ns":%d,"server":{"total_ns":12000000,"queue_ns":-1,"prefill_ns":-1,"decode_ns":-1}}` + "\n"
	for _, c := range []struct {
		records string
		code    int
		want    string
	}{
		{fmt.Sprintf(record, 12_500_000), exitOK, "they agree"},
		{fmt.Sprintf(record, 11_000_000), exitFailed, "1 request took longer for the server than for the client"},
		{strings.Repeat(fmt.Sprintf(record, 12_500_000), 2), exitFailed, "1 of 2 answered requests without a line in the log"},
		{"{", exitFailed, "record 1"},
	} {
		file := filepath.Join(t.TempDir(), "records.jsonl")
		if err := os.WriteFile(file, []byte(c.records), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := loadstone(t, log, "logs", "-records", file, "-")
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("exit %d, want %d and %q:\n%s%s", code, c.code, c.want, stdout, stderr)
		}
	}
}
