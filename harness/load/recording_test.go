package load

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"
)

// recorded is a session of an agent with a sub-agent beside it and a history that was compacted.
func recorded() (Session, []Call) {
	raw := func(s string) Message {
		m, err := ParseMessage("chat", json.RawMessage(s))
		if err != nil {
			panic(err)
		}
		return m
	}
	reply := raw(`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",` +
		`"function":{"name":"run","arguments":"{\"a\": \"<\u2028>\"}"}}]}`)
	reply.Reply = true
	tools := []json.RawMessage{json.RawMessage(`{"type":"function","function":{"name":"run"}}`)}
	fields := []Field{{Name: "model", Value: json.RawMessage(`"m"`)}, {Name: "messages"},
		{Name: "temperature", Value: json.RawMessage(`0.10`)}, {Name: "tools"}}
	calls := []Call{
		{From: -1, Answer: 400, Tools: tools, Fields: fields,
			Add: []Message{raw(`{"role":"system","content":"be <brief>"}`), raw(`{"role":"user","content":[{"type":"text","text":"go"}]}`)},
			Recorded: &Recorded{ToolCalls: reply.ToolCalls, Finish: "tool_calls", Prompt: 900, Cached: 0, Output: 21,
				Reasoning: -1, First: 40 * time.Millisecond, Took: 700 * time.Millisecond}},
		{ID: 1, From: 0, Pause: 120 * time.Millisecond, Answer: 400, Tools: tools, Fields: fields,
			Add:      []Message{reply, raw(`{"role":"tool","tool_call_id":"c1","content":"ok"}`)},
			Recorded: &Recorded{Text: "done", Prompt: 950, Cached: 920, Output: 1, Reasoning: -1}},
		{ID: 2, From: -1, After: []int{0}, Turn: 1, Tools: []json.RawMessage{}, Add: []Message{raw(`{"role":"user","content":"sub"}`)},
			Recorded: &Recorded{Failure: "the client hung up", Prompt: -1, Cached: -1, Output: -1, Reasoning: -1}},
		{ID: 3, From: 1, Keep: 1, After: []int{2}, Pause: 2 * time.Second, Person: true, Turn: 2, Tools: tools, Fields: fields,
			Add: []Message{{Role: "user", Words: []Words{{Seed: 1<<64 - 1, Tokens: 40}}}}},
	}
	return Session{Name: "a", API: "chat", At: 5 * time.Second, Verbatim: true}, calls
}

// What is written is read again, whatever the order of the lines; tools and bodies that do not
// change are written as often as they are wanted, and read from the call before where left out.
func TestRecording(t *testing.T) {
	s, calls := recorded()
	var file bytes.Buffer
	w, err := NewRecording(&file, RecordingHeader{API: "chat", Source: "a test"})
	assert.NilError(t, err)
	for _, c := range slices.Backward(calls) {
		assert.NilError(t, w.Write(&s, &c))
	}
	text := file.String()
	assert.Assert(t, strings.HasPrefix(text, `{"format":"loadstone sessions","version":1,"api":"chat"`), text)
	back, err := ReadRecording("t", &file)
	assert.NilError(t, err)
	assert.Equal(t, len(back), 1)
	got := slices.Collect(back[0].Calls)
	back[0].Calls = nil
	assert.DeepEqual(t, back[0], s)
	if d := cmp.Diff(calls, got); d != "" {
		t.Error(d)
	}

	short := `{"format":"loadstone sessions","version":1}
{"session":"a","call":0,"add":[{"role":"user","text":"hi"}],"tools":[{"a":1}],"body":{"x":1,"messages":null}}
{"session":"a","call":1,"from":0,"add":[{"role":"user","text":"so"}]}`
	back, err = ReadRecording("t", strings.NewReader(short))
	assert.NilError(t, err)
	got = slices.Collect(back[0].Calls)
	assert.DeepEqual(t, got[1].Tools, got[0].Tools)
	assert.DeepEqual(t, got[1].Fields, []Field{{Name: "x", Value: json.RawMessage("1")}, {Name: "messages"}})
}

func TestBadRecordings(t *testing.T) {
	head := `{"format":"loadstone sessions","version":1}` + "\n"
	for _, tc := range []struct{ text, want string }{
		{"", "t: it is empty"},
		{`{"timestamp":0}`, `t:1: not a recording: it does not begin with {"format":"loadstone sessions"`},
		{`{"format":"loadstone sessions","version":7}`, "t:1: a recording of version 7; this program reads version 1"},
		{head, "t:1: no call follows the header"},
		{head + "\n" + `{"session":"a","call":0,"add":[]`, "t:3: not a call of a recording"},
		{head + `{"session":"a","call":1,"from":0,"add":[]}`, "t: session a: it has 1 calls, and none of them is 0"},
		{head + `{"session":"a","call":1,"from":1,"add":[]}`, "t:2: session a, call 1: it waits for call 1, which does not come before it"},
		{head + `{"session":"a","call":0,"add":[{"raw":{"content":"x"}}]}`, "t:2: session a, call 0: a message without a role"},
		{head + `{"session":"a","call":0,"add":[{"words":[["zz",1]]}]}`, "words"},
		{head + `{"session":"a","call":0,"add":[]}` + "\n" + `{"session":"a","call":0,"add":[]}`, "t:3: session a has two calls 0"},
	} {
		_, err := ReadRecording("t", strings.NewReader(tc.text))
		assert.ErrorContains(t, err, tc.want)
	}
}
