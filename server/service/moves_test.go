//go:build unix

package service

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestMoves: agents that go from server to server, which share a directory, get the answers of one
// server, and each finds what the one before has kept: one that still runs, one that has ended, and
// one that was killed, from the last turn that it said was on disk.
func TestMoves(t *testing.T) {
	steady, dir := start(t, "-agents-dir", t.TempDir()), t.TempDir()
	serve := func() *process { return start(t, "-agents-dir", dir, "-agents-shared") }
	servers := []*process{serve(), serve(), serve()}
	const agents = 6
	var talks [agents][]message
	var before [agents]int // tokens of each talk that have KV
	for i := range talks {
		status, body := servers[0].post(t, "/v1/agents", fmt.Sprintf(`{"agent_id":"agent-%d","durable":true}`, i))
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
	}
	for turn := range 6 {
		for i := range talks {
			agent, p := fmt.Sprint("agent-", i), servers[(turn+i)%len(servers)]
			talks[i] = append(talks[i], message{"user",
				fmt.Sprintf("Question %d of %s: %s", turn, agent, strings.Repeat("why? ", 5+i))})
			want, got := steady.ask(t, agent, talks[i]), p.ask(t, agent, talks[i])
			u := got.Usage
			if got.Choices[0] != want.Choices[0] || u.Prompt != want.Usage.Prompt {
				t.Errorf("turn %d of %s: %+v, want %+v", turn, agent, got, want)
			}
			if turn > 0 && (u.Details.Cached != before[i] || u.Details.Tier != diskTier) {
				t.Errorf("turn %d of %s: %+v of the prompt cached, want %d", turn, agent, u, before[i])
			}
			before[i] = u.Prompt + u.Output - 1
			talks[i] = append(talks[i], got.Choices[0].Message)
		}
		switch turn {
		case 1:
			servers[0].kill()
			servers[0] = serve()
		case 3:
			servers[1].Process.Signal(syscall.SIGTERM)
			if code := servers[1].end(t); code != 0 {
				t.Fatalf("exit code %d, stderr %s", code, &servers[1].stderr)
			}
			servers[1] = serve()
		}
	}
	for i, p := range servers {
		metrics := p.metrics(t)
		for _, none := range []string{`loadstone_save_failures_total{reason="superseded"} 0`,
			"loadstone_restore_failures_total 0"} {
			if !strings.Contains(metrics, none) {
				t.Errorf("server %d does not say %s", i, none)
			}
		}
	}
}

func (p *process) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestSharesNot: a server refuses a directory that another one uses otherwise than it would, and
// says what to do.
func TestSharesNot(t *testing.T) {
	dir := t.TempDir()
	start(t, "-agents-dir", dir, "-agents-shared")
	for _, args := range [][]string{{"-agents-dir", dir},
		{"-agents-dir", dir, "-agents-shared", "-block-tokens", "16"}} {
		args = append([]string{"-addr", "127.0.0.1:0", "-backend", "ref"}, args...)
		err := Run(t.Context(), args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "is in use by") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
