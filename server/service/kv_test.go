//go:build mlx

package service

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"loadstone/engine/catalog"
)

// kvDrift is how far a token's log-probability may be from that in float32. Where the two likeliest
// tokens are within twice that, the answers may part. The value for float32 itself is for steps of
// other sizes.
var kvDrift = map[string]float64{"f32": 1e-3, "f16": 0.02, "q8": 0.3, "q4": 2}

// TestKVThroughServer has one greedy conversation, longer than the window of Gemma 3 270M, with a
// server for each format of the KV cache. Formats agree with float32 within kvDrift, and a server
// that is restarted before each turn gives the same answers to the last bit as one that is not.
// When the last question is sent again, the two may find KV that was computed in steps of different
// sizes.
func TestKVThroughServer(t *testing.T) {
	// With activations of 8 bits, a difference in the last bit soon becomes one in the first.
	t.Setenv("LOADSTONE_ISA", "float32")
	const model = "gemma3-270m"
	if _, err := catalog.Open(model); err != nil {
		t.Skip(err) // the error says how to get the model
	}
	var exact []kvAnswer
	for _, kv := range append([]string{"f32"}, roundingFormats()...) {
		got := converse(t, model, kv)
		if kv == "f32" {
			exact = got
			continue
		}
		worst, n := 0.0, 0
		for turn := range exact {
			same, off, err := got[turn].drift(exact[turn], kvDrift[kv])
			if err != nil {
				t.Errorf("%s, turn %d beside float32: %v", kv, turn, err)
			}
			n, worst = n+same, max(worst, off)
			if same < len(exact[turn].Logprobs.Content) {
				break
			}
		}
		t.Logf("%s: %d tokens as in float32, log-probabilities within %.2g", kv, n, worst)
		if n == 0 {
			t.Errorf("%s: the first token is another one", kv)
		}
	}
}

// drift returns how many tokens two answers begin with in common, and how far their
// log-probabilities are apart at most. It returns an error where that is beyond limit, or where the
// answers part too early.
func (a kvAnswer) drift(want kvAnswer, limit float64) (same int, worst float64, err error) {
	for i, w := range want.Logprobs.Content {
		if i >= len(a.Logprobs.Content) || a.Logprobs.Content[i].Token != w.Token {
			if gap := w.TopLogprobs[0].Logprob - w.TopLogprobs[1].Logprob; gap > 2*limit {
				return i, worst, fmt.Errorf(
					"it parts at token %d, where the likeliest two are %g apart", i, gap)
			}
			return i, worst, nil
		}
		off := math.Abs(a.Logprobs.Content[i].Logprob - w.Logprob)
		if worst = max(worst, off); off > limit {
			return i, worst, fmt.Errorf("token %d has log-probability %g, not %g", i,
				a.Logprobs.Content[i].Logprob, w.Logprob)
		}
	}
	return len(want.Logprobs.Content), worst, nil
}

type kvAnswer struct {
	Message  message
	Logprobs struct{ Content []kvToken }
}

type kvToken struct {
	Token       string
	Logprob     float64
	TopLogprobs []struct{ Logprob float64 } `json:"top_logprobs"`
}

// converse has the conversation with two servers, of which one is restarted before each turn.
func converse(t *testing.T, model, kv string) (answers []kvAnswer) {
	t.Helper()
	var facts strings.Builder
	for i := range 50 {
		fmt.Fprintf(&facts, "House %d has %d windows and a %s door. ", i+1, i*7%11+2,
			[]string{"green", "red", "blue", "white", "black"}[i*3%5])
	}
	args := []string{"-kv", kv, "-kv-bytes", "128MiB"}
	steady, dir := startOn(t, model, BackendMLX,
		append(args, "-agents-dir", t.TempDir())...), t.TempDir()
	questions := []string{facts.String() + "Which houses have a red door?",
		"And which have a blue one?", "How many windows has house 7?", ""}
	var talk []message
	for turn, question := range questions {
		if question == "" {
			talk = talk[:len(talk)-1] // send the last question again
		} else {
			talk = append(talk, message{"user", question})
		}
		body, err := json.Marshal(map[string]any{"messages": talk, "session_id": "ada",
			"max_tokens": 24, "temperature": 0, "logprobs": true, "top_logprobs": 2})
		if err != nil {
			t.Fatal(err)
		}
		p := startOn(t, model, BackendMLX, append(args, "-agents-dir", dir)...)
		want, known := answerKV(t, steady, string(body))
		got, restored := answerKV(t, p, string(body))
		if restored != known {
			t.Errorf("%s, turn %d: %d tokens of the prompt are cached after a restart, %d without",
				kv, turn, restored, known)
		}
		p.Process.Signal(syscall.SIGTERM)
		if code := p.end(t); code != 0 {
			t.Fatalf("exit code %d, stderr %s", code, &p.stderr)
		}
		if question == "" {
			if _, _, err := got.drift(want, kvDrift[kv]); err != nil {
				t.Errorf("%s, sent again after a restart: %v", kv, err)
			}
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s, turn %d: after a restart %+v, without %+v", kv, turn, got, want)
		}
		answers = append(answers, want)
		talk = append(talk, want.Message)
	}
	steady.Process.Signal(syscall.SIGTERM)
	return answers
}

// answerKV returns an answer and how many tokens of the prompt were cached.
func answerKV(t *testing.T, p *process, body string) (kvAnswer, int) {
	t.Helper()
	resp := p.chat(t, body)
	var r struct {
		Choices []kvAnswer
		Usage   struct {
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil ||
		resp.StatusCode != http.StatusOK || len(r.Choices) != 1 {
		t.Fatalf("status %d, %+v, %v, stderr %s", resp.StatusCode, r, err, &p.stderr)
	}
	return r.Choices[0], r.Usage.Details.Cached
}
