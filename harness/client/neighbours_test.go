package client

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// answered is a stream of two pieces, with events in the place of its usage.
func answered(usage ...string) wire {
	return stream(streamHead, data(pieceX), data(pieceX), data(stopped)+strings.Join(usage, "")+data("[DONE]"))
}

// A usage counts wherever servers have it, and one that says nothing takes back nothing.
func TestUsagePlaces(t *testing.T) {
	const counts = `"usage":{"prompt_tokens":12,"completion_tokens":2}`
	for name, w := range map[string]wire{
		"before the text": stream(streamHead, data(usageOf2), data(pieceX), data(pieceX)+data(stopped)+data("[DONE]")),
		"twice":           answered(data(usageOf2), data(usageOf2)),
		"in every chunk":  stream(streamHead, data(strings.Replace(pieceX, `{"ch`, `{`+counts+`,"ch`, 1)), data(strings.Replace(pieceX, `{"ch`, `{`+counts+`,"ch`, 1)), data(stopped)+data("[DONE]")),
		"in a choice":     answered(data(`{"choices":[{"index":0,"delta":{},` + counts + `}]}`)),
		"as Groq has it":  answered(data(`{"choices":[],"x_groq":{"id":"r",` + counts + `}}`)),
		"then nulls":      answered(data(usageOf2), data(`{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":null}}`)),
		"then null":       answered(data(usageOf2), data(`{"choices":[],"usage":null}`)),
		"after the end":   stream(streamHead, data(pieceX), data(pieceX), data(stopped)+data("[DONE]")+data(usageOf2)),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := w.client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.OK, "%s: %s", name, r.Error)
			assert.DeepEqual(t, []int{r.PromptTokens, r.OutputTokens}, []int{12, 2})
			assert.Equal(t, len(r.Notes), 0, "%s: %v", name, r.Notes)
		})
	}
}

// Keep-alive comments, events after a stream's end, and other media types neither add to an answer
// nor take anything from it.
func TestAroundTheAnswer(t *testing.T) {
	end := data(stopped) + data(usageOf2) + data("[DONE]")
	typed := func(contentType string) string {
		return strings.Replace(streamHead, "Content-Type: text/event-stream\r\n", contentType, 1)
	}
	for name, tc := range map[string]struct {
		w     wire
		notes []record.Note
	}{
		"no data":        {stream(streamHead, data("")+data(pieceX), "data\n\n"+data(pieceX), "event: ping\ndata:\n\n"+end), []record.Note{record.NoteEvent}},
		"text after":     {stream(streamHead, data(pieceX), data(pieceX), end+data(pieceX)), []record.Note{record.NoteAfter}},
		"an error after": {stream(streamHead, data(pieceX), data(pieceX), end+data(`{"error":{"message":"late"}}`)), []record.Note{record.NoteAfter}},
		"[DONE] twice":   {stream(streamHead, data(pieceX), data(pieceX), end+data("[DONE]")), nil},
		"another choice": {stream(streamHead, data(strings.Replace(pieceX, `"index":0`, `"index":1`, 1)), data(pieceX), end), []record.Note{record.NoteField}},
		"JSON's type":    {stream(typed("Content-Type: application/json\r\n"), data(pieceX), data(pieceX), end), []record.Note{record.NoteType}},
		"plain text":     {stream(typed("Content-Type: text/plain; charset=utf-8\r\n"), ": hello\n\n"+data(pieceX), data(pieceX), end), []record.Note{record.NoteType}},
		"no type":        {stream(typed(""), "\ufeff"+data(pieceX), data(pieceX), end), []record.Note{record.NoteType}},
		"the type twice": {stream(typed("Content-Type: text/event-stream, text/event-stream\r\n"), "event: message\n"+data(pieceX), data(pieceX), end), []record.Note{record.NoteType}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := tc.w.client(t).Ask(t.Context(), 0, Prompt{})
				assert.Equal(t, r.Outcome, record.OK, r.Error)
				assert.DeepEqual(t, r.Chunks, []time.Duration{0, 10 * ms})
				assert.Equal(t, r.Answer, "x x ")
				assert.Equal(t, r.OutputTokens, 2)
				assert.DeepEqual(t, kinds(&r), tc.notes)
			})
		})
	}
}

// An answer without a body, and an error without words, are said as they are.
func TestNothingSaid(t *testing.T) {
	for head, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n": "the answer has no body",
		"HTTP/1.1 204 No Content\r\n\r\n":                                                "204 No Content",
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n":                          "502 Bad Gateway",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := wire{{0, head}}.client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.Failed)
			assert.Equal(t, r.Error, want)
		})
	}
}

// Encodings of answers are undone in turn, deflate in both its forms.
func TestEncodings(t *testing.T) {
	body := data(pieceX) + data(pieceX) + data(stopped) + data(usageOf2) + data("[DONE]")
	pack := func(text string, by func(w io.Writer) io.WriteCloser) string {
		var b bytes.Buffer
		w := by(&b)
		io.WriteString(w, text)
		w.Close()
		return b.String()
	}
	zipped := pack(body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	zlibbed := pack(body, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	raw := pack(body, func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 5); return f })
	both := pack(zlibbed, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	for _, tc := range []struct{ encoding, body, note string }{
		{"gzip", zipped, "gzip"}, {"identity, gzip", zipped, "gzip"}, {"X-GZIP", zipped, "x-gzip"},
		{"deflate", zlibbed, "deflate"}, {"deflate", raw, "deflate"}, {"deflate, gzip", both, "gzip, deflate"},
		{"identity", body, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			head := strings.Replace(streamHead, "Connection", "Content-Encoding: "+tc.encoding+"\r\nConnection", 1)
			r := stream(head, tc.body).client(t).Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.OK, r.Error)
			assert.Equal(t, r.Answer, "x x ")
			if tc.note != "" {
				assert.DeepEqual(t, r.Notes, []record.Note{record.NoteEncoded + record.Note(": "+tc.note)})
			}
		})
	}
}

// Another agent's secret is found in what comes beside the answer as well, though the events differ
// in nothing else.
func TestLeakBesideTheAnswer(t *testing.T) {
	const own, others = "0badcafe", "deadbeef"
	with := func(field string) string { return strings.Replace(pieceX, `{"ch`, `{`+field+`,"ch`, 1) }
	plain := []string{data(pieceX), data(stopped) + data("[DONE]")}
	const whole = `{"of":"deadbeef","choices":[{"message":{"content":"so it is"},"finish_reason":"stop"}]}`
	after := func(more string) wire { return stream(streamHead, data(pieceX), data(stopped)+data("[DONE]")+more) }
	for name, w := range map[string]wire{
		"a field":             stream(streamHead, data(with(`"debug":{"prompt":"deadbeef so"}`)), plain[1]),
		"the fingerprint":     stream(streamHead, data(with(`"system_fingerprint":"deadbeef"`)), plain[1]),
		"a later event":       stream(streamHead, data(pieceX)+data(pieceX), data(with(`"x":"deadbeef"`)), plain[1]),
		"a field of a choice": stream(streamHead, data(strings.Replace(pieceX, `"index"`, `"prompt":"deadbeef","index"`, 1)), plain[1]),
		"log-probabilities":   stream(streamHead, data(strings.Replace(pieceX, `"index"`, `"logprobs":{"content":[{"token":"deadbeef"}]},"index"`, 1)), plain[1]),
		"the usage":           stream(streamHead, plain[0], data(`{"choices":[],"usage":{"prompt_tokens":1,"of":"deadbeef"}}`)+plain[1]),
		"a comment":           stream(streamHead, ": deadbeef is my secret\n\n"+plain[0], plain[1]),
		"an event's id":       stream(streamHead, "id: deadbeef\n"+plain[0], plain[1]),
		"an event's type":     stream(streamHead, "event: deadbeef\n"+plain[0], plain[1]),
		"a line of no field":  stream(streamHead, "deadbeef\n"+plain[0], plain[1]),
		"an event of no part": stream(streamHead, data(`{"type":"ping","of":"deadbeef"}`)+plain[0], plain[1]),
		"after the end":       after(data(`{"trace":"deadbeef"}`)),
		"a comment after it":  after(": deadbeef\n\n"),
		"the status line":     stream(strings.Replace(streamHead, "OK", "OK deadbeef", 1), plain...),
		"an answer in one piece": {{0, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			len(whole), whole)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := w.client(t)
				c.secrets.add(others)
				r := c.Ask(t.Context(), 0, Prompt{Canary: own})
				assert.Equal(t, r.Leak, others, r.Error)
				assert.Assert(t, r.LeakIn == "the stream beside the answer" || r.LeakIn == "the status line" ||
					r.LeakIn == "the body beside the answer", r.LeakIn)
			})
		})
	}
	// An agent may have its own secret back, and the rows of digits of an id are no secret.
	for _, w := range []wire{
		stream(streamHead, data(with(`"echo":"0badcafe"`)), plain[1]),
		stream(streamHead, data(with(`"id":"chatcmpl-77deadbeef"`)), "id: deadbeef-1\n"+plain[1]),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := w.client(t)
			c.secrets.add(others)
			assert.Equal(t, c.Ask(t.Context(), 0, Prompt{Canary: own}).Leak, "")
		})
	}
}

// Blanks that an answer begins with start no clock: a server that sends one at once would have a
// time to first token of nothing. Where nothing else comes, they are the answer.
func TestBlankBeginning(t *testing.T) {
	const ms = time.Millisecond
	piece := func(text string) string { return data(strings.Replace(pieceX, `"x "`, `"`+text+`"`, 1)) }
	end := data(stopped) + data("[DONE]")
	for _, tc := range []struct {
		name   string
		texts  []string
		chunks []time.Duration
		answer string
	}{
		{"a blank at once", []string{" ", "a", "b"}, []time.Duration{2 * ms, 3 * ms}, " ab"},
		{"several", []string{"\\n", "\u200b", " ", "a"}, []time.Duration{4 * ms}, "\n\u200b a"},
		{"blanks between", []string{"a", " ", "b"}, []time.Duration{ms, 2 * ms, 3 * ms}, "a b"},
		{"blanks alone", []string{" ", "\\n"}, []time.Duration{ms, 2 * ms}, " \n"},
	} {
		var pieces []Piece
		for i, text := range tc.texts {
			pieces = append(pieces, Piece{time.Duration(i+1) * ms, []byte(piece(text))})
		}
		pieces = append(pieces, Piece{9 * ms, []byte(end)})
		r := ReadAnswer(Chat, "text/event-stream", pieces)
		assert.Equal(t, r.Outcome, record.OK, "%s: %s", tc.name, r.Error)
		assert.DeepEqual(t, r.Chunks, tc.chunks)
		assert.Equal(t, r.FirstContent, tc.chunks[0], tc.name)
		assert.Equal(t, r.Answer, tc.answer)
		r.End = 9 * ms
		assert.DeepEqual(t, record.Check([]record.Record{r}, -1), []record.Violation(nil))
	}
}

// A usage whose total is not the sum of its parts is said to be so, and its parts count.
func TestUsageSum(t *testing.T) {
	for total, want := range map[int]bool{14: false, 0: false, 15: true, 42: true} {
		usage := fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":%d}}`, total)
		r := ReadAnswer(Chat, "text/event-stream", []Piece{{1, []byte(data(pieceX) + data(pieceX) + data(stopped) + data(usage) + data("[DONE]"))}})
		assert.Equal(t, r.OutputTokens, 2)
		assert.Equal(t, len(r.Notes) > 0, want, "total %d: %v", total, r.Notes)
	}
}

// An answer of another model than was asked for is noted, and one under a longer or shorter name of
// the same model is not.
func TestOtherModel(t *testing.T) {
	named := func(name string) wire {
		text := strings.Replace(pieceX, `{"ch`, `{"model":"`+name+`","ch`, 1)
		return stream(streamHead, data(text), data(text), data(stopped)+data("[DONE]"))
	}
	for _, tc := range []struct {
		asked, named string
		want         bool
	}{
		{"a-1b", "a-1b", false}, {"", "a-1b", false}, {"a-1b", "", false},
		{"a", "a-2026-08-06", false}, {"org/a-1b", "a-1b", false}, {"a-1b", "/models/a-1b.gguf", false},
		{"A-1B", "a-1b:latest", false}, {"a-latest", "a-20260806", true},
		{"a-1b", "b-1b", true}, {"a-1b", "a-1b-mini", true}, {"a-70b", "a-7b", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := named(tc.named).client(t)
			c.Model = tc.asked
			r := c.Ask(t.Context(), 0, Prompt{})
			assert.Equal(t, r.Outcome, record.OK, r.Error)
			got := len(r.Notes) > 0 && r.Notes[0].Kind() == record.NoteModel
			assert.Equal(t, got, tc.want, "%q of %q: %v", tc.named, tc.asked, r.Notes)
		})
	}
}
