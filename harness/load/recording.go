package load

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// RecordingFormat and RecordingVersion identify the recordings that this program writes and reads.
const (
	RecordingFormat  = "loadstone sessions"
	RecordingVersion = 1
)

// A RecordingHeader is the first line of a recording.
type RecordingHeader struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	API     string    `json:"api,omitempty"`    // default API of the sessions; see [Session]
	Source  string    `json:"source,omitempty"` // describes what was recorded
	Began   time.Time `json:"began,omitzero"`
	Private bool      `json:"private,omitempty"` // texts are made-up words of the same lengths
}

// A Recording writes the calls of sessions to a file as they end. It is safe for concurrent use.
//
// The file is JSON Lines: the header, then a line for each call, in any order, written when the
// call has ended. A line contains only the messages that the call adds to a conversation:
//
//	{"format":"loadstone sessions","version":1,"api":"chat"}
//	{"session":"a","call":0,"at_ms":0,"add":[{"raw":{"role":"user","content":"Fix it"}}],
//	 "tools":[...],"max_tokens":500,"was":{"text":"","tool_calls":[...],"output":21,"took_ms":730}}
//	{"session":"a","call":1,"from":0,"pause_ms":120,"add":[
//	 {"reply":true,"raw":{"role":"assistant","tool_calls":[...]}},
//	 {"raw":{"role":"tool","tool_call_id":"c1","content":"ok"}}],"was":{...}}
//
// The fields are those of [Session], [Call], [Message] and [Recorded] by their names in lower case;
// was is Call.Recorded, and at_ms, pause_ms, first_ms and took_ms are in milliseconds. A missing
// field is 0, with these exceptions: without from the call begins a conversation, a missing count
// is not known, api is the header's, and tools and body are those of the call that is continued.
// body is the request's body in its own order, with null for messages, input, prompt, system and
// tools, which other fields have; a system in body replaces the system message. A private message
// has role and words instead of raw; words is a list of [seed, tokens], and equal texts have equal
// seeds.
type Recording struct {
	mu  sync.Mutex
	w   io.Writer
	api string // the header's
	err error
}

// NewRecording sets the format and the version of the header, writes it, and returns the recording.
func NewRecording(w io.Writer, h RecordingHeader) (*Recording, error) {
	h.Format, h.Version = RecordingFormat, RecordingVersion
	r := &Recording{w: w, api: h.API}
	return r, r.line(h)
}

// Write writes a call that has ended. Of its session it writes the name, the API and, with call 0,
// the arrival time.
func (r *Recording) Write(s *Session, c *Call) error {
	line := callLine{Session: s.Name, Call: c.ID, Keep: c.Keep, After: c.After,
		Pause: millis(c.Pause), Person: c.Person, Turn: c.Turn, Sub: c.Sub, MaxTokens: c.Answer,
		Tools: c.Tools, Body: fieldsObject(c.Fields), Was: lineOfRecorded(c.Recorded),
		Add: []messageLine{}}
	if c.From >= 0 {
		line.From = &c.From
	}
	if s.API != r.api {
		line.API = s.API
	}
	if c.ID == 0 {
		line.At = millis(s.At)
	}
	for i := range c.Add {
		line.Add = append(line.Add, lineOf(&c.Add[i]))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line(line)
}

// line writes a line. After a write error it writes no more, since the file would have a gap.
func (r *Recording) line(v any) error {
	if r.err != nil {
		return r.err
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // what was recorded stays byte for byte
	if err := enc.Encode(v); err != nil {
		return err // the file is as it was
	}
	_, r.err = r.w.Write(text.Bytes())
	return r.err
}

// A callLine is a call in a recording.
type callLine struct {
	Session   string            `json:"session"`
	API       string            `json:"api,omitempty"`
	Call      int               `json:"call"`
	At        float64           `json:"at_ms,omitempty"`
	From      *int              `json:"from,omitempty"`
	Keep      int               `json:"keep,omitempty"`
	After     []int             `json:"after,omitempty"`
	Pause     float64           `json:"pause_ms,omitempty"`
	Person    bool              `json:"person,omitempty"`
	Turn      int               `json:"turn,omitempty"`
	Sub       int               `json:"sub,omitempty"`
	Add       []messageLine     `json:"add"`
	Tools     []json.RawMessage `json:"tools,omitzero"`
	Body      json.RawMessage   `json:"body,omitempty"`
	MaxTokens int               `json:"max_tokens,omitempty"`
	Was       *recordedLine     `json:"was,omitempty"`
}

// A messageLine is a message in a recording. A line with Raw has no other field except Reply.
type messageLine struct {
	Reply      bool            `json:"reply,omitempty"`
	Raw        json.RawMessage `json:"raw,omitempty"`
	Role       string          `json:"role,omitempty"`
	Text       string          `json:"text,omitempty"`
	Words      []wordsLine     `json:"words,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
	Name       string          `json:"name,omitempty"`
}

// A wordsLine is the pair [seed, tokens] of made-up words. The seed is in hexadecimal digits, since
// many JSON readers have no integers of 64 bits.
type wordsLine Words

func (w wordsLine) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `["%x",%d]`, w.Seed, w.Tokens), nil
}

func (w *wordsLine) UnmarshalJSON(text []byte) error {
	var pair []any
	if err := json.Unmarshal(text, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf("words %s: want [seed, tokens]", text)
	}
	seed, isText := pair[0].(string)
	tokens, isNumber := pair[1].(float64)
	n, err := strconv.ParseUint(seed, 16, 64)
	if !isText || !isNumber || err != nil || tokens < 0 || tokens > maxTrace {
		return fmt.Errorf(`words %s: want ["seed in hexadecimal digits", tokens]`, text)
	}
	w.Seed, w.Tokens = n, int(tokens)
	return nil
}

// A recordedLine is the result of a call in a recording.
type recordedLine struct {
	Text      string          `json:"text,omitempty"`
	Thought   string          `json:"thought,omitempty"`
	ToolCalls json.RawMessage `json:"tool_calls,omitempty"`
	Finish    string          `json:"finish,omitempty"`
	Failure   string          `json:"failure,omitempty"`
	Prompt    *int            `json:"prompt,omitempty"`
	Cached    *int            `json:"cached,omitempty"`
	Output    *int            `json:"output,omitempty"`
	Reasoning *int            `json:"reasoning,omitempty"`
	First     float64         `json:"first_ms,omitempty"`
	Took      float64         `json:"took_ms,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func fromMillis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func lineOf(m *Message) messageLine {
	if m.Raw != nil {
		return messageLine{Reply: m.Reply, Raw: m.Raw}
	}
	line := messageLine{Reply: m.Reply, Role: m.Role, Text: m.Text, ToolCalls: m.ToolCalls,
		ToolCallID: m.ToolCallID, Name: m.Name}
	for _, w := range m.Words {
		line.Words = append(line.Words, wordsLine(w))
	}
	return line
}

func lineOfRecorded(w *Recorded) *recordedLine {
	if w == nil {
		return nil
	}
	count := func(n int) *int {
		if n < 0 {
			return nil
		}
		return &n
	}
	return &recordedLine{w.Text, w.Thought, w.ToolCalls, w.Finish, w.Failure, count(w.Prompt),
		count(w.Cached), count(w.Output), count(w.Reasoning), millis(w.First), millis(w.Took)}
}

func (w *recordedLine) recorded() *Recorded {
	if w == nil {
		return nil
	}
	count := func(n *int) int {
		if n == nil {
			return -1
		}
		return *n
	}
	return &Recorded{w.Text, w.Thought, w.ToolCalls, w.Finish, w.Failure, count(w.Prompt),
		count(w.Cached), count(w.Output), count(w.Reasoning), fromMillis(w.First),
		fromMillis(w.Took)}
}

// fieldsObject returns the fields as a JSON object, in their order, or nil if there are none.
func fieldsObject(fields []Field) json.RawMessage {
	if len(fields) == 0 {
		return nil
	}
	text := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		name, _ := json.Marshal(f.Name)
		text = append(append(text, name...), ':')
		if f.Value == nil {
			text = append(text, "null"...)
		}
		text = append(text, f.Value...)
	}
	return append(text, '}')
}

// objectFields parses a JSON object's fields in their order.
func objectFields(object json.RawMessage) ([]Field, error) {
	values := json.NewDecoder(bytes.NewReader(object))
	if open, err := values.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("the body is not a JSON object")
	}
	var fields []Field
	for values.More() {
		name, err := values.Token()
		if err != nil {
			return nil, err
		}
		f := Field{Name: name.(string)}
		if err := values.Decode(&f.Value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	_, err := values.Token()
	return fields, err
}

// ReadRecording reads a recording and returns its sessions, sorted by arrival. name is the file's
// name for errors, which contain the line. ReadRecording ignores an incomplete last line, such as a
// killed recorder leaves.
func ReadRecording(name string, r io.Reader) ([]Session, error) {
	sessions, _, err := readRecording(name, r)
	return sessions, err
}

// readRecording is ReadRecording. cut reports whether the last line is incomplete.
func readRecording(name string, r io.Reader) (sessions []Session, cut bool, err error) {
	b := builder{name: name, sessions: map[string]*recordedSession{}}
	lines := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		text, err := longLine(lines)
		if len(bytes.TrimSpace(text)) > 0 {
			if cut = err == io.EOF && !json.Valid(text); cut && len(b.order) > 0 {
				break
			}
			if failed := b.line(text); failed != nil {
				return nil, cut, fmt.Errorf("%s:%d: %w", name, n, failed)
			}
			b.last = n
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, cut, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	sessions, err = b.finish()
	return sessions, cut, err
}

// maxLine is the maximum length of a line in bytes. No request is as long.
const maxLine = 256 << 20

// longLine reads a line of any length up to maxLine.
func longLine(r *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := r.ReadSlice('\n')
		if err == nil && whole == nil {
			return bytes.Clone(part), nil
		}
		whole = append(whole, part...)
		if len(whole) > maxLine {
			return nil, fmt.Errorf("the line is longer than %d MB; no request is", maxLine>>20)
		}
		if err != bufio.ErrBufferFull {
			return whole, err
		}
	}
}

// A builder makes sessions from the lines of a recording.
type builder struct {
	name     string
	header   *RecordingHeader
	sessions map[string]*recordedSession
	order    []*recordedSession
	last     int // number of the last line that is not blank
}

// A recordedSession is a session as far as its lines were read.
type recordedSession struct {
	Session
	calls map[int]*recordedCall
}

// A recordedCall is a call. Without tools or a body of its own, it has those of the call that it
// continues.
type recordedCall struct {
	Call
	ownTools, ownBody bool
}

func (b *builder) line(text []byte) error {
	if b.header == nil {
		return b.head(text)
	}
	var line callLine
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("not a call of a recording: %w; if the file was cut off, remove the line",
			err)
	}
	s := b.sessions[line.Session]
	if s == nil {
		s = &recordedSession{calls: map[int]*recordedCall{}, Session: Session{Name: line.Session,
			API: cmp.Or(line.API, b.header.API), Verbatim: !b.header.Private}}
		b.sessions[line.Session], b.order = s, append(b.order, s)
	}
	if line.Call < 0 || s.calls[line.Call] != nil {
		return fmt.Errorf("session %s has two calls %d, or one below 0", line.Session, line.Call)
	}
	c, err := line.call(s.API)
	if err != nil {
		return fmt.Errorf("session %s, call %d: %w", line.Session, line.Call, err)
	}
	if line.Call == 0 {
		s.At = fromMillis(line.At)
	}
	s.calls[line.Call] = c
	return nil
}

func (b *builder) head(text []byte) error {
	h := &RecordingHeader{}
	err := json.Unmarshal(text, h)
	switch {
	case err != nil || h.Format != RecordingFormat:
		return fmt.Errorf("not a recording: it does not begin with {\"format\":%q", RecordingFormat)
	case h.Version != RecordingVersion:
		return fmt.Errorf("a recording of version %d; this program reads version %d", h.Version,
			RecordingVersion)
	}
	b.header = h
	return nil
}

// call returns the call of a line.
func (line *callLine) call(api string) (*recordedCall, error) {
	c := &recordedCall{ownTools: line.Tools != nil, ownBody: line.Body != nil}
	c.Call = Call{ID: line.Call, From: -1, Keep: line.Keep, After: line.After,
		Pause: fromMillis(line.Pause), Person: line.Person, Turn: line.Turn, Sub: line.Sub,
		Answer: line.MaxTokens, Tools: line.Tools, Recorded: line.Was.recorded()}
	if line.From != nil {
		c.From = *line.From
	}
	for _, id := range append([]int{c.From}, c.After...) {
		if id >= c.ID || id < -1 {
			return nil, fmt.Errorf("it waits for call %d, which does not come before it", id)
		}
	}
	if c.Pause < 0 || c.Keep < 0 || c.Answer < 0 || c.Keep > 0 && c.From < 0 {
		return nil, errors.New("pause_ms, keep and max_tokens are 0 or more, and keep needs from")
	}
	var err error
	if c.ownBody {
		if c.Fields, err = objectFields(line.Body); err != nil {
			return nil, err
		}
		for i, f := range c.Fields {
			switch f.Name {
			case "messages", "input", "prompt", "system", "tools":
				if string(f.Value) == "null" {
					c.Fields[i].Value = nil
				}
			}
		}
	}
	for _, m := range line.Add {
		said, err := m.message(api)
		if err != nil {
			return nil, err
		}
		c.Add = append(c.Add, said)
	}
	return c, nil
}

func (m *messageLine) message(api string) (Message, error) {
	said := Message{Role: m.Role, Text: m.Text, ToolCalls: m.ToolCalls, ToolCallID: m.ToolCallID,
		Name: m.Name}
	if m.Raw != nil {
		var err error
		if said, err = ParseMessage(api, m.Raw); err != nil {
			return said, err
		}
	}
	for _, w := range m.Words {
		said.Words = append(said.Words, Words(w))
	}
	said.Reply = m.Reply
	return said, nil
}

// finish links the calls that were read.
func (b *builder) finish() ([]Session, error) {
	if b.header == nil {
		return nil, fmt.Errorf("%s: it is empty", b.name)
	}
	var all []Session
	for _, s := range b.order {
		if err := s.link(); err != nil {
			return nil, fmt.Errorf("%s: session %s: %w", b.name, s.Name, err)
		}
		all = append(all, s.Session)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s:%d: no call follows the header", b.name, b.last)
	}
	slices.SortStableFunc(all, func(s, t Session) int { return cmp.Compare(s.At, t.At) })
	return all, nil
}

// link sorts a session's calls and copies tools and fields from the calls that they continue.
func (s *recordedSession) link() error {
	calls := make([]Call, len(s.calls))
	for id := range calls {
		c := s.calls[id]
		if c == nil {
			return fmt.Errorf("it has %d calls, and none of them is %d; the file is cut off, or call "+
				"%d never ended", len(s.calls), id, id)
		}
		if c.From >= 0 {
			if !c.ownTools {
				c.Tools = calls[c.From].Tools
			}
			if !c.ownBody {
				c.Fields = calls[c.From].Fields
			}
		}
		calls[id] = c.Call
	}
	s.Calls = slices.Values(calls)
	return nil
}
