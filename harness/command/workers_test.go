package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"

	"loadstone/harness/record"
	"loadstone/harness/workers"
	"loadstone/internal/freeport"
)

// gang is loadstone workers as a process, with what it and its workers say.
type gang struct {
	cmd *exec.Cmd
	url string

	mu   sync.Mutex
	text strings.Builder
	pids []int
}

var joined = regexp.MustCompile(`^worker .*, process (\d+) has joined`)

// startGang starts n workers, with flags, and waits until all have joined.
func startGang(t *testing.T, n int, more ...string) *gang {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	args := append([]string{"workers", "-n", strconv.Itoa(n), "-listen", "127.0.0.1:0"}, more...)
	g := &gang{cmd: exec.Command(self, args...)}
	out, err := g.cmd.StdoutPipe()
	assert.NilError(t, err)
	errs, err := g.cmd.StderrPipe()
	assert.NilError(t, err)
	assert.NilError(t, g.cmd.Start())
	t.Cleanup(func() {
		g.cmd.Process.Kill()
		g.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	assert.NilError(t, err)
	_, g.url, _ = strings.Cut(strings.TrimSpace(line), "listening on ")
	go func() {
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			g.mu.Lock()
			fmt.Fprintln(&g.text, lines.Text())
			if found := joined.FindStringSubmatch(lines.Text()); found != nil {
				pid, _ := strconv.Atoi(found[1])
				g.pids = append(g.pids, pid)
			}
			g.mu.Unlock()
		}
	}()
	until(t, func() bool { return len(g.workers()) == n }, "%d workers join", n)
	return g
}

func (g *gang) workers() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.pids)
}

func (g *gang) said(text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Contains(g.text.String(), text)
}

// until waits for something that other processes do.
func until(t *testing.T, holds func() bool, format string, args ...any) {
	t.Helper()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		if holds() {
			return poll.Success()
		}
		return poll.Continue(format, args...)
	}, poll.WithTimeout(time.Minute), poll.WithDelay(20*time.Millisecond))
}

// requestsOf are the requests of a folder of results, a line each, in the order of their agents.
func requestsOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	records, err := readLines(filepath.Join(dir, "records.jsonl"), record.Read)
	assert.NilError(t, err)
	for _, r := range records {
		if parts := strings.SplitN(r.Agent, "-", 3); parts[0] == "small" && r.Intent != record.IntentAgain {
			all = append(all, fmt.Sprintf("%s %d %s %d", parts[1], r.Turn, r.AskedDigest, r.MaxTokens))
		}
	}
	slices.Sort(all)
	return all
}

// Four workers measure as one process does: the same requests with the same answers, the same
// files, which verify, and a report that says who sent the load and how well their clocks are
// known.
func TestWorkers(t *testing.T) {
	g := startGang(t, 4)
	dir := t.TempDir()
	file := scenarioFile(t, "concurrency: 6\njobs: 21\nturns: 3\n")
	one, four := filepath.Join(dir, "one"), filepath.Join(dir, "four")
	code, text := program(t, "", "run", file, "-q", "-seed", "5", "-out", one)
	assert.Equal(t, code, exitOK, text)
	code, text = program(t, "", "run", file, "-seed", "5", "-out", four, "-workers", g.url, "-workers-min", "4")
	assert.Equal(t, code, exitOK, text)
	assert.Assert(t, strings.Contains(text, "4 workers send the load"), text)
	want := requestsOf(t, one)
	assert.Equal(t, len(want), 63)
	assert.DeepEqual(t, requestsOf(t, four), want)
	code, text = program(t, "", "verify", four)
	assert.Equal(t, code, exitOK, text)
	assert.Assert(t, strings.Contains(text, "69 of 69 made again from the seeds"), text)
	names := func(dir string) (all []string) {
		files, err := os.ReadDir(dir)
		assert.NilError(t, err)
		for _, f := range files {
			all = append(all, f.Name())
		}
		return all
	}
	assert.DeepEqual(t, names(four), names(one))
	var results struct {
		Client struct {
			Workers []struct {
				Requests int
				Clock    struct {
					Error int64 `json:"offset_error_ns"`
				}
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(four, "results.json"))
	assert.NilError(t, err)
	assert.NilError(t, json.Unmarshal(content, &results))
	sent := 0
	for _, w := range results.Client.Workers {
		sent += w.Requests
		assert.Assert(t, w.Clock.Error > 0 && w.Clock.Error < int64(time.Second))
	}
	assert.Equal(t, len(results.Client.Workers), 4)
	assert.Equal(t, sent, 63+4) // and those that one was asked again
	doc, err := os.ReadFile(filepath.Join(four, "baseline.md"))
	assert.NilError(t, err)
	assert.Assert(t, strings.Contains(string(doc), "4 workers on 1 machine sent the load; each latency is of one clock"), string(doc))

	// bench does the same, in rounds in which all agents ask at one moment.
	five := filepath.Join(dir, "five")
	code, text = program(t, "", "bench", "-q", "-n", "4", "-runs", "2", "-max-tokens", "4", "-out", five, "-workers", g.url)
	assert.Equal(t, code, exitOK, text)
	code, text = program(t, "", "verify", five)
	assert.Equal(t, code, exitOK, text)
}

// What becomes of a measurement whose worker, coordinator or NATS server is killed, and what the
// user is told.
func TestKilledAmongWorkers(t *testing.T) {
	self, err := os.Executable()
	assert.NilError(t, err)
	// begin begins a load and returns once it is under way.
	begin := func(t *testing.T, g *gang, of string) (cmd *exec.Cmd, server *answering, out string, said *strings.Builder) {
		server = &answering{takes: 5 * time.Millisecond}
		s := httptest.NewServer(server)
		t.Cleanup(s.Close)
		out, said = filepath.Join(t.TempDir(), "out"), &strings.Builder{}
		cmd = exec.Command(self, "run", scenarioFile(t, of), "-q", "-url", s.URL, "-workers", g.url,
			"-workers-min", strconv.Itoa(len(g.workers())), "-out", out)
		cmd.Stderr = said
		assert.NilError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })
		until(t, func() bool {
			text, _ := os.ReadFile(filepath.Join(out, journalFile))
			return strings.Count(string(text), "\n") > 60
		}, "the load is under way")
		return cmd, server, out, said
	}
	incomplete := func(t *testing.T, out, why string) {
		t.Helper()
		bench, err := os.ReadFile(filepath.Join(out, "bench.txt"))
		assert.NilError(t, err)
		assert.Assert(t, regexp.MustCompile(`(?m)^incomplete: .*`+why).Match(bench), string(bench))
		assert.Assert(t, len(requestsOf(t, out)) > 40)
		code, text := program(t, "", "verify", out)
		assert.Equal(t, code, exitOK, text)
	}

	t.Run("worker", func(t *testing.T) {
		t.Parallel()
		g := startGang(t, 3)
		cmd, _, out, said := begin(t, g, "rate: 60/s\nrequests: 420\n")
		victim := g.workers()[1]
		assert.NilError(t, syscall.Kill(victim, syscall.SIGKILL))
		cmd.Wait()
		assert.Equal(t, cmd.ProcessState.ExitCode(), exitFailed, said.String())
		want := regexp.MustCompile(`^loadstone: worker \d of 3 \([^ ]*, process ` + strconv.Itoa(victim) +
			`\) was lost .* after the run's start: nothing was heard of it for 4s: it told of (\d+) requests, and (\d+) ` +
			`requests of its part were not sent, or not recorded`)
		found := want.FindStringSubmatch(said.String())
		assert.Assert(t, found != nil, said.String())
		incomplete(t, out, "process "+strconv.Itoa(victim))
		unsent, _ := strconv.Atoi(found[2])
		assert.Equal(t, len(requestsOf(t, out))+unsent, 420)
		assert.Assert(t, g.said(fmt.Sprintf("process %d, has ended: signal: killed", victim)))
	})

	t.Run("coordinator", func(t *testing.T) {
		t.Parallel()
		g := startGang(t, 2)
		cmd, server, out, _ := begin(t, g, "concurrency: 4\nrequests: 1000000\n")
		assert.NilError(t, cmd.Process.Kill())
		cmd.Wait()
		until(t, func() bool { return g.said("nothing was heard of the coordinator for 4s: its load is stopped") },
			"the workers stop")
		settled := int64(0)
		until(t, func() bool {
			before := settled
			settled = server.asked.Load()
			return settled == before
		}, "nothing is sent any more")
		code, text := program(t, "", "report", out)
		assert.Equal(t, code, exitOK, text)
		assert.Assert(t, strings.Contains(text, "did not come to its end"), text)
		other := httptest.NewServer(&answering{}) // and the workers are free for another
		defer other.Close()
		code, text = program(t, "", "run", scenarioFile(t, "concurrency: 2\nrequests: 12\n"), "-q", "-url", other.URL,
			"-workers", g.url, "-workers-min", "2")
		assert.Equal(t, code, exitOK, text)
	})

	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		g := startGang(t, 2)
		cmd, _, out, said := begin(t, g, "concurrency: 4\nrequests: 1000000\n")
		assert.NilError(t, g.cmd.Process.Kill())
		cmd.Wait()
		assert.Equal(t, cmd.ProcessState.ExitCode(), exitFailed, said.String())
		assert.Assert(t, strings.Contains(said.String(), "the NATS server is gone"), said.String())
		incomplete(t, out, "the NATS server is gone")
		for _, pid := range g.workers() { // none outlives the process that started it
			until(t, func() bool { return ended(pid) }, "worker %d ends", pid)
		}
	})
}

// ended reports whether a process has ended. A zombie has, too: in a container there may be no
// parent that waits for it.
func ended(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(status), ") ")
	return strings.HasPrefix(after, "Z")
}

// What is said over NATS is for those who may hear it: without a user that the server knows, or
// without TLS to another machine, nothing is measured, and the user is told what to do.
func TestWorkersOfAStranger(t *testing.T) {
	server := &answering{}
	s := httptest.NewServer(server)
	defer s.Close()
	config := filepath.Join(t.TempDir(), "nats.conf")
	assert.NilError(t, os.WriteFile(config, []byte("authorization {user: me, password: secret}\n"), 0o600))
	address := freeport.Address() // the workers are told it before the server has it
	startGang(t, 2, "-config", config, "-listen", address, "-join", "nats://me:secret@"+address)
	file := scenarioFile(t, "concurrency: 2\nrequests: 12\n")
	run := func(workers string, more ...string) (code int, text string) {
		return program(t, "", append([]string{"run", file, "-q", "-url", s.URL, "-workers", workers}, more...)...)
	}
	code, text := run("nats://me:wrong@" + address)
	assert.Equal(t, code, exitUnreachable, text)
	assert.Assert(t, strings.Contains(text, "no NATS server at nats://me:xxxxx@"+address+": it refuses these credentials"), text)
	code, text = run("nats://192.0.2.1:4222")
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, "want tls:// in its address, or -nats-plain"), text)
	code, text = program(t, "", "worker", "-join", "nats://192.0.2.1:4222")
	assert.Equal(t, code, exitUsage, text)
	assert.Equal(t, server.asked.Load(), int64(0))
	code, text = run("nats://me:secret@"+address, "-workers-min", "2")
	assert.Equal(t, code, exitOK, text)
}

// Parts of a load that nobody leads are put together afterwards, and are then that load.
func TestParts(t *testing.T) {
	server := httptest.NewServer(&answering{takes: 400 * time.Millisecond}) // no lag is long beside it
	defer server.Close()
	dir := t.TempDir()
	file := scenarioFile(t, "rate: 40/s\nrequests: 60\n")
	one := filepath.Join(dir, "one")
	code, text := program(t, "", "run", file, "-q", "-url", server.URL, "-seed", "5", "-out", one)
	assert.Equal(t, code, exitOK, text)
	const late = "give all of them a later start"
	parts, said := make([]string, 3), make([]string, 3)
	// On a busy machine the first start may come too early for some.
	for _, lead := range []time.Duration{3 * time.Second, 20 * time.Second, time.Minute} {
		start := time.Now().Add(lead).Format(time.RFC3339)
		var running sync.WaitGroup
		for i := range parts {
			parts[i] = filepath.Join(dir, fmt.Sprintf("part-%d", i))
			running.Go(func() {
				code, text := program(t, "", "run", file, "-q", "-url", server.URL, "-seed", "5", "-start", start,
					"-part", fmt.Sprintf("%d/3", i), "-out", parts[i])
				assert.Check(t, code == exitOK || strings.Contains(text, late), text)
				said[i] = text
			})
		}
		running.Wait()
		if !strings.Contains(strings.Join(said, ""), late) {
			break
		}
	}
	for _, part := range parts {
		code, text = program(t, "", "verify", part)
		assert.Equal(t, code, exitOK, text)
	}
	all := filepath.Join(dir, "all")
	code, text = program(t, "", append([]string{"report", "-out", all}, parts...)...)
	// That some were sent late says how busy this machine is, not that the parts are no whole.
	assert.Assert(t, code == exitOK || strings.Contains(text, "invalid measurement: small: the client sent too late"), text)
	want := requestsOf(t, one)
	assert.Equal(t, len(want), 60)
	assert.DeepEqual(t, requestsOf(t, all), want)
	code, text = program(t, "", "verify", all)
	assert.Equal(t, code, exitOK, text)
	code, text = program(t, "", "report", "-out", filepath.Join(dir, "two"), parts[0], parts[2])
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, "1/3 of the load is missing"), text)
	past := time.Now().Add(-time.Minute).Format(time.RFC3339)
	code, text = program(t, "", "run", file, "-q", "-url", server.URL, "-seed", "6", "-start", past, "-part", "0/3")
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, late), text)
}

// The messages that a user reads who asks for workers where none has joined.
func TestWorkersWanted(t *testing.T) {
	code, text := program(t, "", "bench", "-workers", "4")
	assert.Equal(t, code, exitUsage, text)
	assert.Assert(t, strings.Contains(text, "-workers is the address of the NATS server"), text)
	assert.Assert(t, strings.Contains(text, "loadstone workers -n 4 starts one, with 4 workers"), text)

	const few = "too few workers have joined: 1, want 2"
	const one = "loadstone worker -join nats://me:xxxxx@127.0.0.1:4222 starts one"
	o := crewOptions{url: "nats://me:secret@127.0.0.1:4222", min: 2}
	busy := errors.New("vm, process 7 works for another coordinator")
	assert.Error(t, o.wayOut(&workers.TooFewError{Found: 1, Want: 2}), few+": "+one+
		" more, and -workers-min says how many are waited for")
	assert.Error(t, o.wayOut(&workers.TooFewError{Found: 1, Want: 2, Busy: busy}), few+"; "+busy.Error()+
		": wait until that has ended, or add one: "+one)
	o.min = 1
	assert.Error(t, o.wayOut(&workers.TooFewError{Want: 1}), "too few workers have joined: 0, want 1: "+one)
}
