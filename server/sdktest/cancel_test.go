package sdktest

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	aoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"gotest.tools/v3/poll"
)

// metric returns the value of a series of the server's metrics.
func metric(t *testing.T, url, series string) float64 {
	t.Helper()
	r, err := http.NewRequest("GET", url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", series)
	return 0
}

// TestCancel: the server stops working for a client that closes its stream.
func TestCancel(t *testing.T) {
	url := serve(t)
	left := func(n float64) {
		t.Helper()
		poll.WaitOn(t, func(poll.LogT) poll.Result {
			if metric(t, url, `loadstone_ended_total{how="cancelled"}`) == n &&
				metric(t, url, `loadstone_pool_blocks{state="used"}`) == 0 {
				return poll.Success()
			}
			return poll.Continue("the server goes on for a client that is gone")
		}, poll.WithTimeout(time.Minute), poll.WithDelay(10*time.Millisecond))
	}
	// The answers are too long to end, or to fit between the server and a client that does not read,
	// before the client has gone.
	const long = 20_000
	oa := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key))
	chunks := oa.Chat.Completions.NewStreaming(t.Context(),
		openai.ChatCompletionNewParams{Model: "tiny", MaxTokens: openai.Int(long),
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Tell me everything.")}},
		option.WithJSONSet("ignore_eos", true))
	for range 3 {
		if !chunks.Next() {
			t.Fatal(chunks.Err())
		}
	}
	chunks.Close()
	left(1)

	an := anthropic.NewClient(aoption.WithBaseURL(url), aoption.WithAPIKey(key))
	events := an.Messages.NewStreaming(t.Context(),
		anthropic.MessageNewParams{Model: "tiny", MaxTokens: long,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Tell me everything."))}},
		aoption.WithJSONSet("ignore_eos", true))
	for range 3 {
		if !events.Next() {
			t.Fatal(events.Err())
		}
	}
	events.Close()
	left(2)
}

// TestMemories: both APIs find an agent's memory again, and the agents' own API moves it to another
// server that knows the principal by the same name and has the same seal key.
func TestMemories(t *testing.T) {
	dir := t.TempDir()
	written := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := []string{"-api-key-file", written("keys", "research "+key+"\n"),
		"-seal-key-file", written("seal", strings.Repeat("1b", 32)+"\n"), "-agents-dir"}
	url := serve(t, append(keys, t.TempDir())...)
	oa := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key),
		option.WithHeader("X-Agent-ID", "ada"))
	params := openai.ChatCompletionNewParams{Model: "tiny", MaxTokens: openai.Int(12),
		Temperature: openai.Float(0),
		Messages:    []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}}
	first, err := oa.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	an := anthropic.NewClient(aoption.WithBaseURL(url), aoption.WithAPIKey(key),
		aoption.WithHeader("X-Session-ID", "ada"))
	second, err := an.Messages.New(t.Context(),
		anthropic.MessageNewParams{Model: "tiny", MaxTokens: 12, Messages: []anthropic.MessageParam{
			anthropic.NewUserMessage(anthropic.NewTextBlock("Hello")),
			anthropic.NewAssistantMessage(anthropic.NewTextBlock(first.Choices[0].Message.Content)),
			anthropic.NewUserMessage(anthropic.NewTextBlock("And then?")),
		}})
	if had := first.Usage.TotalTokens - 1; err != nil || second.Usage.CacheReadInputTokens < had {
		t.Errorf("the second turn reads %d of the %d tokens that the first left; %v",
			second.Usage.CacheReadInputTokens, had, err)
	}
	var agent struct {
		AgentID string `json:"agent_id"`
		Tokens  int64  `json:"tokens"`
	}
	if err := oa.Get(t.Context(), "agents/ada", nil, &agent); err != nil ||
		agent.AgentID != "ada" || agent.Tokens <= first.Usage.TotalTokens {
		t.Errorf("the agent: %+v, %v", agent, err)
	}
	var refused *openai.Error
	tries := 0
	count := option.WithMiddleware(func(r *http.Request,
		next option.MiddlewareNext) (*http.Response, error) {
		tries++
		return next(r)
	})
	if err := oa.Post(t.Context(), "agents", map[string]string{"agent_id": "ada"}, nil,
		count); !errors.As(err, &refused) || refused.StatusCode != 409 || tries != 1 {
		t.Errorf("creating what is there: %v after %d tries", err, tries)
	}
	var file *http.Response
	if err := oa.Get(t.Context(), "agents/ada/export", nil, &file); err != nil {
		t.Fatal(err)
	}
	defer file.Body.Close()
	there := openai.NewClient(option.WithBaseURL(serve(t, append(keys, t.TempDir())...)+"/v1"),
		option.WithAPIKey(key))
	body, err := io.ReadAll(file.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Post(t.Context(), "agents/import", nil, &agent,
		option.WithRequestBody("application/octet-stream", body)); err != nil ||
		agent.AgentID != "ada" {
		t.Errorf("import: %+v, %v", agent, err)
	}
}
