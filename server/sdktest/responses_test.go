package sdktest

import (
	"errors"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

// TestResponses: the official Go client reads every event and every item of the Responses API, and
// continues a conversation that a restarted server has on disk.
func TestResponses(t *testing.T) {
	dir := t.TempDir()
	url, stop := serveUntil(t, "-agents-dir", dir)
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key))
	input := func(text string) responses.ResponseNewParamsInputUnion {
		return responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}
	}
	params := responses.ResponseNewParams{
		Model:           "tiny",
		Input:           input("Hello"),
		Instructions:    openai.String("Be brief."),
		MaxOutputTokens: openai.Int(12),
		Temperature:     openai.Float(0),
	}
	whole, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if whole.OutputText() == "" || whole.Status != responses.ResponseStatusIncomplete && whole.Status != responses.ResponseStatusCompleted {
		t.Errorf("%s", whole.RawJSON())
	}
	streamed := func(p responses.ResponseNewParams) (names []string, text string, final responses.Response) {
		t.Helper()
		stream := client.Responses.NewStreaming(t.Context(), p)
		var number int64
		for stream.Next() {
			e := stream.Current()
			if e.SequenceNumber != number {
				t.Errorf("event %d has the number %d", number, e.SequenceNumber)
			}
			number++
			if n := len(names); n == 0 || names[n-1] != e.Type {
				names = append(names, e.Type)
			}
			switch v := e.AsAny().(type) {
			case responses.ResponseTextDeltaEvent:
				text += v.Delta
			case responses.ResponseFunctionCallArgumentsDeltaEvent:
				text += v.Delta
			case responses.ResponseCompletedEvent:
				final = v.Response
			case responses.ResponseIncompleteEvent:
				final = v.Response
			case nil:
				t.Errorf("an event that the client does not know: %s", e.RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		return names, text, final
	}
	names, text, final := streamed(params)
	want := "response.created response.in_progress response.output_item.added response.content_part.added " +
		"response.output_text.delta response.output_text.done response.content_part.done response.output_item.done response." + string(final.Status)
	if got := strings.Join(names, " "); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
	if text != whole.OutputText() || final.OutputText() != text || final.Usage.TotalTokens != whole.Usage.TotalTokens {
		t.Errorf("streamed %q and %q, whole %q", text, final.OutputText(), whole.OutputText())
	}

	tools := params
	tools.MaxOutputTokens = openai.Int(200)
	tools.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", weather.Parameters, true)}
	tools.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{OfToolChoiceMode: openai.Opt(responses.ToolChoiceOptionsRequired)}
	names, text, final = streamed(tools)
	want = "response.created response.in_progress response.output_item.added " +
		"response.function_call_arguments.delta response.function_call_arguments.done response.output_item.done response.completed"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
	call := final.Output[0].AsFunctionCall()
	isWeather(t, call.Arguments)
	if call.Name != "weather" || call.Arguments != text || len(final.Output) != 1 {
		t.Errorf("streamed %q, %s", text, final.RawJSON())
	}
	result := tools
	result.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{}
	result.MaxOutputTokens = openai.Int(12)
	result.PreviousResponseID = openai.String(final.ID)
	rain := responses.ResponseInputItemParamOfFunctionCallOutput("rain")
	rain.OfFunctionCallOutput.CallID = openai.String(call.CallID)
	result.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{rain}}
	after, err := client.Responses.New(t.Context(), result)
	if err != nil {
		t.Fatal("the turn after a call:", err)
	}
	// The call's turn was anonymous, of which whole blocks are cached.
	if after.Usage.InputTokensDetails.CachedTokens == 0 {
		t.Errorf("nothing was cached: %s", after.RawJSON())
	}

	// Another server goes on from the directory.
	stop()
	client = openai.NewClient(option.WithBaseURL(serve(t, "-agents-dir", dir)+"/v1"), option.WithAPIKey(key))
	next := params
	next.Input, next.PreviousResponseID = input("And now?"), openai.String(after.ID)
	third, err := client.Responses.New(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Responses.Get(t.Context(), third.ID, responses.ResponseGetParams{})
	if err != nil || got.OutputText() != third.OutputText() || got.PreviousResponseID != after.ID {
		t.Errorf("%v, %s", err, got.RawJSON())
	}
	items, err := client.Responses.InputItems.List(t.Context(), third.ID, responses.InputItemListParams{})
	if err != nil || len(items.Data) != 1 || !strings.Contains(items.RawJSON(), "And now?") {
		t.Errorf("%v, %s", err, items.RawJSON())
	}
	if err := client.Responses.Delete(t.Context(), third.ID); err != nil {
		t.Error(err)
	}
	var refused *openai.Error
	if _, err := client.Responses.Get(t.Context(), third.ID, responses.ResponseGetParams{}); !errors.As(err, &refused) || refused.StatusCode != 404 {
		t.Errorf("a deleted response: %v", err)
	}
	if _, err := client.Responses.Cancel(t.Context(), after.ID); !errors.As(err, &refused) || refused.StatusCode != 400 {
		t.Errorf("a response that has ended: %v", err)
	}
	next.PreviousResponseID = openai.String(third.ID)
	if _, err := client.Responses.New(t.Context(), next); !errors.As(err, &refused) || refused.Code != "previous_response_not_found" {
		t.Errorf("a previous response that is deleted: %v", err)
	}
}
