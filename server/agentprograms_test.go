package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"loadstone/engine"
)

// An agentCommand is how an agent is told to do a task with this server, and the call with which
// the model does it.
type agentCommand struct {
	program string // in node_modules/.bin, or one for node, beside node_modules
	args    []string
	said    int               // how many times the program shows what the model said
	files   map[string]string // below the home folder; $URL stands for the server's address
	env     []string
	tools   map[string]string // by the name of a tool that the program has, its arguments
}

var agentCommands = []agentCommand{
	{
		program: "codex",
		args:    []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Read note.txt"},
		files:   map[string]string{".codex/config.toml": "model = \"echo\"\nmodel_provider = \"loadstone\"\nmodel_context_window = 262144\nweb_search = \"disabled\"\n[features]\nimage_generation = false\n[model_providers.loadstone]\nname = \"Loadstone\"\nbase_url = \"$URL/v1\"\nwire_api = \"responses\"\nenv_key = \"LOADSTONE_KEY\"\n"},
		env:     []string{"LOADSTONE_KEY=any"},
		tools:   map[string]string{"shell_command": `{"command":"cat note.txt"}`, "exec_command": `{"cmd":"cat note.txt"}`, "shell": `{"command":["cat","note.txt"]}`},
	},
	{
		program: "claude",
		args:    []string{"-p", "Read note.txt", "--allowedTools", "Bash(cat note.txt)"},
		env: []string{"ANTHROPIC_BASE_URL=$URL", "ANTHROPIC_AUTH_TOKEN=any", "ANTHROPIC_MODEL=echo", "ANTHROPIC_DEFAULT_HAIKU_MODEL=echo",
			"ANTHROPIC_CUSTOM_HEADERS=X-Agent-ID: claude", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"},
		tools: map[string]string{"Bash": `{"command":"cat note.txt"}`},
	},
	{
		program: "opencode",
		args:    []string{"run", "Read note.txt"},
		files:   map[string]string{".config/opencode/opencode.json": `{"$schema": "https://opencode.ai/config.json", "model": "loadstone/echo", "provider": {"loadstone": {"npm": "@ai-sdk/openai-compatible", "name": "Loadstone", "options": {"baseURL": "$URL/v1", "apiKey": "{env:LOADSTONE_KEY}", "headers": {"X-Agent-ID": "opencode"}}, "models": {"echo": {"limit": {"context": 262144, "output": 8192}}}}}}`},
		env:     []string{"LOADSTONE_KEY=any", "OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1"},
		tools:   map[string]string{"read": `{"filePath":"note.txt"}`}, // its shell now and then takes bytes beside the command for a path
	},
	{program: "ai.mjs", said: 4, tools: map[string]string{"read": `{"path":"note.txt"}`}},
	{program: "langchain.mjs", said: 2, tools: map[string]string{"read": `{"path":"note.txt"}`}},
}

// TestAgentCommands runs Codex, Claude Code and opencode themselves, and agents on the Vercel AI
// SDK and LangChain: each asks this server, has the call of its shell, or of its tool, in the
// answer carried out, and shows what the model says of the result. It takes the folder
// node_modules/.bin of testdata/agents, which .ci/run installs.
func TestAgentCommands(t *testing.T) {
	bin := os.Getenv("LOADSTONE_TEST_AGENTS")
	if bin == "" {
		t.Skip("LOADSTONE_TEST_AGENTS names no folder of programs: npm install --prefix " +
			"server/testdata/agents, then its node_modules/.bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range agentCommands {
		t.Run(c.program, func(t *testing.T) {
			if filepath.Ext(c.program) == ".mjs" {
				c.args = []string{filepath.Join(bin, "..", "..", c.program)}
				c.run(t, "node")
			} else {
				c.run(t, filepath.Join(bin, c.program))
			}
		})
	}
}

const (
	agentNote = "the stone is heavy, 4711"
	agentSaid = "I have read the note."
)

func (c agentCommand) run(t *testing.T, program string) {
	model := &echoModel{large: true, after: script(agentSaid).script}
	seen := &toolsSeen{model: model, tools: c.tools}
	s, _ := start(t, Config{AccessLog: LineLog(&seen.log), Aliases: []string{"*"}},
		engine.Config{Model: model, KVBytes: 8 << 20}, seen)
	server := httptest.NewServer(s)
	defer server.Close()

	home, work := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(work, "note.txt"), agentNote+"\n")
	for name, text := range c.files {
		write(filepath.Join(home, name), strings.ReplaceAll(text, "$URL", server.URL))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Dir = work
	// Nothing but this machine can be reached.
	const nowhere = "http://127.0.0.1:9"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=dumb", "NO_COLOR=1",
		"HTTP_PROXY=" + nowhere, "HTTPS_PROXY=" + nowhere, "http_proxy=" + nowhere,
		"https_proxy=" + nowhere, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"LOADSTONE_URL=" + server.URL}
	for _, e := range c.env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(e, "$URL", server.URL))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil || strings.Count(out.String(), agentSaid) < max(c.said, 1) || !seen.note {
		t.Errorf("%v, the note was seen: %v\n%s\n%s", err, seen.note, out.Bytes(), seen.log.String())
	}
	for line := range strings.Lines(seen.log.String()) {
		if strings.Contains(line, "STATUS: 4") || strings.Contains(line, "STATUS: 5") {
			t.Errorf("a request failed: %s", line)
		}
	}
	t.Logf("%s", seen.log.String())
}

// toolsSeen is byteText that notes what the agent sends, and has the model call the agent's shell.
type toolsSeen struct {
	byteText
	model *echoModel
	tools map[string]string
	once  sync.Once
	note  bool // an agent has sent the note as a tool's result
	log   strings.Builder
}

func (s *toolsSeen) EncodeChat(
	roles, contents []string, answers [][]int32, variables map[string]any, limit int,
) ([]int32, error) {
	all := strings.Join(contents, "\n")
	if strings.Contains(all, "<tool_response>") && strings.Contains(all, agentNote) {
		s.note = true
	}
	for name, arguments := range s.tools {
		if described, _ := json.Marshal(name); strings.Contains(all, `"name": `+string(described)) {
			call := fmt.Sprintf("<tool_call>\n{\"name\": %q, \"arguments\": %s}\n</tool_call>", name, arguments)
			s.once.Do(func() { s.model.script = script(call).script })
		}
	}
	return s.byteText.EncodeChat(roles, contents, answers, variables, limit)
}
