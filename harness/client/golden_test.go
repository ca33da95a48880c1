package client

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosse "github.com/tmaxmax/go-sse"
	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// The golden streams: bytes and pauses as a server sends them, and, written by hand, what a client
// must make of them.
var streams = []struct {
	name    string
	wire    wire
	outcome record.Outcome
	first   time.Duration // FirstContent
	chunks  []time.Duration
	answer  string
	end     time.Duration
	output  int
	err     string

	reasoning int // of the chunks
	cached    int // tokens; 0: not checked
}{
	{
		name: "one chunk a write",
		wire: wire{
			{10 * ms, streamHead},
			{0, data(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`)},
			{20 * ms, data(`{"choices":[{"delta":{"content":"Hello"}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{"content":", world"}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`)},
			{0, data(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}`)},
			{1 * ms, data("[DONE]")},
		},
		// The chunk at 10 ms has a role alone, which is not content.
		outcome: record.OK, first: 30 * ms, chunks: []time.Duration{30 * ms, 35 * ms}, answer: "Hello, world", end: 41 * ms, output: 3,
	},
	{
		name: "frames split inside a character, CRLF, comments, two events in one write",
		wire: wire{
			{0, strings.ReplaceAll(streamHead, "10.00", "0.01")},
			{10 * ms, ": keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xe2\x82"},
			{10 * ms, "\xac\"}}]}\r\n\r"},
			{10 * ms, "\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\nevent: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n"},
			{10 * ms, "data: {\"choices\":\ndata: [{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"},
		},
		// The first event is whole when its empty line is.
		outcome: record.OK, first: 30 * ms, chunks: []time.Duration{30 * ms, 30 * ms, 30 * ms}, answer: "€ab", end: 40 * ms, output: -1,
	},
	{
		name: "cut before the finish",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hel"}}]}`)},
			{5 * ms, "data: {\"choices\":[{\"delta\":{\"content\":\"lo"},
		},
		outcome: record.Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hel", end: 10 * ms, output: -1,
		err: "stream ended after 1 chunks without its finish_reason",
	},
	{
		name: "finish but no [DONE]",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`)},
		},
		outcome: record.Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "stream ended after 1 chunks without its [DONE]",
	},
	{
		name: "[DONE] but no finish",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`) + data("[DONE]")},
		},
		outcome: record.Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "stream ended after 1 chunks without its finish_reason",
	},
	{
		name: "error in the stream",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
			{5 * ms, data(`{"error":{"message":"the model failed"}}`)},
		},
		outcome: record.Failed, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 10 * ms, output: -1, err: "the model failed",
	},
	{
		name: "reasoning as vLLM and DeepSeek send it, then the answer",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`)},
			{5 * ms, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[{"index":0,"delta":{"reasoning_content":"Hm"},"logprobs":null,"finish_reason":null}]}`)},
			{7 * ms, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[{"index":0,"delta":{"reasoning_content":", 4"},"logprobs":null,"finish_reason":null}]}`)},
			{9 * ms, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[{"index":0,"delta":{"content":"4","reasoning_content":null},"logprobs":null,"finish_reason":null}]}`)},
			{4 * ms, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop","stop_reason":null}]}`)},
			{0, data(`{"id":"c","object":"chat.completion.chunk","model":"r","choices":[],"usage":{"prompt_tokens":20,"total_tokens":24,"completion_tokens":4,"prompt_tokens_details":null}}`)},
			{0, data("[DONE]")},
		},
		outcome: record.OK, first: 26 * ms, chunks: []time.Duration{10 * ms, 17 * ms, 26 * ms}, reasoning: 2, answer: "4", end: 30 * ms, output: 4,
	},
	{
		name: "reasoning by the name that Ollama and OpenRouter have for it, beside an empty content",
		wire: wire{
			{2 * ms, streamHead},
			{6 * ms, data(`{"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Let"},"finish_reason":null}]}`)},
			{6 * ms, data(`{"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":" me"},"finish_reason":null}]}`)},
			{6 * ms, data(`{"choices":[{"index":0,"delta":{"role":"assistant","content":"Yes","reasoning":""},"finish_reason":null}]}`)},
			{1 * ms, data(`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}`) + data("[DONE]")},
		},
		outcome: record.OK, first: 20 * ms, chunks: []time.Duration{8 * ms, 14 * ms, 20 * ms}, reasoning: 2, answer: "Yes", end: 21 * ms, output: -1,
	},
	{
		name: "several tokens a chunk, usage with every chunk",
		wire: wire{
			{0, streamHead},
			{20 * ms, data(`{"choices":[{"index":0,"delta":{"content":"one two three"}}],"usage":{"prompt_tokens":7,"completion_tokens":3}}`)},
			{30 * ms, data(`{"choices":[{"index":0,"delta":{"content":" four five"}}],"usage":{"prompt_tokens":7,"completion_tokens":5}}`)},
			{10 * ms, data(`{"choices":[{"index":0,"delta":{"content":" six"},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":5}}}`)},
			{0, data("[DONE]")},
		},
		outcome: record.OK, first: 20 * ms, chunks: []time.Duration{20 * ms, 50 * ms, 60 * ms}, answer: "one two three four five six", end: 60 * ms, output: 6, cached: 5,
	},
	{
		name: "keep-alive comments for a long prompt, as OpenRouter sends them, and CR LF",
		wire: wire{
			{1 * ms, streamHead},
			{9 * ms, ": OPENROUTER PROCESSING\r\n\r\n"},
			{10 * ms, ": OPENROUTER PROCESSING\r\n\r\n"},
			{10 * ms, "data: {\"choices\":[{\"delta\":{\"content\":\"Yes\"},\"finish_reason\":\"stop\"}]}\r\n\r\n"},
			{1 * ms, "data: [DONE]\r\n\r\n"},
		},
		outcome: record.OK, first: 30 * ms, chunks: []time.Duration{30 * ms}, answer: "Yes", end: 31 * ms, output: -1,
	},
	{
		name: "all at once, as a proxy makes of a stream when it collects it",
		wire: wire{
			{50 * ms, streamHead + data(`{"choices":[{"delta":{"content":"a"}}]}`) + data(`{"choices":[{"delta":{"content":"b"}}]}`) +
				data(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`) + data("[DONE]")},
		},
		outcome: record.OK, first: 50 * ms, chunks: []time.Duration{50 * ms, 50 * ms}, answer: "ab", end: 50 * ms, output: -1,
	},
	{
		name:    "a byte a write",
		wire:    bytewise(wire{{3 * ms, streamHead}, {0, data(`{"choices":[{"delta":{"content":"é"},"finish_reason":"stop"}]}`) + data("[DONE]")}}, ms),
		outcome: record.OK, first: bytewiseFirst, chunks: []time.Duration{bytewiseFirst}, answer: "é", end: bytewiseFirst + time.Duration(len("data: [DONE]\n\n"))*ms, output: -1,
	},
	{
		name: "a tool call in parts is the first token, and no text",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"role":"assistant","content":null}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"add","arguments":""}}]}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}`)},
			{0, data(`{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`) + data("[DONE]")},
		},
		outcome: record.OK, first: 10 * ms, chunks: []time.Duration{10 * ms, 15 * ms}, answer: "", end: 15 * ms, output: -1,
	},
	{
		name: "a duplicated frame shows in the answer and in the count",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
			{0, data(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`) + data(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}`) + data("[DONE]")},
		},
		outcome: record.OK, first: 5 * ms, chunks: []time.Duration{5 * ms, 10 * ms}, answer: "HiHi", end: 10 * ms, output: 1,
	},
	{
		name: "a frame that was damaged on its way",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`) + data(`{"choices":[{"delta":{"cont`)},
		},
		outcome: record.Failed, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "event is not a chunk: byte 27 of 27: want the end of a string",
	},
	{
		name: "the connection breaks in the middle of a body that has a length",
		wire: wire{
			{0, strings.Replace(streamHead, "Connection: close", "Content-Length: 500", 1)},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
		},
		outcome: record.Truncated, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 5 * ms, output: -1,
		err: "stream broke after 1 chunks: unexpected EOF",
	},
	{
		name: "stuck in the middle",
		wire: wire{
			{0, streamHead},
			{5 * ms, data(`{"choices":[{"delta":{"content":"Hi"}}]}`)},
			{time.Hour, ""},
		},
		outcome: record.Timeout, first: 5 * ms, chunks: []time.Duration{5 * ms}, answer: "Hi", end: 2 * time.Minute, output: -1, err: "no end after 2m0s",
	},
	{
		name:    "503 that says when",
		wire:    wire{{3 * ms, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"}},
		outcome: record.Rejected, first: -1, end: 3 * ms, output: -1, err: "503 Service Unavailable",
	},
	{
		name:    "refused cleanly",
		wire:    wire{{3 * ms, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 34\r\n\r\n" + `{"error":{"message":"pool full"}}` + "\n"}},
		outcome: record.Rejected, first: -1, end: 3 * ms, output: -1, err: "429 Too Many Requests: pool full",
	},
	{
		name:    "503 that does not say when",
		wire:    wire{{3 * ms, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"}},
		outcome: record.Failed, first: -1, end: 3 * ms, output: -1, err: "503 Service Unavailable",
	},
	{
		name: "one piece",
		wire: wire{{7 * ms, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
			`{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`}},
		outcome: record.OK, first: 7 * ms, answer: "Hi", end: 7 * ms, output: 1,
	},
	{
		name:    "silence",
		wire:    wire{{0, streamHead}, {time.Hour, ""}},
		outcome: record.Timeout, first: -1, end: 2 * time.Minute, output: -1, err: "no end after 2m0s",
	},
	{
		name:    "hung up",
		wire:    wire{},
		outcome: record.Refused, first: -1, end: 0, output: -1, err: "EOF",
	},
}

// bytewiseFirst is when the only event of a stream is whole, if the head comes after 3 ms and every
// byte takes 1 ms.
const bytewiseFirst = 3*ms + time.Duration(len(streamHead)-1+len("data: ")+len(`{"choices":[{"delta":{"content":"é"},"finish_reason":"stop"}]}`)+2)*ms

// bytewise cuts a script into writes of one byte, each some time after the one before.
func bytewise(w wire, every time.Duration) (cut wire) {
	for _, p := range w {
		for i := range len(p.text) {
			after := every
			if i == 0 && len(cut) == 0 {
				after = p.after
			}
			cut = append(cut, part{after, p.text[i : i+1]})
		}
	}
	return cut
}

func data(json string) string { return "data: " + json + "\n\n" }

func TestGoldenStreams(t *testing.T) {
	for _, tc := range streams {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := tc.wire.client(t).Ask(t.Context(), 0, Prompt{Messages: []Message{{Role: "user", Content: "hi"}}})
				assert.Equal(t, r.Outcome, tc.outcome, r.Error)
				assert.Equal(t, r.Error, tc.err)
				assert.Equal(t, r.FirstContent, tc.first)
				assert.DeepEqual(t, r.Chunks, tc.chunks)
				assert.Equal(t, r.Answer, tc.answer)
				assert.Equal(t, r.End, tc.end)
				assert.Equal(t, r.OutputTokens, tc.output)
				assert.Equal(t, r.Reasoning, tc.reasoning)
				if tc.cached != 0 {
					assert.Equal(t, r.CachedTokens, tc.cached)
				}
			})
		})
	}
}

func FuzzEvents(f *testing.F) {
	for _, s := range streams {
		var whole strings.Builder
		for _, p := range s.wire {
			whole.WriteString(p.text)
		}
		f.Add(whole.String(), 3)
		f.Add("\ufeff"+strings.ReplaceAll(whole.String(), "\n", "\r"), 5)
	}
	// However the bytes are cut into reads, the events are the same.
	f.Fuzz(func(t *testing.T, text string, cut int) {
		collect := func(r io.Reader) (all []string) {
			var s eventReader
			_ = s.read(r, make([]byte, 64), func([]byte) {}, func(e *event) bool { all = append(all, string(e.data)); return true })
			return all
		}
		whole := collect(strings.NewReader(text))
		assert.DeepEqual(t, collect(&chopped{strings.NewReader(text), 1 + max(cut, 0)%7}), whole)
		// The other reader has events without data, which look the same as those whose data is
		// empty.
		if whole = slices.DeleteFunc(whole, func(s string) bool { return s == "" }); len(whole) == 0 {
			whole = nil
		}
		var others []string
		for event, err := range gosse.Read(strings.NewReader(text), nil) {
			if err != nil {
				break // it calls a stream that ends in the middle of an event an error
			}
			if event.Data != "" {
				others = append(others, event.Data)
			}
		}
		assert.DeepEqual(t, whole, others)
	})
}

// chopped reads at most n bytes at a time.
type chopped struct {
	r io.Reader
	n int
}

func (c *chopped) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

// recorded are whole responses of servers to the question "Name three colours.", with max_tokens 6
// and include_usage: testdata/streams, byte for byte but for the names of the machine. frames
// splits one into the pieces that the server wrote at once.
var recorded = []struct {
	file   string
	frames func(body string) []string
	first  int   // the frame of the first token
	chunks []int // the frames of all tokens
	answer string
	prompt int // tokens; -1: the server ignores stream_options
	output int
}{
	// A role alone, six tokens, the finish; no usage. HTTP/1.1, one chunk a frame.
	{"llama-cpp-python-0.3.36.http", httpChunks, 1, []int{1, 2, 3, 4, 5, 6}, "1. Red: This is", -1, -1},
	// Two comments while the prompt is read, six tokens with the role in each, an empty delta,
	// usage. HTTP/1.0, ended by the connection's end.
	{"mlx-lm-0.32.2.http", blocks, 2, []int{2, 3, 4, 5, 6, 7}, "1. Red: This is", 34, 6},
	// The role and the first token in one write; finish, usage and [DONE] in another, and trailers
	// after it.
	{"loadstone.http", httpChunks, 0, []int{0, 1, 2, 3, 4, 5}, "kesortant pokessesast", 21, 6},
}

// httpChunks are the chunks of a body in chunked encoding, and what follows the last.
func httpChunks(body string) (frames []string) {
	for {
		size, _, _ := strings.Cut(body, "\r\n")
		n, err := strconv.ParseUint(size, 16, 32)
		if err != nil || n == 0 {
			return append(frames, body)
		}
		end := len(size) + 2 + int(n) + 2
		frames, body = append(frames, body[:end]), body[end:]
	}
}

// blocks are the parts of a body that end in an empty line.
func blocks(body string) []string {
	frames := strings.SplitAfter(body, "\n\n")
	return frames[:len(frames)-1]
}

// Recorded streams are played with their frames 10 ms apart, and again cut into pieces of seven
// bytes: the stamps are those of the frames.
func TestRecordedStreams(t *testing.T) {
	for _, tc := range recorded {
		t.Run(tc.file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/streams/" + tc.file)
			assert.NilError(t, err)
			head, body, ok := strings.Cut(string(text), "\r\n\r\n")
			assert.Assert(t, ok)
			whole, cut := wire{{0, head + "\r\n\r\n"}}, wire{{0, head + "\r\n\r\n"}}
			frames := tc.frames(body)
			for _, frame := range frames {
				after := 10 * ms
				whole = append(whole, part{after, frame})
				for piece := range slices.Chunk([]byte(frame), 7) {
					cut = append(cut, part{after, string(piece)})
					after = 0
				}
			}
			at := func(frame int) time.Duration { return time.Duration(frame+1) * 10 * ms }
			var chunks []time.Duration
			for _, frame := range tc.chunks {
				chunks = append(chunks, at(frame))
			}
			for _, w := range []wire{whole, cut} {
				synctest.Test(t, func(t *testing.T) {
					r := w.client(t).Ask(t.Context(), 0, Prompt{})
					assert.Equal(t, r.Outcome, record.OK, r.Error)
					assert.Equal(t, r.FirstByte, time.Duration(0))
					assert.Equal(t, r.FirstContent, at(tc.first))
					assert.DeepEqual(t, r.Chunks, chunks)
					assert.Equal(t, r.End, at(len(frames)-1))
					assert.Equal(t, r.Answer, tc.answer)
					assert.Equal(t, r.Finish, "length")
					assert.Equal(t, r.PromptTokens, tc.prompt)
					assert.Equal(t, r.OutputTokens, tc.output)
				})
			}
		})
	}
}
