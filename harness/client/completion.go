package client

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// A completion is an answer or a chunk of one, as far as a client needs it.
type completion struct {
	content   []byte // of the choices' deltas or messages: the text, or the refusal to give one
	reasoning []byte // of the same: the text before the answer, by any of the names it goes by
	called    []byte // of the same: the names and arguments of tool calls
	other     []byte // other texts of the same, which are no tokens; they may still leak
	calls     int    // parts of tool calls that say something
	finish    string // the last finish_reason that is not null
	failure   string // what the server says of an error
	failed    bool

	usage  bool // there is one with counts in it
	prompt int  // its prompt_tokens; -1 unknown
	output int  // its completion_tokens
	cached int  // its prompt_tokens_details.cached_tokens
	hidden int  // its completion_tokens_details.reasoning_tokens
	reused int  // the same as cached, of llama.cpp's timings; -1 unknown

	drafted, accepted int // tokens of drafts, by any of their names; 0 unknown

	unsummed string // a total that is not the sum of its parts; "" none

	unread string // what of the usage cannot be read; "" nothing
	odd    string // what else the client does not know; "" nothing
	part   bool   // it is a part of an answer: it has choices or a usage
	done   bool   // it ends the stream, of an API that has an event for that

	// partial says that the usage leaves out what an earlier one of the stream has.
	partial bool
	// item is what came of the part of the answer that a stream of the responses API is at.
	item responseItem

	// fingerprint is the last system_fingerprint that was read, of this text or an earlier one.
	fingerprint []byte

	// details is set by the caller who wants the model and the tokens. A measurement does not.
	details bool
	model   string
	asked   string        // the model that was asked for; "" any
	another string        // the model that answers in its place; "" none
	tokens  []tokenChoice // of logprobs

	// last is the last text that was parsed in full. from and to are where its content or reasoning
	// is between its quotes, where it has just one.
	last        []byte
	from, to    int
	texts       int
	isReasoning bool // that text is reasoning
	isNew       bool // more than its content differs from the text before
}

// parse reads a completion. Its content uses the memory of the last one's.
//
// Note: it reads the JSON itself. Decoding with encoding/json took three quarters of the client's
// time, on the very machine whose server is being timed. It is as strict as encoding/json, but
// knows keys only as they are written.
//
// What the answer does not depend on, such as a usage, may have any form: what cannot be read of it
// is unknown, and unread or odd says so.
func (v *completion) parse(text []byte) error {
	if v.same(text) {
		return nil
	}
	v.reset()
	c := cursor{text: text}
	var said, failed bool // a message or detail; an object that calls itself an error
	c.object(func(key []byte) {
		switch string(key) {
		case "choices":
			v.part = true
			c.array(func() { v.choice(&c) })
		case "usage":
			v.readUsage(&c, &chatUsage)
		case "x_groq":
			v.usageIn(&c)
		case "timings":
			v.timings(&c)
		case "error":
			v.error(&c)
		case "model":
			v.readModel(&c)
		case "system_fingerprint":
			if raw := c.value(); len(raw) > 2 && raw[0] == '"' {
				v.fingerprint = append(v.fingerprint[:0], raw[1:len(raw)-1]...)
			}
		case "object":
			failed = string(c.value()) == `"error"`
		case "message", "detail", "errors":
			said = !falsy(c.value()) || said
		default:
			c.skip()
		}
	})
	if v.usage && v.cached < 0 {
		v.cached = v.reused
	}
	if c.err == nil {
		switch {
		case !v.failed && (failed || said && !v.part):
			v.failed, v.failure = true, failureText(text)
		case !v.failed && !v.part:
			v.odd = excerpt(text)
		}
	}
	return v.settle(&c)
}

// same reads a text that differs from the last one in its content alone.
func (v *completion) same(text []byte) bool {
	content, ok := v.sameButContent(text)
	v.isNew = !ok
	switch {
	case !ok:
		return false
	case v.isReasoning:
		v.reasoning = append(v.reasoning[:0], content...)
	default:
		v.content = append(v.content[:0], content...)
	}
	return true
}

// reset forgets what was read, and keeps its memory.
func (v *completion) reset() {
	*v = completion{content: v.content[:0], reasoning: v.reasoning[:0], called: v.called[:0],
		other: v.other[:0], last: v.last[:0], item: v.item,
		prompt: -1, output: -1, cached: -1, hidden: -1, reused: -1, details: v.details, isNew: true,
		asked: v.asked, fingerprint: v.fingerprint}
}

// settle ends the reading of a text, which must have ended as well.
func (v *completion) settle(c *cursor) error {
	c.blank()
	if c.err == nil && c.at < len(c.text) {
		c.fail("the end")
	}
	if c.err != nil {
		return c.err
	}
	if v.texts == 1 && v.calls == 0 && len(v.other) == 0 && v.odd == "" && !v.details {
		v.last = append(v.last, c.text...)
	}
	return nil
}

// sameButContent reports whether text differs from the last one in its content alone, and returns
// that. The chunks of an answer mostly differ in nothing else, and comparing bytes takes a tenth of
// the time of parsing them.
func (v *completion) sameButContent(text []byte) ([]byte, bool) {
	if len(v.last) == 0 {
		return nil, false
	}
	before, after := v.last[:v.from], v.last[v.to:]
	end := len(text) - len(after)
	if end < v.from || !bytes.Equal(text[:v.from], before) || !bytes.Equal(text[end:], after) {
		return nil, false
	}
	for _, b := range text[v.from:end] {
		if b == '"' || b == '\\' || b < ' ' || b >= utf8.RuneSelf {
			return nil, false // it has to be parsed
		}
	}
	return text[v.from:end], true
}

func (v *completion) choice(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "delta", "message":
			v.message(c)
		case "text": // of a completion that is not a chat
			v.text(c, &v.content)
		case "finish_reason":
			v.readFinish(c)
		case "usage": // Moonshot's place for it
			v.readUsage(c, &chatUsage)
		case "index":
			if raw := c.value(); v.odd == "" && c.err == nil && !falsy(raw) {
				v.odd = "a choice of index " + excerpt(raw) + ", where one was asked for"
			}
		case "error":
			v.error(c)
		case "logprobs":
			v.logprobs(c)
		default:
			c.skip()
		}
	})
}

// unknown reads a field that the client has no use for. A text in one that it does not know is no
// token: it cannot know whether a reader sees it.
func (v *completion) unknown(c *cursor, key []byte) {
	if slices.Contains(silent, string(key)) {
		c.skip()
		return
	}
	before := len(v.other)
	if v.other = c.plain(v.other); len(v.other) > before && v.odd == "" {
		v.odd = excerpt(key)
	}
}

// failures are the finish reasons of answers that the server did not make to the end.
var failures = []string{"error", "abort", "aborted", "cancelled", "canceled", "failed", "failure",
	"timeout", "network_error", "insufficient_system_resource"}

// readFinish reads why the answer ended. It is a text, or an object with the text as its type, as
// SGLang's own is.
func (v *completion) readFinish(c *cursor) {
	raw := c.value()
	if c.err != nil || falsy(raw) {
		return
	}
	switch string(raw) { // nearly all there are
	case `"stop"`:
		v.finish = "stop"
		return
	case `"length"`:
		v.finish = "length"
		return
	}
	var reason struct{ Type string }
	if json.Unmarshal(raw, &reason.Type) != nil && json.Unmarshal(raw, &reason) != nil {
		if v.odd == "" {
			v.odd = "finish_reason " + excerpt(raw)
		}
		return
	}
	v.finish = excerpt([]byte(reason.Type))
	if slices.Contains(failures, strings.ToLower(reason.Type)) && !v.failed {
		v.failed, v.failure = true, "the answer ended with finish_reason "+v.finish
	}
}

func (v *completion) readModel(c *cursor) {
	raw := c.value()
	if len(raw) < 2 || raw[0] != '"' {
		return
	}
	name := raw[1 : len(raw)-1]
	switch {
	case v.details:
		json.Unmarshal(raw, &v.model)
	case v.asked != "" && string(name) != v.asked && !isModel(string(name), v.asked):
		v.another = excerpt(raw)
	}
}

// isModel reports whether a name is that of the model that was asked for: the same but for a
// folder, the end of a file's name, a tag or the date of a version.
func isModel(name, asked string) bool {
	bare := func(s string) string {
		s = strings.ToLower(strings.ReplaceAll(s, `\/`, "/"))
		s = s[strings.LastIndexByte(s, '/')+1:]
		s, _, _ = strings.Cut(s, ":")
		return strings.TrimSuffix(s, ".gguf")
	}
	name, asked = bare(name), bare(asked)
	if name == "" || asked == "" {
		return true
	}
	long, short := name, asked
	if len(long) < len(short) {
		long, short = short, long
	}
	version, ok := strings.CutPrefix(long, short)
	// Digits, and the letters of "latest".
	return ok && strings.Trim(version, "-@.0123456789aelst") == ""
}

// error reads the error of a chunk. One that is null, false, 0 or empty is none, as for OpenAI's
// own clients.
func (v *completion) error(c *cursor) {
	raw := c.value()
	if c.err != nil || falsy(raw) {
		return
	}
	v.failed = true
	if v.failure = failureText(raw); raw[0] != '{' && raw[0] != '"' && raw[0] != '[' {
		v.failure = failureText(c.text) // it is true or a number, and the text is beside it
	}
}
