package audit

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client/clienttest"
)

// Each planted bug is found by the check that is for it, with the words that describe it. A server
// without a bug passes all checks.
func TestAuditFindsPlantedBugs(t *testing.T) {
	for _, tc := range []struct {
		bug     string
		check   Check
		verdict Judgement
		about   string
	}{
		{"", "", Passed, ""},
		{"another agent's secret", "leaks", Broken, "the answer has the secret of agent"},
		{"another agent's answer", "identity", Broken, "there its choice was clear, by 3.00 nats"},
		{"the batch decides", "identity", Broken, "the answer parts from the one given alone at byte"},
		{"the batch decides near ties", "identity", Variant, "they depend on batch or cache, and are not corrupt"},
		{"the cache decides", "identity", Variant, "as the server differs alone"},
		{"one answer for all", "identity", Unknown, "all 4 conversations get one and the same answer"},
		{"what is called cached is computed", "hits", Unknown, "what is called cached saves no time: a prompt that is sent again gets its first token after 22ms, a new one after 22ms"},
		{"what is called cached is computed after a restart", "hits", Unknown, "after a restart what is called cached saves no time: the conversations go on after"},
		{"another answer each time", "repeatable", Broken, "the answer parts"},
		{"too much cached", "tokens", Broken, "of a prompt of"},
		{"another's memory", "cache", Broken, "tokens were cached, and the agent had"},
		{"usage of nothing", "tokens", Broken, "an answer of 0 tokens has a text"},
		{"usage of too few", "tokens", Broken, "8 pieces of an answer of 2 tokens"},
		{"every frame twice", "tokens", Broken, "16 pieces of an answer of 8 tokens"},
		{"a frame twice under load", "identity", Broken, "bytes came twice"},
		{"a frame twice under load", "tokens", Broken, "9 pieces of an answer of 8 tokens: 1 piece came twice"},
		{"a frame is lost under load", "identity", Broken, "bytes is missing"},
		{"a character in two frames", "answered", Broken, "alone, a request ends as failed: event is not a chunk"},
		{"no [DONE] under load", "answered", Broken, "under load, a request ends as truncated: stream ended after 8 chunks without its [DONE]"},
		{"stuck", "answered", Broken, "under load, a request ends as timeout: no end after"},
		{"503 without Retry-After", "answered", Broken, "under load, a request ends as failed: 503"},
		{"counters that forget", "counters", Broken, "loadstone_tokens_total rose by"},
		{"a block is lost with each request", "recovery", Broken, "15s after the last request: "},
		{"a block is lost with each abort", "recovery", Broken, "15s after the last request: "},
		{"aborted requests run on", "recovery", Broken, "15s after the last request: "},
		{"a goroutine stays with each abort", "recovery", Broken, "15s after the last request: "},
		{"slow ever after an abort", "solo", Broken, "alone, the first token takes 66ms, and took 22ms"},
		{"slow ever after a load", "solo", Broken, "alone, the first token takes 66ms, and took 22ms"},
		{"another answer after a restart", "restart", Broken, "the answer parts"},
		{"answers encoded anew after a restart", "restart", Variant, "4 of 4 conversations go on from their answers' text"},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &clienttest.Liar{Bug: tc.bug, Silent: tc.bug == "the cache decides"}
				c, _ := clienttest.Serve(t, server)
				a := Audit{Agents: 4, Turns: 3, Words: 20, MaxTokens: 8, Aborts: 40, Seed: 7}
				a.Restart = func(context.Context) error { server.Restart(); return nil }
				findings, err := a.Run(t.Context(), c)
				i := slices.IndexFunc(findings, func(f Finding) bool { return f.Name == tc.check })
				if tc.check == "" {
					assert.NilError(t, err)
					assert.Equal(t, len(findings), 13)
					for _, f := range findings {
						assert.Equal(t, f.Verdict, Passed, "%s: %s", f.Name, f.About)
					}
					return
				}
				assert.Assert(t, i >= 0, "no finding on %s: %v", tc.check, findings)
				assert.Equal(t, findings[i].Verdict, tc.verdict, findings[i].About)
				about := findings[i].About
				assert.Assert(t, strings.Contains(about, tc.about), "%s", about)
			})
		})
	}
}
