package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"loadstone/engine/catalog"
	"loadstone/metal"
)

// TestMain: the test binary runs itself as the server, so that signals and exit codes are real.
func TestMain(m *testing.M) {
	if os.Getenv("LOADSTONE_TEST_SERVICE") == "" {
		os.Exit(m.Run())
	}
	if err := Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A process is a server in a process of its own.
type process struct {
	*exec.Cmd
	url    string
	stdout *bufio.Reader
	stderr record // complete once the process has ended
}

// A record is what a process has written so far.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // has an element when there is something new
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// wait waits until what was written is as wanted.
func (r *record) wait(t *testing.T, wanted func(string) bool) {
	t.Helper()
	for late := time.After(time.Minute); !wanted(r.String()); {
		select {
		case <-r.more:
		case <-late:
			t.Fatalf("waited a minute for more than %s", r)
		}
	}
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startOn(t, "tiny", "ref", args...)
}

// startOn starts a server with the model and the backend.
func startOn(t *testing.T, model, backend string, args ...string) *process {
	t.Helper()
	p := startOnly(t, append([]string{"-backend", backend, "-model", model}, args...)...)
	p.url = p.line(t, `^loadstone: listening on (http://127\.0\.0\.1:\d+)$`)
	p.line(t, `^loadstone: ready: (`+filepath.Base(model)+`) on `+backend+` \(\d+ blocks of 32 tokens, .*\)$`)
	return p
}

// startOnly starts a server and does not wait for it.
func startOnly(t *testing.T, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, []string{exe}, args...)
}

// startProgram starts a program that is a server.
func startProgram(t *testing.T, program []string, args ...string) *process {
	t.Helper()
	args = slices.Concat(program[1:], []string{"-addr", "127.0.0.1:0", "-backend", "ref"}, args)
	p := &process{Cmd: exec.Command(program[0], args...)}
	p.Env = append(os.Environ(), "LOADSTONE_TEST_SERVICE=1")
	p.stderr.more = make(chan struct{}, 1)
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	p.stdout = bufio.NewReader(out)
	return p
}

// line reads one line of stdout and returns the first group of the pattern it must match.
func (p *process) line(t *testing.T, pattern string) string {
	t.Helper()
	line, err := p.stdout.ReadString('\n')
	m := regexp.MustCompile(pattern).FindStringSubmatch(strings.TrimSuffix(line, "\n"))
	if m == nil {
		t.Fatalf("stdout %q (%v), want %s", line, err, pattern)
	}
	return m[1]
}

// end waits for the process, which must write nothing more to stdout.
func (p *process) end(t *testing.T) (code int) {
	t.Helper()
	if rest, err := io.ReadAll(p.stdout); err != nil || len(rest) > 0 {
		t.Errorf("stdout goes on: %q, %v", rest, err)
	}
	p.Wait()
	return p.ProcessState.ExitCode()
}

// chat sends a chat request. The body of the response is closed at the end of the test.
func (p *process) chat(t *testing.T, body string) *http.Response {
	t.Helper()
	resp, err := http.Post(p.url+"/v1/chat/completions", "application/json",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

const longStream = `{"messages":[{"role":"user","content":"Tell me everything."}],"max_tokens":500,"temperature":1,"seed":1,"stream":true}`

// hold opens a connection with a request whose handler waits for the rest of its body, so that a
// drain does not end.
func (p *process) hold(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c
}

// draining signals the process and waits until it takes no more work: it answers so, or its port is
// closed.
func (p *process) draining(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		resp, err := http.Get(p.url + "/health/ready")
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusServiceUnavailable &&
			strings.Contains(string(body), `"reason":"draining"`) {
			return
		}
	}
}

// TestDrain: a stream and a request that is still being sent when SIGTERM comes are finished. Then
// the process ends with exit code 0.
func TestDrain(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	p := start(t, "-access-log", log)
	stream := bufio.NewReader(p.chat(t, longStream).Body)
	if _, err := stream.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	held := p.hold(t)
	p.draining(t)
	rest, err := io.ReadAll(stream)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream ends with %q, %v", rest[max(0, len(rest)-200):], err)
	}
	io.WriteString(held, "{}")
	if resp, err := http.ReadResponse(bufio.NewReader(held), nil); err != nil ||
		resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the request that was held: %v, %v", resp, err)
	}
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d, stderr %s", code, &p.stderr)
	}
	info, err := os.Stat(log)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("access log: %v, %v", info, err)
	}
	lines, err := os.ReadFile(log)
	if err != nil ||
		!regexp.MustCompile(`(?m)^REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: \d+\.\d\dms$`).Match(lines) {
		t.Errorf("access log: %q, %v", lines, err)
	}
}

// TestKeys: the keys of the file and of the environment are accepted and no others, and no key is
// logged.
func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("sk-file-1\nsk-file-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOADSTONE_API_KEY", "sk-env")
	p := start(t, "-api-key-file", file)
	for key, want := range map[string]int{"sk-file-1": 200, "sk-file-2": 200, "sk-env": 200,
		"sk-other": 401, "": 401} {
		r, err := http.NewRequest("GET", p.url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("key %q: status %d, want %d", key, resp.StatusCode, want)
		}
	}
	p.Process.Signal(os.Interrupt)
	if p.end(t); strings.Contains(p.stderr.String(), "sk-") {
		t.Errorf("a key is in the log: %s", &p.stderr)
	}
}

// TestKeysAgain: SIGHUP has the files of keys read again, at once and without a restart; a file
// that is broken, empty or gone leaves the keys as they were, and says which line is at fault and
// not what is in it. A principal keeps its agents, and one without a name does so over a restart,
// too.
func TestKeysAgain(t *testing.T) {
	dir := t.TempDir()
	file, operators, agents := filepath.Join(dir, "keys"), filepath.Join(dir, "admin"), filepath.Join(dir, "agents")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "# ours\nann sk-ann\nsk-bare\n")
	write(operators, "sk-admin\n")
	t.Setenv("LOADSTONE_API_KEY", "")
	p := start(t, "-api-key-file", file, "-admin-key-file", operators, "-agents-dir", agents)
	try := func(method, path, key, body string) int {
		t.Helper()
		r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	expect := func(when string, want map[string]int) {
		t.Helper()
		for key, status := range want {
			if got := try("GET", "/v1/agents/a", key, ""); got != status {
				t.Errorf("%s: key %s: status %d, want %d", when, key, got, status)
			}
		}
	}
	for _, key := range []string{"sk-ann", "sk-bare"} {
		if got := try("POST", "/v1/agents", key, `{"agent_id":"a"}`); got != 201 {
			t.Fatalf("status %d", got)
		}
	}
	before := map[string]int{"sk-ann": 200, "sk-bare": 200, "sk-bob": 401, "sk-admin": 403}
	expect("at the start", before)
	lines := 0
	hangUp := func() {
		t.Helper()
		p.Process.Signal(syscall.SIGHUP)
		lines++
		p.stderr.wait(t, func(log string) bool {
			return strings.Count(log, "keys read again")+strings.Count(log, "not read again") == lines
		})
	}
	for _, broken := range []string{"ann sk-ann\nbob sk-bob more words\n", "", "# none\n", "bob sk-x\nann sk-x\n",
		"b/b sk-bob\n", "key-1 sk-bob\n", "bob sk-b\u00f6b\n", "sk-admin\n"} {
		write(file, broken)
		hangUp()
		expect(fmt.Sprintf("after %q", broken), before)
	}
	os.Remove(file)
	hangUp()
	expect("without the file", before)
	write(file, "bob sk-bob\nann sk-new\n sk-bare \n")
	write(operators, "sk-root\n")
	hangUp()
	expect("with new keys", map[string]int{"sk-ann": 401, "sk-new": 200, "sk-bare": 200, "sk-bob": 404,
		"sk-admin": 401, "sk-root": 403})
	if log := p.stderr.String(); strings.Contains(log, "sk-") || !strings.Contains(log, "line 2: 4 words") {
		t.Errorf("the log: %s", log)
	}
	p.Process.Signal(os.Interrupt)
	p.end(t)
	p = start(t, "-api-key-file", file, "-agents-dir", agents)
	expect("after a restart", map[string]int{"sk-new": 200, "sk-bare": 200, "sk-bob": 404})
}

// TestSecondSignal: a second signal ends the process, whatever the drain waits for.
func TestSecondSignal(t *testing.T) {
	p := start(t)
	p.hold(t)
	p.draining(t)
	p.Process.Signal(os.Interrupt)
	if code := p.end(t); code != 1 || !strings.Contains(p.stderr.String(), "exiting at once") {
		t.Errorf("exit code %d, stderr %s", code, &p.stderr)
	}
}

// TestDrainTimeout: answers that take longer are cut off, and the exit code is 1.
func TestDrainTimeout(t *testing.T) {
	p := start(t, "-drain-timeout", "100ms")
	p.hold(t)
	p.Process.Signal(syscall.SIGTERM)
	if code := p.end(t); code != 1 ||
		!strings.HasSuffix(p.stderr.String(),
			"answers were cut off: the drain took longer than 100ms\n") {
		t.Errorf("exit code %d, stderr %s", code, &p.stderr)
	}
}

func TestAnswer(t *testing.T) {
	p := start(t)
	resp := p.chat(t,
		`{"model":"tiny","messages":[{"role":"user","content":"Hello"}],"max_tokens":8,"temperature":0}`)
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Choices) != 1 ||
		answer.Usage.CompletionTokens == 0 {
		t.Errorf("status %d, answer %+v, %v", resp.StatusCode, answer, err)
	}
	p.Process.Signal(os.Interrupt)
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d, stderr %s", code, &p.stderr)
	}
}

// TestErrors: an error that keeps a server from starting is one line that says what to do, and
// nothing is written to stdout.
func TestErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-addr", busy.Addr().String()}, busy.Addr().String() + " is in use by another process; stop it, or give another -addr (port 0 is any free one)"},
		{[]string{"-model", "nobody"}, `unknown model "nobody"; known are `},
		{[]string{"-model", filepath.Join(t.TempDir(), "x")}, "does not exist"},
		{[]string{"-backend", "cuda"}, `unknown -backend "cuda"; want auto, mlx or ref`},
		{[]string{"-kv-bytes", "3XB"}, "want a number of bytes, or one with KiB, MiB or GiB"},
		{[]string{"-max-batch", "0"}, "-max-batch is 0; want at least 1"},
		{[]string{"-access-format", "xml"}, `unknown -access-format "xml"; want line, text or json`},
		{[]string{"-rate", "-1"}, "-rate is -1; want 0 or more"},
		{[]string{"-api-key-file", os.DevNull}, os.DevNull + " has no keys"},
		{[]string{"-seal-key-file", os.DevNull, "-agents-dir", t.TempDir()}, os.DevNull + ": no key"},
		{[]string{"-seal-key-file", os.DevNull}, "nothing to seal without -agents-dir"},
		{[]string{"-agents-shared"}, "nothing to share without -agents-dir"},
		{[]string{"-agents-dir", "x", "-agents-store", "s3://b"}, "memories are in one of them"},
		{[]string{"-agents-dir", "s3://b/p"}, "-agents-dir is a directory; want -agents-store s3://b/p"},
		{[]string{"-agents-store", "s3://b", "-agents-shared"}, "an -agents-store is always shared"},
		{[]string{"-agents-store-plain"}, "want -agents-store"},
		{[]string{"-agents-store", "s3://b"}, "this program keeps memories in directories alone; loadstone serve knows object stores"},
		{[]string{"-agents-lease", "10ms"}, "-agents-lease is 10ms; want at least 1s"},
		{[]string{"-share", "some"}, "want none, key or all"},
		{[]string{"-parts", "10.0.0.1:9000"}, "-parts needs two addresses or more"},
		{[]string{"-parts", "10.0.0.1:9000,b"}, `-parts: "b" is no address`},
		{[]string{"-parts", "a:1,b:1", "-part", "2"}, "-part is 2; -parts has parts 0 to 1"},
		{[]string{"-parts", "a:1,b:1", "-backend", "ref"}, "-parts is for the mlx backend, not for ref"},
		{[]string{"-bogus"}, "flag provided but not defined: -bogus"},
		{[]string{"now"}, `unexpected argument "now"; -h lists the flags`},
		{[]string{"-access-log", filepath.Join(t.TempDir(), "no", "such", "dir")}, "no such file or directory"},
	} {
		var stdout, stderr bytes.Buffer
		err := Run(t.Context(), test.args, &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			strings.Contains(err.Error(), "\n") || stdout.Len()+stderr.Len() > 0 {
			t.Errorf("%v: %v, want %s; stdout %q, stderr %q", test.args, err, test.want, &stdout,
				&stderr)
		}
	}
	if !metal.Available {
		for _, name := range []string{"mlx", "metal"} {
			if err := Run(t.Context(), []string{"-backend", name}, io.Discard,
				io.Discard); !errors.Is(err, metal.ErrUnavailable) {
				t.Errorf("-backend %s: %v", name, err)
			}
		}
	}
}

func TestByteSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "512KiB": 512 << 10, "3 MiB": 3 << 20,
		"2GiB": 2 << 30} {
		var b byteSize
		if err := b.Set(s); err != nil || int64(b) != want {
			t.Errorf("%q: %d, %v; want %d", s, b, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1MiB", "1.5GiB", "10GB", "9223372036854775807KiB"} {
		if err := new(byteSize).Set(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// TestNames: the model is served under its aliases too, and -max-tokens bounds an answer whose
// length the request does not name.
func TestNames(t *testing.T) {
	p := start(t, "-alias", "gpt-4o", "-alias", "org/name", "-max-tokens", "3")
	for model, want := range map[string]int{"tiny": 200, "gpt-4o": 200, "org/name": 200, "x": 404} {
		resp := p.chat(t, `{"model":"`+model+`","messages":[{"role":"user","content":"Hello"}],"ignore_eos":true}`)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want ||
			want == 200 && !strings.Contains(string(body), `"completion_tokens":3,`) {
			t.Errorf("%s: %d %s, %v", model, resp.StatusCode, body, err)
		}
	}
}

// TestRoom: by default the pool has room for one full context of the model; with less, the line at
// start says how long a request may be.
func TestRoom(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, `256MiB of f32 KV cache, loaded in`},
		{[]string{"-kv-bytes", "64KiB"}, `64KiB of f32 KV cache: longest request \d+ of the model's \d+ tokens, loaded in`},
	} {
		p := startOnly(t, test.args...)
		p.line(t, `^loadstone: listening on (http://127\.0\.0\.1:\d+)$`)
		p.line(t, `^(loadstone: ready: tiny on ref .*`+test.want+`.*)$`)
	}
}

// TestTemplateThatRefuses: a model that cannot chat is named at the start.
func TestTemplateThatRefuses(t *testing.T) {
	folder := func(change func(dir string)) string {
		src, err := catalog.Open("tiny")
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, src.FS); err != nil {
			t.Fatal(err)
		}
		change(dir)
		return dir
	}
	refuse := folder(func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte("{{ raise_exception('never') }}"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	p := startOnly(t, "-model", refuse)
	p.line(t, `^loadstone: listening on (http://127\.0\.0\.1:\d+)$`)
	p.line(t, `^(loadstone: ready: .*)$`)
	p.Process.Signal(os.Interrupt)
	if p.end(t); !strings.Contains(p.stderr.String(), "this model cannot chat") || !strings.Contains(p.stderr.String(), "never") {
		t.Errorf("stderr %s", &p.stderr)
	}
}
