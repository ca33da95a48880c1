package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/assert/cmp"

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

func TestCheckFindsPlantedBugs(t *testing.T) {
	for _, tc := range []struct{ bug, want string }{
		{"", ""},
		{"another agent's answer", "leak: agent b, turn 0: the answer has the secret of agent a in it"},
		{"another agent's cache", "cache: agent a, turn 0: 8 tokens of a new agent's prompt were cached; all prompts share 0"},
		{"more cached than there is", "tokens: agent a, turn 0: 99 tokens of a prompt of 8 were cached"},
		{"another answer under load", "identity: agent b, turn 0: the answer parts from the one given alone at byte 7 of 8"},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var first string
				inFlight := 0
				h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
					var body struct{ Messages []client.Message }
					json.NewDecoder(r.Body).Decode(&body)
					inFlight++
					words := strings.Fields(body.Messages[0].Content)
					answer, cached := fmt.Sprint("words: ", len(words)), 0
					if first == "" {
						first = words[0]
					}
					switch {
					case tc.bug == "another agent's answer" && first != words[0]:
						answer = first
					case tc.bug == "another agent's cache":
						cached = len(words)
					case tc.bug == "more cached than there is":
						cached = 99
					case tc.bug == "another answer under load" && inFlight > 2:
						answer = "words: many"
					}
					fmt.Fprintf(w, `{"choices":[{"message":{"content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":%d}}}`,
						answer, len(words), cached)
				})
				ask := func() (all []record.Record) {
					for i, name := range []string{"a", "b"} {
						p := NewConversation(name, uint64(i)).Ask(4, 8)
						all = append(all, h.Client.Ask(t.Context(), h.Client.Since(), p))
					}
					return all
				}
				alone, under := ask(), ask()
				found := append(record.Check(alone, 0), record.CompareAnswers(alone, under[1:])...)
				if tc.want == "" {
					assert.Equal(t, len(found), 0, "%v", found)
					return
				}
				assert.Assert(t, len(found) > 0, "not found")
				assert.Equal(t, found[0].String(), tc.want)
			})
		})
	}
}

// A leak is found wherever in a measurement it is: an answer that is not kept any more, with the
// secret of one who asked first.
func TestLeakFarApart(t *testing.T) {
	for _, bug := range []bool{false, true} {
		for name, measure := range map[string]func(ctx context.Context, c *client.Client) ([]record.Run, error){
			"load": func(ctx context.Context, c *client.Client) ([]record.Run, error) {
				l := load.Load{Name: "long", Cache: "cold", Concurrency: 3, Requests: 2500, Prompt: load.Fixed(5), Answer: load.Fixed(3)}
				runs, _, err := Plan{Loads: []load.Load{l}, Runs: 1, Keep: 100}.Run(ctx, c)
				return runs, err
			},
			"bench": func(ctx context.Context, c *client.Client) ([]record.Run, error) {
				runs, _, err := Plan{Loads: five(1250, 300, 3, "single-cold"), Runs: 2, Keep: 100}.Run(ctx, c)
				return runs, err
			},
		} {
			t.Run(fmt.Sprint(name, " leaks ", bug), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					var first string
					requests := 0
					h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path != "/v1/chat/completions" {
							w.WriteHeader(http.StatusNotFound)
							return
						}
						var body struct{ Messages []client.Message }
						json.NewDecoder(r.Body).Decode(&body)
						answer, _, _ := strings.Cut(body.Messages[0].Content, " ")
						mu.Lock()
						defer mu.Unlock()
						if requests++; requests == 3 { // after the two that wake the server up
							first = answer
						}
						if bug && requests == 2400 {
							answer = first
						}
						fmt.Fprintf(w, `{"choices":[{"message":{"content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":1}}`, answer)
					})
					runs, err := measure(t.Context(), h.Client)
					assert.NilError(t, err)
					var found []string
					total := 0
					for _, run := range runs {
						total += len(run.Records) + run.Rest.Requests
						for _, v := range run.Violations {
							found = append(found, v.About)
						}
					}
					assert.Equal(t, total, 2500)
					if !bug {
						assert.Equal(t, len(found), 0, "%v", found)
						return
					}
					assert.DeepEqual(t, found, []string{"the answer has the secret of another agent, " + first + ", in it"})
				})
			})
		}
	}
}

// In a measurement as well an answer under load is held to the one given alone: another agent's
// without a secret in it is found whether or not the server tells how likely its tokens were, and
// what rounding may explain is counted and nothing worse.
func TestMixUp(t *testing.T) {
	for _, tc := range []struct {
		bug       string
		logprobs  bool
		violation string // as a pattern; "" none
		said      func(a record.Again) bool
	}{
		{"", true, "", func(a record.Again) bool { return a.Differ == 0 }},
		{"another agent's answer", true, `alone afterwards the answer is another from byte \d+ of \d+ on, where the choice was clear by 3\.00 nats`, func(a record.Again) bool { return a.Differ > 0 && a.Rounded+a.Open == 0 }},
		{"another agent's answer", false, `was given the very same answer, and alone each gets another|is the one that agent \S+ gets alone`, func(a record.Again) bool { return a.Differ > a.Open }},
		{"the batch decides near ties", true, "", func(a record.Again) bool { return a.Differ > 0 && a.Rounded == a.Differ }},
		{"the batch decides", true, `where the choice was clear by 3\.00 nats`, func(a record.Again) bool { return a.Differ > 0 }},
		{"the batch decides", false, "", func(a record.Again) bool { return a.Differ > 0 && a.Open == a.Differ }},
	} {
		for name, measure := range map[string]func(ctx context.Context, c *client.Client) ([]record.Run, error){
			"load": func(ctx context.Context, c *client.Client) ([]record.Run, error) {
				l := load.Load{Name: "mixed", Cache: "cold", Concurrency: 3, Requests: 30, Turns: load.Fixed(3), Prompt: load.Fixed(12), Answer: load.Fixed(8)}
				runs, _, err := Plan{Loads: []load.Load{l}, Runs: 2, Again: AskedAgain}.Run(ctx, c)
				return runs, err
			},
			"bench": func(ctx context.Context, c *client.Client) ([]record.Run, error) {
				runs, _, err := Plan{Loads: five(4, 20, 8, "concurrent-5"), Runs: 2, Again: AskedAgain}.Run(ctx, c)
				return runs, err
			},
		} {
			t.Run(fmt.Sprintf("%s, %s, logprobs %v", name, tc.bug, tc.logprobs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					liar := &clienttest.Liar{Bug: tc.bug, Silent: !tc.logprobs}
					c, _ := clienttest.Serve(t, liar)
					runs, err := measure(t.Context(), c)
					assert.NilError(t, err)
					assert.Equal(t, len(runs), 2)
					var said record.Again
					var found []record.Violation
					for _, run := range runs {
						said, found = said.Add(run.Again), append(found, run.Violations...)
						again := 0
						for _, r := range run.Warmup {
							if r.Intent == "asked again, alone" {
								again++
								assert.Equal(t, r.Cache, load.Hot)
								assert.Assert(t, r.CachedTokens > 0, "its own prompt was in the cache")
							}
						}
						assert.Equal(t, again, AskedAgain)
					}
					assert.Equal(t, said.Compared, 2*AskedAgain)
					assert.Assert(t, tc.said(said), "%+v", said)
					if tc.violation == "" {
						assert.Equal(t, len(found), 0, "%v", found)
						return
					}
					assert.Assert(t, len(found) > 0)
					for _, v := range found {
						assert.Equal(t, v.Check, record.CheckIdentity)
						assert.Assert(t, cmp.Regexp(tc.violation, v.About))
						assert.Assert(t, v.Turn > 0 || name == "load")
					}
				})
			})
		}
	}
}
