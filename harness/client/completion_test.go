package client

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"
)

func TestParseCompletion(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       completion // without its content
		content    string
		err        string
	}{
		{name: "a token", text: `{"id":"x","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}`,
			content: " word", want: completion{prompt: -1, output: -1, cached: -1}},
		{name: "escapes", text: `{"choices":[{"delta":{"role":"a","content":"a\n\"\u20ac\ud83d\ude00\/"}}]}`,
			content: "a\n\"€😀/", want: completion{prompt: -1, output: -1, cached: -1}},
		{name: "keys that only look like ours", text: `{"Choices":[{"delta":{"content":"no"}}],"x":{"choices":[{"delta":{"content":"no"}}],"error":"no"}}`,
			want: completion{prompt: -1, output: -1, cached: -1}},
		{name: "finish and usage", text: ` { "choices" : [ { "delta" : { } , "finish_reason" : "stop" } ] , "usage" : { "total_tokens" : 7.5e1 , "prompt_tokens" : 70 , "completion_tokens" : 5 , "prompt_tokens_details" : { "cached_tokens" : 64 } } } `,
			want: completion{finish: "stop", prompt: 70, output: 5, cached: 64}},
		{name: "usage without details", text: `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":null}}`,
			want: completion{prompt: 1, output: 0, cached: -1}},
		{name: "error object", text: `{"error":{"code":500,"message":"broke"}}`, want: completion{failed: true, failure: "broke", prompt: -1, output: -1, cached: -1}},
		{name: "error text", text: `{"error":"broke"}`, want: completion{failed: true, failure: "broke", prompt: -1, output: -1, cached: -1}},
		{name: "no error", text: `{"error":null}`, want: completion{prompt: -1, output: -1, cached: -1}},
		{name: "half", text: `{"choices":[{"delta":{"content":"wo`, err: "byte 35 of 35: want the end of a string"},
		{name: "number for a text", text: `{"choices":[{"delta":{"content":5}}]}`, err: "byte 32 of 37: want a string"},
		{name: "text for a count", text: `{"usage":{"prompt_tokens":"5"}}`, want: completion{prompt: 5, output: -1, cached: -1}},
		{name: "negative count", text: `{"usage":{"prompt_tokens":-5,"completion_tokens":6}}`, want: completion{prompt: -1, output: 6, cached: -1}},
		{name: "two values", text: `{} {}`, err: "byte 3 of 5: want the end"},
		{name: "bottomless", text: strings.Repeat(`{"a":`, 1000), err: "byte 501 of 5000: want an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := completion{content: []byte("left over"), finish: "left over"}
			err := v.parse([]byte(tc.text))
			if tc.err != "" {
				assert.Error(t, err, tc.err)
				return
			}
			assert.NilError(t, err)
			assert.Equal(t, string(v.content), tc.content)
			assert.DeepEqual(t, known(v), tc.want, cmp.AllowUnexported(completion{}, responseItem{}))
		})
	}
}

// known is a completion without its content.
func known(v completion) completion {
	return completion{finish: v.finish, prompt: v.prompt, output: v.output, cached: v.cached, failure: v.failure, failed: v.failed}
}

// A chunk means the same whatever was parsed before it.
func FuzzParseAfterAnother(f *testing.F) {
	const chunk = `{"id":"x","choices":[{"delta":{"content":" word"},"finish_reason":null}]}`
	f.Add(chunk, strings.Replace(chunk, " word", " another", 1))
	f.Add(chunk, strings.Replace(chunk, " word", "", 1))
	f.Add(chunk, strings.Replace(chunk, " word", `","content":"x`, 1))
	f.Add(chunk, strings.Replace(chunk, " word", `\n\"`, 1))
	f.Add(chunk, strings.Replace(chunk, " word", "\n", 1))
	f.Add(chunk, chunk[:len(chunk)-1])
	f.Add(chunk, strings.Replace(chunk, "null", `"stop"`, 1))
	f.Add(`{"choices":[{"delta":{"content":""}},{"delta":{"content":"b"}}]}`, `{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`)
	f.Fuzz(func(t *testing.T, first, second string) {
		var fresh, used completion
		_ = used.parse([]byte(first))
		want, got := fresh.parse([]byte(second)), used.parse([]byte(second))
		assert.Equal(t, want == nil, got == nil)
		if want == nil {
			assert.Equal(t, string(used.content), string(fresh.content))
			assert.DeepEqual(t, known(used), known(fresh), cmp.AllowUnexported(completion{}, responseItem{}))
		}
	})
}

var ours = regexp.MustCompile(`"(choices|usage|error)"`)

// The parser accepts JSON and nothing else, and any text comes through a chunk unchanged.
func FuzzParseCompletion(f *testing.F) {
	f.Add(`{"choices":[{"delta":{"content":"a\u00e9\n"}}],"n":[-0.5e+3,true,{}]}`)
	f.Add("€ \x00 \" \\ \xff")
	f.Fuzz(func(t *testing.T, text string) {
		var v completion
		// The text is the value of a key that the parser skips. A key that it knows would have its
		// value's type checked, too.
		other := []byte(`{"other":` + text + `}`)
		if err, valid := v.parse(other), json.Valid(other); err == nil && !valid {
			t.Error("took what is not JSON")
		} else if err != nil && valid && !ours.MatchString(text) && strings.Count(text, "[")+strings.Count(text, "{") < maxDepth-1 {
			t.Error(err)
		}
		_ = v.parse([]byte(text)) // anything but a panic

		type delta struct {
			Content string `json:"content"`
		}
		type choice struct {
			Delta delta `json:"delta"`
		}
		chunk, err := json.Marshal(map[string]any{"choices": []choice{{delta{text}}}})
		assert.NilError(t, err)
		assert.NilError(t, v.parse(chunk))
		assert.Equal(t, string(v.content), string([]rune(text)))
	})
}

func BenchmarkParseCompletion(b *testing.B) {
	chunk := []byte(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"null","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}`)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	var v completion
	for b.Loop() {
		if err := v.parse(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
