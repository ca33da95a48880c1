// Package sdktest has no code. Its tests run the official SDKs of OpenAI and Anthropic, unchanged,
// against a server.
package sdktest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"loadstone/server/service"

	"github.com/anthropics/anthropic-sdk-go"
	aoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// The test binary runs itself as the server.
func TestMain(m *testing.M) {
	if os.Getenv("LOADSTONE_TEST_SERVICE") == "" {
		os.Exit(m.Run())
	}
	if err := service.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

const key = "sk-test"

// serve starts a server with the embedded model and returns its address.
func serve(t *testing.T, args ...string) string {
	t.Helper()
	url, _ := serveUntil(t, args...)
	return url
}

// serveUntil is serve for a test that kills its server before it ends.
func serveUntil(t *testing.T, args ...string) (url string, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe,
		append([]string{"-addr", "127.0.0.1:0", "-backend", "ref", "-access-log", ""}, args...)...)
	cmd.Env = append(os.Environ(), "LOADSTONE_TEST_SERVICE=1", "LOADSTONE_API_KEY="+key)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
		if strings.HasPrefix(lines.Text(), "loadstone: ready") {
			return url, kill
		}
	}
	t.Fatal("the server ended before it was ready")
	return "", nil
}

var weather = openai.FunctionDefinitionParam{
	Name: "weather",
	Parameters: openai.FunctionParameters{
		"type": "object",
		"properties": map[string]any{"place": map[string]any{"enum": []string{"Rome",
			"Oslo"}}, "days": map[string]any{"type": "integer", "minimum": 1, "maximum": 9}},
		"required":             []string{"place", "days"},
		"additionalProperties": false,
	},
	Strict: openai.Bool(true),
}

// isWeather checks a call's arguments against the schema.
func isWeather(t *testing.T, arguments string) {
	t.Helper()
	var a struct {
		Place string
		Days  int
	}
	d := json.NewDecoder(strings.NewReader(arguments))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil || a.Place != "Rome" && a.Place != "Oslo" || a.Days < 1 ||
		a.Days > 9 {
		t.Errorf("arguments %q, %v", arguments, err)
	}
}

func TestOpenAI(t *testing.T) {
	client := openai.NewClient(option.WithBaseURL(serve(t)+"/v1"), option.WithAPIKey(key))
	params := openai.ChatCompletionNewParams{
		Model: "tiny",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."),
			openai.UserMessage("Hello")},
		MaxTokens:   openai.Int(12),
		Temperature: openai.Float(0),
	}
	whole, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	text := whole.Choices[0].Message.Content

	streamed := func(p openai.ChatCompletionNewParams) openai.ChatCompletionAccumulator {
		p.StreamOptions.IncludeUsage = openai.Bool(true)
		stream := client.Chat.Completions.NewStreaming(t.Context(), p)
		var acc openai.ChatCompletionAccumulator
		for stream.Next() {
			if !acc.AddChunk(stream.Current()) {
				t.Errorf("a chunk that does not fit: %s", stream.Current().RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		return acc
	}
	acc := streamed(params)
	if got := acc.Choices[0].Message.Content; got != text ||
		acc.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("streamed %q of %d tokens, whole %q of %d", got, acc.Usage.TotalTokens, text,
			whole.Usage.TotalTokens)
	}

	tools := params
	tools.MaxTokens = openai.Int(200)
	tools.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(weather)}
	tools.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{
		OfAuto: openai.String("required"),
	}
	called, err := client.Chat.Completions.New(t.Context(), tools)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []openai.ChatCompletionMessage{called.Choices[0].Message,
		streamed(tools).Choices[0].Message} {
		if len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "weather" || m.Content != "" {
			t.Fatalf("the calls: %+v", m)
		}
		isWeather(t, m.ToolCalls[0].Function.Arguments)
	}
	tools.Messages = append(tools.Messages, called.Choices[0].Message.ToParam(),
		openai.ToolMessage("rain", called.Choices[0].Message.ToolCalls[0].ID))
	if _, err := client.Chat.Completions.New(t.Context(), tools); err != nil {
		t.Errorf("the turn after a call: %v", err)
	}

	format := params
	format.MaxTokens = openai.Int(200)
	format.ResponseFormat.OfJSONSchema = &openai.ResponseFormatJSONSchemaParam{
		JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{
			Name:   "weather",
			Schema: weather.Parameters,
		},
	}
	held, err := client.Chat.Completions.New(t.Context(), format)
	if err != nil {
		t.Fatal(err)
	}
	isWeather(t, held.Choices[0].Message.Content)

	completion, err := client.Completions.New(t.Context(),
		openai.CompletionNewParams{Model: "tiny",
			Prompt:    openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")},
			MaxTokens: openai.Int(5), Logprobs: openai.Int(2)})
	if err != nil || completion.Usage.CompletionTokens == 0 ||
		len(completion.Choices[0].Logprobs.Tokens) != int(completion.Usage.CompletionTokens) {
		t.Errorf("a completion: %+v, %v", completion, err)
	}
	if list, err := client.Models.List(t.Context()); err != nil || len(list.Data) != 1 ||
		list.Data[0].ID != "tiny" {
		t.Errorf("models: %+v, %v", list, err)
	}
	var refused *openai.Error
	bad := params
	bad.N = openai.Int(9)
	if _, err := client.Chat.Completions.New(t.Context(), bad); !errors.As(err, &refused) ||
		refused.StatusCode != 400 || refused.Param != "n" {
		t.Errorf("n=9: %v", err)
	}
	if _, err := client.Chat.Completions.New(t.Context(), params,
		option.WithAPIKey("sk-other")); !errors.As(err, &refused) || refused.StatusCode != 401 {
		t.Errorf("a wrong key: %v", err)
	}
}

// TestRetries: a client that is told to wait comes back and is served. A client whose own timeout
// ends gets that error.
func TestRetries(t *testing.T) {
	client := openai.NewClient(option.WithBaseURL(serve(t, "-rate", "60")+"/v1"),
		option.WithAPIKey(key), option.WithMaxRetries(2))
	params := openai.ChatCompletionNewParams{Model: "tiny",
		Messages:  []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
		MaxTokens: openai.Int(1)}
	retried := false
	again := option.WithMiddleware(func(r *http.Request,
		next option.MiddlewareNext) (*http.Response, error) {
		resp, err := next(r)
		retried = retried || err == nil && resp.StatusCode == 429
		return resp, err
	})
	for range 1000 { // 60 are taken at once, and then one a second
		if _, err := client.Chat.Completions.New(t.Context(), params, again); err != nil {
			t.Fatal(err)
		}
		if retried {
			break
		}
	}
	if !retried {
		t.Error("the server refused nothing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	params.MaxTokens = openai.Int(300)
	if _, err := client.Chat.Completions.New(ctx, params); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("a client out of patience: %v", err)
	}
}

func TestAnthropic(t *testing.T) {
	client := anthropic.NewClient(aoption.WithBaseURL(serve(t)), aoption.WithAPIKey(key))
	params := anthropic.MessageNewParams{
		Model:       "tiny",
		MaxTokens:   12,
		System:      []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages:    []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
		Temperature: anthropic.Float(0),
	}
	whole, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	streamed := func(p anthropic.MessageNewParams) (m anthropic.Message) {
		stream := client.Messages.NewStreaming(t.Context(), p)
		for stream.Next() {
			if err := m.Accumulate(stream.Current()); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := streamed(params)
	total := func(u anthropic.Usage) int64 {
		return u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens
	}
	count, err := client.Messages.CountTokens(t.Context(),
		anthropic.MessageCountTokensParams{Model: "tiny", Messages: params.Messages,
			System: anthropic.MessageCountTokensParamsSystemUnion{OfTextBlockArray: params.System}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Content[0].Text != whole.Content[0].Text || total(m.Usage) != total(whole.Usage) ||
		count.InputTokens != total(m.Usage) || m.Usage.OutputTokens != whole.Usage.OutputTokens {
		t.Errorf("streamed %+v, whole %+v, counted %d", m.Usage, whole.Usage, count.InputTokens)
	}

	params.MaxTokens = 200
	params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "weather",
		InputSchema: anthropic.ToolInputSchemaParam{
			Properties: weather.Parameters["properties"], Required: []string{"place", "days"}}}}}
	params.ToolChoice = anthropic.ToolChoiceUnionParam{OfAny: &anthropic.ToolChoiceAnyParam{}}
	called, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []anthropic.Message{*called, streamed(params)} {
		if len(m.Content) != 1 || m.StopReason != anthropic.StopReasonToolUse ||
			m.Content[0].Name != "weather" {
			t.Fatalf("the call: %s", m.RawJSON())
		}
		isWeather(t, string(m.Content[0].Input))
	}
	params.Messages = append(params.Messages, called.ToParam(),
		anthropic.NewUserMessage(anthropic.NewToolResultBlock(called.Content[0].ID, "rain", false)))
	if _, err := client.Messages.New(t.Context(), params); err != nil {
		t.Errorf("the turn after a call: %v", err)
	}
	var refused *anthropic.Error
	if _, err := client.Messages.New(t.Context(), params,
		aoption.WithAPIKey("sk-other")); !errors.As(err, &refused) || refused.StatusCode != 401 ||
		refused.RequestID == "" {
		t.Errorf("a wrong key: %v", err)
	}
}
