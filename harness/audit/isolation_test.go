package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
)

// A tenants is a server with several principals, simulated in memory: its time to first token is
//
//	20 ms and 0.25 ms for each token that is not cached,
//	times a factor whose logarithm is normal, of a standard deviation of 0.2,
//	and one time in fifty three times as much again, as when a garbage collector comes in between,
//	all of it up to 30 % slower and faster in the course of every 70 answers
//
// A token is a word, and a block has 32. It keeps principals apart but for what is planted.
type tenants struct {
	bug string
	rng *rand.Rand

	known   map[string]bool // blocks, by domain and all words up to their end
	agents  map[string]bool // by principal and name
	last    string
	answers int
}

const simBlock = 32

// domain is where a block is kept.
func (s *tenants) domain(principal string, block int) string {
	switch {
	case s.bug == "everything is shared", s.bug == "one block is shared" && block == 0,
		s.bug == "the second block is shared" && block == 1:
		return "all"
	}
	return principal
}

func (s *tenants) RoundTrip(r *http.Request) (*http.Response, error) {
	principal := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var body struct {
		Messages []struct{ Content string }
	}
	if r.Body != nil {
		json.NewDecoder(r.Body).Decode(&body)
	}
	if r.URL.Path != "/v1/chat/completions" {
		return s.name(r, principal)
	}
	words := strings.Fields(body.Messages[0].Content)
	cached, prefix := 0, true
	for b := 0; (b+1)*simBlock < len(words); b++ {
		key := s.domain(principal, b) + " " + strings.Join(words[:(b+1)*simBlock], " ")
		if prefix = prefix && s.known[key] || s.bug == "the second block is shared" && s.known[key]; prefix {
			cached += simBlock
		}
		s.known[key] = true
	}
	if s.bug == "nothing is cached" {
		cached = 0
	}
	if agent := r.Header.Get("X-Agent-Id"); agent != "" {
		s.agents[principal+" "+agent] = true
	}
	answer, reported := "ok", fmt.Sprint(cached)
	switch s.bug {
	case "answers of others":
		answer, s.last = s.last, body.Messages[0].Content
	case "one block is shared", "the second block is shared", "no counts":
		reported = "null" // so that the time alone tells
	case "counts of others":
		reported = fmt.Sprint(len(words) / simBlock * simBlock)
		if !s.known["all "+words[len(words)-1]+words[0]] {
			reported = "0"
		}
		s.known["all "+words[len(words)-1]+words[0]] = true
	}
	s.answers++
	ms := (20 + 0.25*float64(len(words)-cached)) * math.Exp(0.2*s.rng.NormFloat64())
	if s.rng.IntN(50) == 0 {
		ms *= 4
	}
	time.Sleep(time.Duration(ms * (1 + 0.3*math.Sin(float64(s.answers)*2*math.Pi/70)) * float64(time.Millisecond)))
	text, _ := json.Marshal(answer)
	return reply200("text/event-stream", fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%s}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":%s}}}\n\ndata: [DONE]\n\n", text, len(words), reported)), nil
}

// name serves what is not a prompt.
func (s *tenants) name(r *http.Request, principal string) (*http.Response, error) {
	tail, ok := strings.CutPrefix(r.URL.Path, "/v1/agents")
	if !ok {
		if r.URL.Path == "/metrics" && s.bug == "labels" {
			return reply200("text/plain", fmt.Sprint(s.agents)), nil
		}
		return reply(404, "text/plain", "no such path"), nil
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(tail, "/"), "/")
	switch {
	case name == "":
		list := ""
		for a := range s.agents {
			if strings.HasPrefix(a, principal+" ") || s.bug == "lists of others" {
				list += a + "\n"
			}
		}
		return reply200("text/plain", list), nil
	case s.agents[principal+" "+name], s.bug == "names of others" && s.agents["a "+name]:
		if r.Method == "DELETE" {
			delete(s.agents, principal+" "+name)
		}
		return reply200("application/json", "{}"), nil
	case s.bug == "403 for what is another's" && s.agents["a "+name]:
		return reply(403, "application/json", "not yours"), nil
	}
	return reply(404, "application/json", "no agent "+name), nil
}

func reply(status int, kind, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func reply200(kind, body string) *http.Response { return reply(200, kind, body) }

// isolate checks a simulated server.
func isolate(t *testing.T, bug string, seed uint64, probes int) (findings []Finding) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{bug: bug, rng: rand.New(rand.NewPCG(seed, 18)), known: map[string]bool{}, agents: map[string]bool{}}
		of := func(key string) *client.Client {
			c := client.NewWithTransport("http://server", s)
			c.Key = key
			return c
		}
		var err error
		findings, err = Isolation{A: of("a"), B: of("b"), Probes: probes, Words: 64, MaxTokens: 1, Seed: seed}.Run(context.Background())
		assert.NilError(t, err)
	})
	return findings
}

func find(findings []Finding, name Check) Finding {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		return Finding{}
	}
	return findings[i]
}

// Each planted leak is found by the check that is for it, and a server without one passes.
func TestIsolationFindsPlantedLeaks(t *testing.T) {
	for _, tc := range []struct {
		bug     string
		check   Check
		verdict Judgement
		about   string
	}{
		{"", "", Passed, ""},
		{"nothing is cached", Own, Unknown, "does not find its own"},
		{"no counts", Prefix, Unknown, "no cached_tokens"},
		{"everything is shared", Prefix, Broken, "64 tokens of a prompt are cached"},
		{"everything is shared", Timing, Broken, "a thousand probes tell"},
		{"one block is shared", Timing, Broken, "a thousand probes tell"},
		{"counts of others", Prefix, Broken, "tokens of a prompt are cached"},
		{"answers of others", Contents, Broken, "has a secret"},
		{"lists of others", Agents, Broken, "the list of agents"},
		{"names of others", Agents, Broken, "GET /v1/agents/ID"},
		{"403 for what is another's", Agents, Broken, "403 and 9 bytes, what is nobody's 404"},
		{"labels", Metrics, Broken, "/metrics names an agent"},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			findings := isolate(t, tc.bug, 5, 280)
			if tc.bug == "" {
				for _, f := range findings {
					if f.Verdict != Passed && f.Name != Stored {
						t.Errorf("%+v", f)
					}
				}
				return
			}
			if f := find(findings, tc.check); f.Verdict != tc.verdict || !strings.Contains(f.About, tc.about) {
				t.Errorf("%s: %s: %s", f.Name, f.Verdict, f.About)
			}
		})
	}
}

// A leak of one block of 32 tokens, which is 8 ms of 36 here, is found with p < 0.001 in fewer than
// 300 probes, each of 20 times.
func TestOneBlockIsFound(t *testing.T) {
	for seed := range uint64(20) {
		f := find(isolate(t, "one block is shared", 100+seed, 280), Timing)
		if f.Verdict != Broken || f.Leak.P >= 0.001 || f.Leak.ShiftLo > 8 || f.Leak.ShiftHi < 6 || f.Leak.BitsLo <= 0 {
			t.Errorf("seed %d: %s: %s", seed, f.Verdict, f.About)
		}
	}
}

// Of 200 checks of a server that keeps its principals apart, as many raise an alarm as the rate of
// one in a thousand allows: none, or one by bad luck (p = 0.18); with these seeds none. The p of
// the checks is uniform, so that the rate is the one that is stated.
func TestIsolatedServersRaiseNoAlarm(t *testing.T) {
	if testing.Short() {
		t.Skip("112 000 requests")
	}
	var ps []float64
	covered := 0
	for seed := range uint64(200) {
		f := find(isolate(t, "", 1000+seed, 280), Timing)
		if f.Verdict != Passed {
			t.Errorf("seed %d: %s: %s", seed, f.Verdict, f.About)
		}
		ps = append(ps, f.Leak.P)
		if f.Leak.ShiftLo <= 0 && f.Leak.ShiftHi >= 0 && f.Leak.BitsLo <= 0 {
			covered++
		}
	}
	slices.Sort(ps)
	distance := 0.0 // Kolmogorov's
	for i, p := range ps {
		distance = max(distance, math.Abs(p-float64(i)/200), math.Abs(p-float64(i+1)/200))
	}
	t.Logf("the smallest p is %.4f, Kolmogorov's distance from uniform %.3f; %d of 200 intervals have 0 in them", ps[0], distance, covered)
	if distance > 1.63/math.Sqrt(200) { // 1 %
		t.Errorf("p is not uniform: distance %.3f", distance)
	}
	if covered < 180 {
		t.Errorf("%d of 200 intervals of 95 %% have 0 in them", covered)
	}
}
