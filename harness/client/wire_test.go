package client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// These are the events of a short answer.
const (
	pieceX   = `{"choices":[{"index":0,"delta":{"content":"x "},"finish_reason":null}]}`
	stopped  = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usageOf2 = `{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14}}`
)

// stream is a response with these events, 10 ms apart, the first at once.
func stream(head string, events ...string) wire {
	w := wire{{0, head}}
	for i, e := range events {
		w = append(w, part{time.Duration(min(i, 1)) * 10 * ms, e})
	}
	return w
}

func kinds(r *record.Record) (kinds []record.Note) {
	for _, n := range r.Notes {
		kinds = append(kinds, n.Kind())
	}
	return kinds
}

// However a stream is framed, by the standard of server-sent events, its pieces are all there and
// have their own times. What is not of the standard is noted.
func TestFraming(t *testing.T) {
	lf := []string{data(pieceX), data(pieceX), data(stopped) + data(usageOf2) + data("[DONE]")}
	with := func(old, new string) (changed []string) {
		for _, e := range lf {
			changed = append(changed, strings.ReplaceAll(e, old, new))
		}
		return changed
	}
	last := func(end string) []string { return []string{lf[0], lf[1], data(stopped) + data(usageOf2) + end} }
	typed := func(contentType string) string {
		return strings.Replace(streamHead, "text/event-stream", contentType, 1)
	}
	none := []record.Note(nil)
	for name, tc := range map[string]struct {
		head   string
		events []string
		notes  []record.Note
	}{
		"LF":                    {streamHead, lf, none},
		"a byte order mark":     {streamHead, []string{"\ufeff" + lf[0], lf[1], lf[2]}, none},
		"CRLF":                  {streamHead, with("\n", "\r\n"), none},
		"CR":                    {streamHead, with("\n", "\r"), none},
		"CR and a mark":         {streamHead, append([]string{"\ufeff" + with("\n", "\r")[0]}, with("\n", "\r")[1:]...), none},
		"CR, LF and CRLF":       {streamHead, []string{with("\n", "\r")[0], lf[1], with("\n", "\r\n")[2]}, none},
		"CRLF, then LF, CR":     {streamHead, []string{with("\n", "\r\n")[0], lf[1], with("\n", "\r")[2]}, none},
		"no blank after data:":  {streamHead, with("data: ", "data:"), none},
		"data in lines":         {streamHead, with(`"choices":`, "\"choices\":\ndata: "), none},
		"ids, retry, comments":  {streamHead, with("data: ", ": so\nid: 1\nretry: 5\nevent: message\ndata: "), none},
		"[DONE] with blanks":    {streamHead, last("data:  [DONE] \t\n\n"), none},
		"after [DONE]":          {streamHead, last(data("[DONE]") + ": bye\n\n"), none},
		"type in capitals":      {typed("Text/Event-Stream"), lf, none},
		"type with parameters":  {typed("TEXT/EVENT-STREAM ; charset=utf-8"), lf, none},
		"[DONE], LF, no blank":  {streamHead, last("data: [DONE]\n"), []record.Note{record.NoteTail}},
		"[DONE] and the end":    {streamHead, last("data: [DONE]"), []record.Note{record.NoteTail}},
		"a field that is none":  {streamHead, with("\n\n", "\nDATA: y\n\n"), []record.Note{record.NoteLine}},
		"text between events":   {streamHead, with("\n\n", "\n\nupstream is busy\n"), []record.Note{record.NoteLine}},
		"data without a colon":  {streamHead, with("data: {", "data\ndata: {"), none},
		"blanks keep it alive":  {streamHead, []string{"data:  \n\n" + lf[0], lf[1], "data: \t\ndata:\n\n" + lf[2]}, []record.Note{record.NoteEvent}},
		"an event of no answer": {streamHead, []string{data(`{"type":"ping"}`) + lf[0], lf[1], lf[2]}, []record.Note{record.NoteEvent}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := stream(tc.head, tc.events...).client(t).Ask(t.Context(), 0, Prompt{})
				assert.Equal(t, r.Outcome, record.OK, r.Error)
				assert.DeepEqual(t, r.Chunks, []time.Duration{0, 10 * ms})
				assert.Equal(t, r.FirstContent, time.Duration(0))
				assert.Equal(t, r.Answer, "x x ")
				assert.Equal(t, r.OutputTokens, 2)
				assert.DeepEqual(t, kinds(&r), tc.notes)
			})
		})
	}
}

// A line is as long as it must be; beyond the client's own bound it is the client that gives up.
func TestLongLines(t *testing.T) {
	long := func(n int) string {
		return data(`{"choices":[{"delta":{"content":"` + strings.Repeat("y", n) + `"}}]}`)
	}
	tail := data(stopped) + data(usageOf2) + data("[DONE]")
	ask := func(t *testing.T, events ...string) record.Record {
		return stream(streamHead, events...).client(t).Ask(t.Context(), 0, Prompt{})
	}
	synctest.Test(t, func(t *testing.T) {
		r := ask(t, data(pieceX), long(1_100_000), tail)
		assert.Equal(t, r.Outcome, record.OK, r.Error)
		assert.Equal(t, len(r.Answer), 1_100_002)
		assert.DeepEqual(t, r.Chunks, []time.Duration{0, 10 * ms})
		r = ask(t, data(pieceX), ": "+strings.Repeat("z", 2*maxEvent)+"\n"+data(pieceX), tail)
		assert.Equal(t, r.Outcome, record.OK, r.Error)
		assert.DeepEqual(t, kinds(&r), []record.Note(nil))
		for _, event := range []string{long(maxEvent), strings.Repeat("data: "+strings.Repeat(" ", 1<<20)+"\n", 17) + "\n"} {
			r = ask(t, data(pieceX), event, tail)
			assert.Equal(t, r.Outcome, record.Cancelled)
			assert.Equal(t, r.Error, "the client reads events of 16 MiB at most; this one is longer")
			assert.DeepEqual(t, kinds(&r), []record.Note{record.NoteLong})
		}
	})
}

// What the model says is found by every name and in every form that servers have for it.
func TestWhatTheModelSays(t *testing.T) {
	for delta, want := range map[string]record.Record{
		`"content":[{"type":"text","text":"so"}]`:                                               {Answer: "so"},
		`"content":["s","o"]`:                                                                   {Answer: "so"},
		`"content":{"text":"so","type":"text"}`:                                                 {Answer: "so"},
		`"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]`:              {Thought: "hm"},
		`"content":[{"text":"hm","type":"reasoning"},{"type":"text","text":"so"}]`:              {Thought: "hm", Answer: "so"},
		`"content":"","refusal":"no"`:                                                           {Answer: "no"},
		`"content":null,"reasoning":"hm"`:                                                       {Thought: "hm"},
		`"reasoning_content":"hm"`:                                                              {Thought: "hm"},
		`"thoughts":"hm"`:                                                                       {Thought: "hm"},
		`"thinking":"hm"`:                                                                       {Thought: "hm"},
		`"reasoning":"hm","reasoning_content":"hm"`:                                             {Thought: "hm"},
		`"reasoning":null,"reasoning_details":[{"type":"reasoning.text","text":"hm"}]`:          {Thought: "hm"},
		`"reasoning_details":[{"type":"reasoning.summary","summary":"hm"}]`:                     {Thought: "hm"},
		`"tool_calls":[{"index":0,"id":"c","function":{"name":"put","arguments":"{\"x\":1}"}}]`: {Calls: "\nput {\"x\":1}"},
		`"tool_calls":[{"function":{"name":"put","arguments":{"x":1}}}]`:                        {Calls: "\nput {\"x\":1}"},
		`"function_call":{"name":"put","arguments":"{}"}`:                                       {Calls: "\nput {}"},
	} {
		synctest.Test(t, func(t *testing.T) {
			chunk := `{"choices":[{"index":0,"delta":{"role":"assistant",` + delta + `}}]}`
			r := stream(streamHead, data(chunk), data(stopped)+data("[DONE]")).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", delta, r.Error)
			assert.Equal(t, r.Answer, want.Answer, delta)
			assert.Equal(t, r.Thought, want.Thought, delta)
			assert.Equal(t, r.Calls, want.Calls, delta)
			assert.Equal(t, r.TTFT(), time.Duration(0), delta)
			assert.Equal(t, len(r.Notes), 0, "%s: %v", delta, r.Notes)

			message := strings.Replace(chunk, "delta", "message", 1)
			message = strings.Replace(message, `"index"`, `"finish_reason":"stop","index"`, 1)
			head := strings.Replace(streamHead, "text/event-stream", "application/json", 1)
			r = stream(head, message).client(t).Ask(t.Context(), 0, Prompt{NoStream: true})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", delta, r.Error)
			assert.Equal(t, r.Answer+r.Thought+r.Calls, want.Answer+want.Thought+want.Calls, delta)
			assert.Equal(t, r.TTFT(), time.Duration(0), delta)
		})
	}
}

// An answer without a token is empty, however it is framed and whatever its usage says; so is one
// whose text is in a field that nobody knows, which is noted.
func TestEmptyAnswer(t *testing.T) {
	for events, want := range map[string]string{
		data(stopped): "the answer ended with stop and has no token",
		data(stopped) + data(`{"usage":{"prompt_tokens":12,"completion_tokens":0}}`):      "the answer ended with stop and has no token",
		data(strings.Replace(stopped, "stop", "length", 1)) + data(usageOf2):              "the answer ended with length and has no token; its usage has 2",
		data(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`) + data(stopped): "the answer ended with stop and has no token",
		data(`{"choices":[{"delta":{"tool_calls":[]},"finish_reason":"stop"}]}`):          "the answer ended with stop and has no token",
		data(`{"choices":[{"delta":{"cogitation":"hm"},"finish_reason":"stop"}]}`):        "the answer ended with stop and has no token",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := stream(streamHead, events+data("[DONE]")).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.Empty, events)
			assert.Equal(t, r.Error, want)
			r = stream(streamHead, events+data("[DONE]")).client(t).Ask(t.Context(), 0,
				Prompt{Stop: []string{"."}})
			if strings.Contains(events, `"stop"`) {
				want += "; one of the load's stop strings may have come first"
			}
			assert.Equal(t, r.Error, want)
			assert.Equal(t, r.Judge(load.Objective{TTFT: time.Hour}), record.Missed)
			if strings.Contains(events, "cogitation") {
				assert.DeepEqual(t, r.Notes, []record.Note{record.NoteField + ": cogitation"})
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a token, of the stop string itself
		usage := `{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":1}}`
		r := stream(streamHead, data(stopped), data(usage)+data("[DONE]")).client(t).Ask(t.Context(), 0,
			Prompt{Stop: []string{"."}})
		assert.Equal(t, r.Outcome, record.OK, r.Error)
		assert.Equal(t, r.Error, "")
		assert.Equal(t, r.TTFT(), 10*time.Millisecond)
		assert.DeepEqual(t, r.Notes, []record.Note{record.NoteStopped})
	})
	synctest.Test(t, func(t *testing.T) {
		head := strings.Replace(streamHead, "text/event-stream", "application/json", 1)
		r := stream(head, `{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`).client(t).Ask(t.Context(), 0, Prompt{})
		assert.Equal(t, r.Outcome, record.Empty)
		assert.DeepEqual(t, r.Notes, []record.Note{record.NoteWhole})
	})
}

// A usage is read in whatever form its numbers are. One that cannot be read is unknown, and fails
// no request; one that cannot be true is unknown, too.
func TestUsageForms(t *testing.T) {
	for usage, want := range map[string]struct {
		prompt, output, cached int
		note                   record.Note
	}{
		`{"prompt_tokens":12,"completion_tokens":2}`:                                                                     {12, 2, -1, ""},
		`{"prompt_tokens":12.0,"completion_tokens":2.0,"prompt_tokens_details":{"cached_tokens":0.0}}`:                   {12, 2, 0, ""},
		`{"prompt_tokens":1.2e1,"completion_tokens":2e0}`:                                                                {12, 2, -1, ""},
		`{"prompt_tokens":"12","completion_tokens":" 2 "}`:                                                               {12, 2, -1, ""},
		`{"prompt_tokens":12,"completion_tokens":2,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":4}`:            {12, 2, 8, ""},
		`{"prompt_tokens":12,"completion_tokens":2,"cached_tokens":8}`:                                                   {12, 2, 8, ""},
		`{"prompt_tokens":12,"completion_tokens":2},"timings":{"cache_n":8,"prompt_n":4,"predicted_ms":1.5}`:             {12, 2, 8, ""},
		`{"prompt_tokens":12,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":7}},"timings":{"cache_n":8}`: {12, 2, 7, ""},
		`null,"timings":{"cache_n":8,"prompt_n":4}`:                                                                      {-1, -1, -1, ""},
		`{"total_tokens":14}`: {-1, -1, -1, "a usage cannot be read and counts as unknown: it has neither prompt_tokens nor completion_tokens"},
		`{"prompt_tokens":12,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7}}`: {12, -1, -1, "usage counts reasoning that was not sent and counts as unknown: 7 of 9 tokens"},
		`{"completion_tokens":2}`:                          {-1, 2, -1, ""},
		`{"prompt_tokens":-1,"completion_tokens":2}`:       {-1, 2, -1, "a usage cannot be read and counts as unknown: prompt_tokens is -1"},
		`{"prompt_tokens":12,"completion_tokens":2.5}`:     {12, -1, -1, "a usage cannot be read and counts as unknown: completion_tokens is 2.5"},
		`{"prompt_tokens":12,"completion_tokens":"two"}`:   {12, -1, -1, `a usage cannot be read and counts as unknown: completion_tokens is "two"`},
		`{"prompt_tokens":[12],"completion_tokens":1e300}`: {-1, -1, -1, "a usage cannot be read and counts as unknown: prompt_tokens is [12]"},
		`"none"`: {-1, -1, -1, `a usage cannot be read and counts as unknown: it is "none"`},
		`null`:   {-1, -1, -1, ""},
		`{}`:     {-1, -1, -1, ""},
		`{"prompt_tokens":12,"completion_tokens":60}`: {12, -1, -1, "usage claims more tokens than max_tokens allows and counts as unknown: 60 of 30"},
		`{"prompt_tokens":12,"completion_tokens":25}`: {12, -1, -1, "usage claims more tokens than came and counts as unknown: 25 tokens, 4 bytes"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := stream(streamHead, data(pieceX), data(pieceX)+data(stopped)+data(`{"choices":[],"usage":`+usage+`}`)+data("[DONE]")).
				client(t).Ask(t.Context(), 0, Prompt{MaxTokens: 30})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", usage, r.Error)
			assert.DeepEqual(t, []int{r.PromptTokens, r.OutputTokens, r.CachedTokens}, []int{want.prompt, want.output, want.cached})
			var notes []record.Note
			if want.note != "" {
				notes = []record.Note{want.note}
			}
			assert.DeepEqual(t, r.Notes, notes)
		})
	}
}

// An error keeps its words, whatever its shape, in a stream as in a response of its own; and what
// stands for no error is none.
func TestErrorShapes(t *testing.T) {
	for shape, want := range map[string]string{
		`{"error":{"message":"worker lost"}}`:                                       "worker lost",
		`{"error":"worker lost"}`:                                                   "worker lost",
		`{"error":{"code":500,"detail":"worker lost"}}`:                             "worker lost",
		`{"error":{"error":{"message":"worker lost"}}}`:                             "worker lost",
		`{"error":{"message":{"text":5},"msg":"worker lost"}}`:                      "worker lost",
		`{"error":{"code":500}}`:                                                    `{"code":500}`,
		`{"error":true,"message":"worker lost"}`:                                    "worker lost",
		`{"message":"worker lost"}`:                                                 "worker lost",
		`{"detail":"worker lost"}`:                                                  "worker lost",
		`{"detail":[{"loc":["body"],"msg":"worker lost"}]}`:                         "worker lost",
		`{"object":"error","message":"worker lost","code":500}`:                     "worker lost",
		`{"choices":[{"finish_reason":"error","error":{"message":"worker lost"}}]}`: "worker lost",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := stream(streamHead, data(pieceX), data(shape)+data("[DONE]")).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.Failed, shape)
			assert.Equal(t, r.Error, want)
			r = stream(streamHead, data(pieceX), "data: "+shape).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Error, want, "at the end, without a blank line")
			head := strings.Replace(streamHead, "text/event-stream", "application/json", 1)
			r = stream(head, shape).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.Failed, shape)
			assert.Equal(t, r.Error, want)
			head = strings.Replace(head, "200 OK", "500 Internal Server Error", 1)
			r = stream(head, shape).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Error, "500 Internal Server Error: "+want)
		})
	}
	for events, want := range map[string]string{
		"event: error\n" + data(`{"message":"worker lost"}`):            "worker lost",
		"event: error\n" + data("worker lost"):                          "worker lost",
		"event:error\n" + data(pieceX):                                  pieceX,
		"event: Error\n" + data(`{"text":"worker lost"}`):               `{"text":"worker lost"}`,
		data("worker lost"):                                             "event is not a chunk, but worker lost",
		data(`[{"error":{"code":503,"message":"worker lost"}}]`):        "worker lost",
		data(`{"code":1302,"msg":"worker lost"}`):                       `stream ended after 1 chunks without its finish_reason; it has an event: {"code":1302,"msg":"worker lost"}`,
		data(pieceX + "\ndata: " + stopped):                             "several chunks are one event: no blank line ends each of them",
		"data: " + pieceX + "\ndata: " + stopped + "\ndata: [DONE]\n":   "stream ended after 1 chunks without its finish_reason; no blank line ends each of its events",
		data(strings.Replace(stopped, "stop", "error", 1)):              "the answer ended with finish_reason error",
		data(strings.Replace(stopped, `"stop"`, `"abort"`, 1)):          "the answer ended with finish_reason abort",
		data(strings.Replace(stopped, `"stop"`, `{"type":"abort"}`, 1)): "the answer ended with finish_reason abort",
		"worker lost\n": "stream ended after 1 chunks without its finish_reason; it has a line: worker lost",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := stream(streamHead, data(pieceX), events).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Assert(t, r.Outcome == record.Failed || r.Outcome == record.Truncated, events)
			assert.Equal(t, r.Error, want)
		})
	}
	for _, none := range []string{"null", "false", `""`, "0", "{}", "[ ]"} {
		synctest.Test(t, func(t *testing.T) {
			chunk := strings.Replace(pieceX, "{", `{"error":`+none+`,`, 1)
			r := stream(streamHead, data(chunk), data(stopped)+data("[DONE]")).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", none, r.Error)
		})
	}
}

// Retry-After has two forms; servers write decimals, too. A refusal that says when is clean, also
// when that is now. How long the client waits is bounded.
func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]struct {
		wait time.Duration
		says bool
		note record.Note
	}{
		"7": {7 * time.Second, true, ""}, " 1 ": {time.Second, true, ""}, "0": {0, true, ""},
		"1.5":                              {1500 * ms, true, ""},
		"Mon, 30 Nov 2099 10:00:00 GMT":    {time.Second, true, record.NoteWait},
		"Sat, 29 Nov 2025 10:00:20 GMT":    {20 * time.Second, true, ""}, // ahead of the server's Date
		"Sat, 29 Nov 2025 09:00:00 GMT":    {0, true, ""},
		"Saturday, 29-Nov-25 10:00:20 GMT": {20 * time.Second, true, ""},
		"Sat, 29 Nov 2025 10:00:20 UTC":    {20 * time.Second, true, ""},
		"Sat, 29 Nov 2025 11:00:20 +0100":  {20 * time.Second, true, ""},
		"2025-11-29T10:00:20Z":             {20 * time.Second, true, ""},
		"2025-11-29T10:00:20.5+00:00":      {20500 * ms, true, ""},
		"20s":                              {20 * time.Second, true, ""},
		"1m0s":                             {time.Minute, true, ""},
		"2, 2":                             {2 * time.Second, true, ""},
		"3600":                             {time.Second, true, record.NoteWait},
		"99999999999":                      {time.Second, true, record.NoteWait},
		"1e400":                            {0, false, record.NoteNoWait},
		"-5":                               {0, false, record.NoteNoWait},
		"-5s":                              {0, false, record.NoteNoWait},
		"soon":                             {0, false, record.NoteNoWait},
		"":                                 {0, false, ""},
	} {
		for _, status := range []string{"503 Service Unavailable", "529 ", "429 Too Many Requests", "500 Internal Server Error"} {
			synctest.Test(t, func(t *testing.T) {
				head := fmt.Sprintf("HTTP/1.1 %s\r\nRetry-After: %s\r\nDate: Sat, 29 Nov 2025 10:00:00 GMT\r\nContent-Length: 4\r\n\r\nfull", status, value)
				r := wire{{0, head}}.client(t).Ask(t.Context(), 0, Prompt{})
				outcome := record.Failed
				if clean := status[0] == '4' || want.says && status[:3] != "500"; clean {
					outcome = record.Rejected
				}
				assert.Equal(t, r.Outcome, outcome, "%s, %q", status, value)
				assert.Equal(t, r.RetryAfter, want.wait, value)
				assert.Equal(t, r.Error, strings.TrimSpace(status)+": full")
				var notes []record.Note
				if want.note != "" {
					notes = []record.Note{want.note}
				}
				assert.DeepEqual(t, kinds(&r), notes)
			})
		}
	}
}

// Encodings that no request accepts are read where the client can, and named where it cannot.
func TestEncodedAnswer(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	var cuts []int
	for _, e := range []string{data(pieceX), data(pieceX), data(stopped) + data(usageOf2) + data("[DONE]")} {
		z.Write([]byte(e))
		z.Flush()
		cuts = append(cuts, packed.Len())
	}
	z.Close()
	body := packed.String()
	head := func(encoding string) string {
		return strings.Replace(streamHead, "Connection", "Content-Encoding: "+encoding+"\r\nConnection", 1)
	}
	synctest.Test(t, func(t *testing.T) {
		r := stream(head("GZip"), body[:cuts[0]], body[cuts[0]:cuts[1]], body[cuts[1]:]).client(t).Ask(t.Context(), 0, Prompt{})
		assert.Equal(t, r.Outcome, record.OK, r.Error)
		assert.DeepEqual(t, r.Chunks, []time.Duration{0, 10 * ms})
		assert.DeepEqual(t, r.Notes, []record.Note{record.NoteEncoded + ": gzip"})
		r = stream(head("br"), "?").client(t).Ask(t.Context(), 0, Prompt{})
		assert.Equal(t, r.Outcome, record.Failed)
		assert.Equal(t, r.Error, "the answer is encoded as br, which this client does not read, and no request accepts")
		r = stream(head("gzip"), data(pieceX)).client(t).Ask(t.Context(), 0, Prompt{})
		assert.Equal(t, r.Error, "the answer is called gzip and is not: gzip: invalid header")
	})
	c := &Client{URL: "http://server"}
	req, _, err := c.request(t.Context(), &Prompt{})
	assert.NilError(t, err)
	assert.Equal(t, req.Header.Get("Accept-Encoding"), "identity")
}

// Another agent's secret is found wherever in a response it is. Rows of digits that a server makes
// up for a request are none.
func TestLeakAnywhere(t *testing.T) {
	const own, others = "0badcafe", "deadbeef"
	delta := func(d string) string { return `{"choices":[{"delta":{` + d + `}}]}` }
	whole := func(first string) []string { return []string{data(first), data(stopped) + data("[DONE]")} }
	for where, w := range map[string]wire{
		"":                          stream(streamHead, data(delta(`"content":"dead"`)), data(delta(`"content":"beef"`))+data(stopped)+data("[DONE]")),
		"the reasoning":             stream(streamHead, whole(delta(`"reasoning_content":"see deadbeef"`))...),
		"the tool calls":            stream(streamHead, whole(delta(`"tool_calls":[{"function":{"arguments":"{\"x\":\"deadbeef\"}"}}]`))...),
		"a field that is not known": stream(streamHead, whole(delta(`"content":"a","cogitation":{"said":"deadbeef"}`))...),
		"the error":                 stream(streamHead, data(`{"error":{"message":"no room for deadbeef"}}`)),
		"the header X-Prompt":       stream(strings.Replace(streamHead, "Connection", "X-Prompt: deadbeef so\r\nConnection", 1), whole(pieceX)...),
		"no":                        stream(strings.Replace(streamHead, "Connection", "X-Trace: deadbeef-1234\r\nX-Request-Id: deadbeef\r\nConnection", 1), whole(pieceX)...),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := w.client(t)
			c.secrets.add(others)
			r := c.Ask(t.Context(), 0, Prompt{Canary: own})
			if where == "no" {
				assert.Equal(t, r.Leak, "")
				return
			}
			assert.Equal(t, r.Leak, others, where)
			assert.Equal(t, r.LeakIn, where)
			found := record.Check([]record.Record{r}, 0)
			assert.Equal(t, len(found), 1, "%v", found)
			assert.Equal(t, found[0].Check, record.CheckLeak)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := wire{{0, "HTTP/1.1 500 Oh\r\nContent-Length: 38\r\n\r\n{\"error\":\"no room for deadbeef so far\"}"}}.client(t)
		c.secrets.add(others)
		assert.Equal(t, c.Ask(t.Context(), 0, Prompt{Canary: own}).Leak, others)
	})
}

// What a server sends to a terminal's harm does not get there.
func TestErrorIsPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := "line one\n\x1b[31mred\x1b[0m\x9b2J\u202eback\x07"
		head := fmt.Sprintf("HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		r := wire{{0, head}}.client(t).Ask(t.Context(), 0, Prompt{})
		assert.Equal(t, r.Error, "500 Oh: line one\n[31mred[0m\ufffd2Jback")
	})
}

// An event that comes twice is counted: for certain where it has an id of its own, else as a
// repeat, which a model makes as well.
func TestRepeatedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := func(n int, text string) string { return fmt.Sprintf("id: %d\n%s", n, text) }
		tail := data(stopped) + data(usageOf2) + data("[DONE]")
		r := stream(streamHead, id(1, data(pieceX)), id(2, data(pieceX)), tail).client(t).Ask(t.Context(), 0, Prompt{})
		assert.DeepEqual(t, []int{r.Repeats, r.Doubled}, []int{1, 0})
		assert.Equal(t, len(record.Check([]record.Record{r}, 0)), 0)
		r = stream(streamHead, id(1, data(pieceX)), id(1, data(pieceX)), tail).client(t).Ask(t.Context(), 0, Prompt{})
		assert.DeepEqual(t, []int{r.Repeats, r.Doubled}, []int{1, 1})
		found := record.Check([]record.Record{r}, 0)
		assert.Equal(t, found[0].About, "1 piece of an answer came twice, with one event id")
		r = stream(streamHead, data(pieceX), data(pieceX), data(pieceX)+tail).client(t).Ask(t.Context(), 0, Prompt{})
		found = record.Check([]record.Record{r}, 0)
		assert.Equal(t, found[0].About, "3 pieces of an answer of 2 tokens: 1 piece came twice")
	})
}
