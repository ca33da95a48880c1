package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestRestart: agents of a server that is restarted between any two turns get the same answers as
// those of a server that is not. They find the earlier prompt, and the answer as it was generated,
// in the cache.
func TestRestart(t *testing.T) {
	steady, dir := start(t, "-agents-dir", t.TempDir()), t.TempDir()
	agents, turns := 8, 3
	talks := make([][]message, agents)
	// before has the tokens of each talk, except the last token of the last answer, which has no
	// KV.
	before := make([]int, agents)
	for turn := range turns {
		p := start(t, "-agents-dir", dir)
		for i := range talks {
			agent := fmt.Sprint("agent-", i)
			talks[i] = append(talks[i],
				message{"user",
					fmt.Sprintf("Question %d of %s: %s", turn, agent, strings.Repeat("why? ", 5+i))})
			want, got := steady.ask(t, agent, talks[i]), p.ask(t, agent, talks[i])
			if got.Choices[0] != want.Choices[0] || got.Usage.Prompt != want.Usage.Prompt {
				t.Errorf("turn %d of %s after a restart: %+v, want %+v", turn, agent, got, want)
			}
			if u := got.Usage; turn > 0 &&
				(u.Details.Cached != before[i] || u.Details.Tier != diskTier) {
				t.Errorf("turn %d of %s after a restart: %+v of the prompt cached, want %d", turn,
					agent, u, before[i])
			}
			before[i] = got.Usage.Prompt + got.Usage.Output - 1
			talks[i] = append(talks[i], got.Choices[0].Message)
		}
		p.Process.Signal(syscall.SIGTERM)
		if code := p.end(t); code != 0 {
			t.Fatalf("exit code %d, stderr %s", code, &p.stderr)
		}
	}
}

// A reply is an answer to one of an agent's turns.
type reply struct {
	Choices []struct{ Message message }
	Usage   struct {
		Prompt  int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int    `json:"cached_tokens"`
			Tier   string `json:"tier"`
		} `json:"prompt_tokens_details"`
	}
}

// ask asks for an agent's next answer.
func (p *process) ask(t *testing.T, agent string, talk []message) reply {
	t.Helper()
	return p.askFor(t, agent, talk, 24)
}

// askFor asks for an answer of at most so many tokens.
func (p *process) askFor(t *testing.T, agent string, talk []message, maxTokens int) (r reply) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"messages": talk, "session_id": agent,
		"max_tokens": maxTokens, "temperature": 0})
	if err != nil {
		t.Fatal(err)
	}
	resp := p.chat(t, string(body))
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil ||
		resp.StatusCode != http.StatusOK || len(r.Choices) != 1 {
		t.Fatalf("status %d, %+v, %v", resp.StatusCode, r, err)
	}
	return r
}

// diskTier is the engine's word for a memory that is on disk.
const diskTier = "disk"

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}
