package client

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// spell is a piece of a chat's answer with a text of five bytes for each of n tokens.
func spell(n int) string {
	return data(strings.Replace(pieceX, "x ", strings.Repeat("word ", n), 1))
}

// A step of a server that computes tokens ahead gives several: in one chunk, or in several that
// come at once. Tokens are counted as the server says, so that the time of a token is that of the
// answer by its tokens; gaps are as they came.
func TestTokensOfDrafts(t *testing.T) {
	end := data(stopped) + data(`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":16,"total_tokens":28,`+
		`"drafts":{"drafted_tokens":20,"accepted_tokens":12}}}`) + data("[DONE]")
	for name, events := range map[string][]string{
		"in one chunk":      {spell(1), spell(5), spell(5), spell(5) + end},
		"in chunks at once": {spell(1), strings.Repeat(spell(1), 5), strings.Repeat(spell(1), 5), strings.Repeat(spell(1), 5) + end},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := stream(streamHead, events...).client(t).Ask(t.Context(), 0, Prompt{MaxTokens: 30})
				assert.Equal(t, r.Outcome, record.OK, r.Error)
				assert.Equal(t, len(r.Notes), 0, "%v", r.Notes)
				assert.DeepEqual(t, []int{r.OutputTokens, r.DraftedTokens, r.AcceptedTokens}, []int{16, 20, 12})
				assert.Equal(t, r.TPOT(), 2*time.Millisecond)
				s := record.Summarize("x", []record.Record{r}, time.Second, -1)
				assert.Equal(t, s.TokensPerSec, 16.0)
				assert.Equal(t, s.TPOT.Mean, 2*time.Millisecond)
				assert.Equal(t, s.ITL.Max, 10*time.Millisecond)
				assert.Equal(t, s.AcceptRatio, 0.6)
				assert.Equal(t, s.TokensPerStep, 4.0)
			})
		})
	}
}

// What servers say of drafts is read in every API, and where llama.cpp says it. What cannot be true
// is noted, and not believed.
func TestDraftsInEveryAPI(t *testing.T) {
	const ours = `"drafts":{"drafted_tokens":7,"accepted_tokens":4}`
	chat := func(usage, beside string) string {
		return data(`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]`+beside+`}`) +
			data(`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":9`+usage+`}}`) + data("[DONE]")
	}
	for name, tc := range map[string]struct {
		api     API
		events  []string
		drafted int
		notes   int
	}{
		"chat":       {Chat, []string{spell(9), chat(","+ours, "")}, 7, 0},
		"llama.cpp":  {Chat, []string{spell(9), chat("", `,"timings":{"predicted_n":9,"draft_n":7,"draft_n_accepted":4}`)}, 7, 0},
		"none":       {Chat, []string{spell(9), chat("", "")}, 0, 0},
		"too many":   {Chat, []string{spell(9), chat(`,"drafts":{"drafted_tokens":3,"accepted_tokens":4}`, "")}, 0, 1},
		"all of it":  {Chat, []string{spell(9), chat(`,"drafts":{"drafted_tokens":9,"accepted_tokens":9}`, "")}, 0, 1},
		"not counts": {Chat, []string{spell(9), chat(`,"drafts":[1,2]`, "")}, 0, 0},
		"messages": {Messages, []string{typedEvent("message_start", messageStart) + blockDelta("0", `{"type":"text_delta","text":"a nice day"}`),
			strings.Replace(messageEnd("max_tokens"), `"output_tokens":9`, `"output_tokens":9,`+ours, 1)}, 7, 0},
		"responses": {Responses, []string{typedEvent("response.created", created) + delta("reasoning_text", `"hm"`) + delta("output_text", `"a nice day"`),
			strings.Replace(responseEnd("completed", ""), `"output_tokens":9`, `"output_tokens":9,`+ours, 1)}, 7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := stream(streamHead, tc.events...).client(t)
				c.API = tc.api
				r := c.Ask(t.Context(), 0, Prompt{})
				assert.Equal(t, r.Outcome, record.OK, r.Error)
				assert.Equal(t, len(r.Notes), tc.notes, "%v", r.Notes)
				assert.DeepEqual(t, []int{r.OutputTokens, r.DraftedTokens, r.AcceptedTokens}, []int{9, tc.drafted, tc.drafted * 4 / 7})
			})
		})
	}
}
