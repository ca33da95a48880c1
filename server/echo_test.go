package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/wire"
)

// The tokens of the tests' language. Every byte has two tokens: one that the text is encoded to,
// and one that the model generates. So an answer that is encoded again differs from the tokens that
// were generated, as with real tokenizers.
const (
	begin     = 256 // begins a message; the first letter of its role follows
	end       = 257 // ends a message and an answer
	generated = 300 // generated+b stands for the byte b
	pieces    = 600 // pieces+i stands for byteText.pieces[i]
	vocab     = 1000
)

// keysOf returns keys whose principals are called like them.
func keysOf(secrets ...string) (keys []Key) {
	for _, s := range secrets {
		keys = append(keys, Key{Principal: "of-" + s, Secret: s})
	}
	return keys
}

type byteText struct {
	pieces   [][]byte
	template string
}

func (t byteText) EncodeChat(
	roles, contents []string, answers [][]int32, variables map[string]any, limit int,
) ([]int32, error) {
	var ids []int32
	for i, text := range contents {
		if text == "refuse me" {
			return nil, errors.New("this template refuses the message")
		}
		ids = append(ids, begin, int32(roles[i][0]))
		if answers != nil && answers[i] != nil {
			ids = append(ids, answers[i]...)
		} else {
			for _, b := range []byte(text) {
				ids = append(ids, int32(b))
			}
		}
		ids = append(ids, end)
	}
	if limit > 0 && len(ids) > limit {
		return ids[:limit+1], nil
	}
	ids = append(ids, begin, 'a')
	opener := ""
	switch {
	case variables["enable_thinking"] == false && t.template == switchTemplate:
		opener = "<think>\n\n</think>\n\n"
	case t.template == openTemplate:
		opener = "<think>\n"
	}
	for _, b := range []byte(opener) {
		ids = append(ids, int32(b))
	}
	return ids, nil
}

// Templates of models that think aloud: one lets the model begin and has a switch, as Qwen3's does,
// and one begins the reasoning in the prompt, as that of DeepSeek R1 does. byteText renders them.
const (
	switchTemplate = "<think> if enable_thinking"
	openTemplate   = "assistant<think>\n"
)

func (t byteText) ChatTemplate() string { return t.template }

func (byteText) Encode(s string, special bool, limit int) []int32 {
	if limit > 0 {
		s = s[:min(len(s), limit+1)]
	}
	if s == "" {
		return nil
	}
	var ids []int32
	if !special {
		for _, b := range []byte(s) {
			ids = append(ids, int32(b))
		}
		return ids
	}
	ids = []int32{begin, 'u'}
	for _, b := range []byte(s) {
		ids = append(ids, int32(b))
	}
	return append(ids, end, begin, 'a')
}

func (t byteText) AppendToken(dst []byte, id int32) []byte {
	switch {
	case id < 256:
		return append(dst, byte(id))
	case int(id) >= pieces+len(t.pieces):
		return dst
	case id >= pieces:
		return append(dst, t.pieces[id-pieces]...)
	case id >= generated:
		return append(dst, byte(id-generated))
	default:
		return dst
	}
}

func (t byteText) AppendText(dst []byte, id int32) []byte {
	switch id {
	case begin:
		return append(dst, "<begin>"...)
	case end:
		return append(dst, "<end>"...)
	}
	return t.AppendToken(dst, id)
}

func (byteText) StopTokens() []int32 { return []int32{end} }

// echoModel answers a conversation with its last user message. It reads the conversation back from
// its KV blocks, so that an answer from the wrong cache is a wrong answer.
type echoModel struct {
	script []int32       // the answer in place of the echo, if not nil
	after  []int32       // that to what a tool has returned, if not nil
	large  bool          // it has a context of 262144 tokens, else of 4096
	delay  time.Duration // of a step
	gate   chan struct{} // if not nil, every step takes one value from it
	broken error         // with this error steps fail, if it is not nil,
	from   int32         // once a sequence has this length

	blockTokens int32
	kv          [][]int32
}

func (m *echoModel) Vocab() int { return vocab }
func (m *echoModel) Context() int {
	if m.large {
		return 1 << 18
	}
	return 4096
}
func (m *echoModel) Window() int                           { return 0 }
func (m *echoModel) KVBytesPerToken() (global, window int) { return 4, 0 }
func (m *echoModel) Close() error                          { return nil }

func (m *echoModel) AllocKV(blocks, windowSlots, blockTokens int) error {
	m.blockTokens = int32(blockTokens)
	for range blocks {
		m.kv = append(m.kv, make([]int32, blockTokens))
	}
	return nil
}

func (m *echoModel) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	if m.gate != nil {
		<-m.gate
	}
	if m.delay > 0 {
		time.Sleep(m.delay)
	}
	if m.broken != nil && starts[0] >= m.from {
		return m.broken
	}
	clear(logits)
	var index int32
	for i, n := range lens {
		total := starts[i] + n
		table := tables[:(total+m.blockTokens-1)/m.blockTokens]
		tables = tables[len(table):]
		for j := range n {
			p := starts[i] + j
			m.kv[table[p/m.blockTokens]][p%m.blockTokens] = tokens[index]
			if len(rows) > 0 && rows[0] == index {
				logits[m.next(table, p+1)] = 1e6
				rows, logits = rows[1:], logits[vocab:]
			}
			if len(picks) > 0 && picks[0] == index {
				best[0] = m.next(table, p+1)
				picks, best = picks[1:], best[1:]
			}
			index++
		}
	}
	return nil
}

func (m *echoModel) next(table []int32, n int32) int32 {
	at := func(p int32) int32 { return m.kv[table[p/m.blockTokens]][p%m.blockTokens] }
	answer := n
	for answer -= 2; at(answer) != begin; answer-- {
	}
	k := n - answer - 2
	if m.after != nil && m.returned(at, answer) {
		if int(k) >= len(m.after) {
			return end
		}
		return m.after[k]
	}
	if m.script != nil {
		if int(k) >= len(m.script) {
			return end // or the token that a mask allows in its place
		}
		return m.script[k]
	}
	user := answer - 1
	for ; at(user) != begin || at(user+1) != 'u'; user-- {
	}
	id := at(user + 2 + k)
	if id < 256 {
		id += generated
	}
	return id
}

// returned reports whether the message before an answer has what a tool returned.
func (m *echoModel) returned(at func(p int32) int32, answer int32) bool {
	var message []byte
	for p := answer - 1; p >= 0 && at(p) != begin; p-- {
		message = append(message, byte(at(p)))
	}
	slices.Reverse(message)
	return bytes.Contains(message, []byte("<tool_response>"))
}

func (m *echoModel) CopyKV(dst, src, dstSlot, srcSlot, tokens int) error {
	copy(m.kv[dst][:tokens], m.kv[src][:tokens])
	return nil
}
func (m *echoModel) ReadKV(block, windowSlot, tokens int, dst []byte) error {
	_, err := binary.Encode(dst, binary.LittleEndian, m.kv[block][:tokens])
	return err
}

func (m *echoModel) WriteKV(block, windowSlot, tokens int, src []byte) error {
	_, err := binary.Decode(src, binary.LittleEndian, m.kv[block][:tokens])
	return err
}

// start returns a server that is ready. Its engine is closed at the end of the test.
func start(t testing.TB, cfg Config, ec engine.Config, text Text) (*Server, *engine.Engine) {
	t.Helper()
	if ec.KVBytes == 0 {
		ec.KVBytes = 4 * 32 * 128 // room for one full context of the echo model
	}
	// How many of the tokens of one step go out together depends on the order of goroutines, and a
	// transcript must not. Answers with drafts are package engine's to test.
	ec.NoDrafts = true
	e, err := engine.New(ec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s := newTestServer(cfg)
	s.Ready(e, text)
	return s, e
}

func newTestServer(cfg Config) *Server {
	cfg.Model = "echo"
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return New(cfg)
}

// A memListener is a network inside the test. A connection is a net.Pipe, on which synctest's time
// goes on, while it would stand still for a real socket.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
}

// listen serves h in memory until the test ends.
func listen(t testing.TB, h http.Handler) *memListener {
	l := &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
	hs := &http.Server{Handler: h,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go hs.Serve(l)
	t.Cleanup(func() { hs.Close() })
	return l
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *memListener) dial(t testing.TB) net.Conn {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
	case <-l.done:
		t.Fatal("dial: the listener is closed")
	}
	return client
}

// exchange sends one request, byte for byte, and returns everything that comes back until the
// server closes the connection.
func (l *memListener) exchange(t testing.TB, request string) string {
	t.Helper()
	c := l.dial(t)
	defer c.Close()
	go io.WriteString(c, request) // the server may answer and close before it has read all
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("reading the response: %v after %q", err, b)
	}
	return string(b)
}

// post returns a chat request as bytes.
func post(body string, headers ...string) string {
	return postTo("/v1/chat/completions", body, headers...)
}

func postTo(path, body string, headers ...string) string {
	r := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for _, h := range headers {
		r += h + "\r\n"
	}
	return r + fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body)
}

func get(path string, headers ...string) string {
	r := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for _, h := range headers {
		r += h + "\r\n"
	}
	return r + "\r\n"
}

// say returns the body of a chat with one user message.
func say(text string, more ...string) string {
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":%s}]`, wire.AppendString(nil, text))
	for _, m := range append(unless(more, `"temperature":0`), more...) {
		body += "," + m
	}
	return body + "}"
}

// unless returns the defaults whose fields are not among more.
func unless(more []string, defaults ...string) (rest []string) {
	all := strings.Join(more, ",")
	for _, d := range defaults {
		if name, _, _ := strings.Cut(d, ":"); !strings.Contains(all, name+":") {
			rest = append(rest, d)
		}
	}
	return rest
}
