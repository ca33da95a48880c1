package server

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

func TestWireChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := transcript{joined: true}
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)},
			engine.Config{Model: &echoModel{delay: time.Millisecond}, MaxBatch: 1}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "two answers", post(say("Hi", `"n":2`, `"logprobs":true`)))
		tr.exchange(t, l, "to a completion", postTo(textPath, `{"prompt":"Hi","temperature":0,"n":2,"best_of":2}`))
		tr.exchange(t, l, "more than are given", post(say("Hi", `"n":9`)))
		tr.exchange(t, l, "none", post(say("Hi", `"n":0`)))
		tr.check(t, "choices")
	})
}

type choicesBody struct {
	Choices []struct {
		Index   int
		Message struct{ Content string }
		Delta   struct{ Content, Role string }
		Text    string
		Finish  string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt  int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
}

// TestChoices: several answers to one request come whole and streamed, each with its index; the
// prompt is computed once and counted once, and only the first answer is the agent's memory.
func TestChoices(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	long := strings.Repeat("word ", 40)
	read := func(w *httptest.ResponseRecorder) (b choicesBody) {
		t.Helper()
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return b
	}
	computed := func() int {
		st := s.backend.Load().engine.Stats()
		return int(st.PromptTokens - st.CachedTokens)
	}
	for _, agent := range []string{"", "ada"} {
		for path, body := range map[string]string{
			chatPath: say(long+agent, `"n":8`),
			textPath: `{"prompt":"` + long + agent + `","temperature":0,"n":8}`,
		} {
			before := computed()
			w := s.post(path, body, "X-Agent-ID", agent)
			b := read(w)
			if len(b.Choices) != 8 {
				t.Fatalf("%s: %d choices", path, len(b.Choices))
			}
			for i, c := range b.Choices {
				if got := c.Message.Content + c.Text; c.Index != i || got != long+agent || c.Finish != "stop" {
					t.Errorf("%s: choice %d: %+v", path, i, c)
				}
			}
			if b.Usage.Output < 8*len(long) || b.Usage.Prompt > len(long)+20 {
				t.Errorf("%s: usage %+v", path, b.Usage)
			}
			// Whole blocks of 32 tokens are shared, and the rest of the prompt is computed again.
			if n, max := computed()-before, b.Usage.Prompt+7*32; n > max {
				t.Errorf("%s of %q: %d tokens of prompts were computed, want %d at most", path, agent, n, max)
			}
		}
	}
	// A stream has the same.
	w := s.post(chatPath, say(long, `"n":3`, `"stream":true`, `"stream_options":{"include_usage":true}`))
	var texts [3]string
	var ends, roles, usages int
	for _, data := range frames(w.Body.String()) {
		var b choicesBody
		if err := json.Unmarshal([]byte(data), &b); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		for _, c := range b.Choices {
			texts[c.Index] += c.Delta.Content
			if c.Delta.Role != "" {
				roles++
			}
			if c.Finish != "" {
				ends++
			}
		}
		if b.Usage != nil {
			usages++
			if b.Usage.Output < 3*len(long) {
				t.Errorf("the stream's usage %+v", b.Usage)
			}
		}
	}
	if texts != [3]string{long, long, long} || ends != 3 || roles != 3 || usages != 1 || !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") {
		t.Errorf("streamed %q, %d ends, %d roles, %d usages", texts, ends, roles, usages)
	}
	if got := memoryText(t, s, "ada"); strings.Count(got, "word word") == 0 {
		t.Errorf("ada's memory: %q", got)
	}
}

// TestChoicesInShare: a principal whose share is fewer requests in flight than the answers it asks
// for gets all of them, some after the others.
func TestChoicesInShare(t *testing.T) {
	s := try(t, Config{}, &echoModel{})
	for _, share := range []int{1, 2} {
		err := s.SetKeys([]Key{{Principal: "ann", Secret: "sk-ann", Share: Share{Share: engine.Share{InFlight: share}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range []bool{false, true} {
			w := s.post(chatPath, say("abcdefghijklmno", `"n":5`, fmt.Sprintf(`"stream":%v`, stream)),
				"Authorization", "Bearer sk-ann")
			if ends := strings.Count(w.Body.String(), `"finish_reason":"stop"`); w.Code != 200 || ends != 5 {
				t.Errorf("share %d, stream %v: %d, %d answers: %s", share, stream, w.Code, ends, w.Body)
			}
		}
	}
}

// TestChoicesFail: where one of the answers cannot be made, the request fails, and nothing runs on.
func TestChoicesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := try(t, Config{}, &echoModel{broken: fmt.Errorf("out of luck"), from: 20})
		for _, stream := range []bool{false, true} {
			w := s.post(chatPath, say("abcdefghijklmno", `"n":4`, fmt.Sprintf(`"stream":%v`, stream)))
			if !strings.Contains(w.Body.String(), "out of luck") {
				t.Errorf("stream %v: %d %s", stream, w.Code, w.Body)
			}
			synctest.Wait()
			if st := s.backend.Load().engine.Stats(); st.Running != 0 || st.Queued != 0 {
				t.Errorf("stream %v: %d run, %d wait", stream, st.Running, st.Queued)
			}
		}
	})
}

// stepCounter counts the steps of a model.
type stepCounter struct {
	*echoModel
	steps atomic.Int32
}

func (m *stepCounter) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	m.steps.Add(1)
	return m.echoModel.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

// TestChoicesEnd: where one of several answers fails, those that wait for a place in the batch get
// none.
func TestChoicesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &stepCounter{echoModel: &echoModel{delay: time.Millisecond,
			broken: fmt.Errorf("out of luck"), from: 20}}
		s, _ := start(t, Config{}, engine.Config{Model: m, MaxBatch: 1}, byteText{})
		got := listen(t, s).exchange(t, post(say("abcdefghijklmno", `"n":8`)))
		if !strings.Contains(got, "out of luck") {
			t.Error(got)
		}
		// One may have begun before the engine hears of it.
		if n := m.steps.Load(); n < 2 || n > 4 {
			t.Errorf("%d steps, want the prompt's, the one that fails, and one or two", n)
		}
	})
}
