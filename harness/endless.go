package harness

import (
	"sync"
	"unsafe"

	"loadstone/harness/ceiling"
	"loadstone/harness/client"
	"loadstone/harness/record"
)

// endless is what a cache without an end would have of the prompts that a server was sent. The
// cache is nil for a part of a load, since the server's cache has what other parts send as well;
// for all parts together hindsight computes the same.
type endless struct {
	mu    sync.Mutex
	cache *ceiling.Cache
}

// forget begins anew, as a server does that has forgotten everything.
func (e *endless) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cache != nil {
		e.cache = ceiling.New(e.cache.Block())
	}
}

// look takes a prompt that is sent now. It does so beside the request, of which no time is taken.
// What it returns takes the record of the answer, and returns the tokens of the prompt that an
// endless cache would have had.
func (e *endless) look(q *request) func(*record.Record) int {
	e.mu.Lock()
	cache := e.cache
	e.mu.Unlock()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		n, one := parts(&q.prompt)
		q.known = cache.Sent(n, one, q.from)
	}()
	return func(r *record.Record) int {
		<-looked
		return ceilingOf(q.known, r)
	}
}

// ceilingOf lets a cache have an answer, and returns the tokens of its prompt that it had.
func ceilingOf(known *ceiling.Prompt, r *record.Record) int {
	if r.Outcome != record.OK {
		return 0
	}
	said := client.Message{Role: "assistant", Content: r.Answer}
	return known.Answered(r.PromptTokens, r.OutputTokens, part(&said))
}

// parts returns the number of parts of a prompt, and each, in the order in which templates have
// them: the tools, which come before what differs from one conversation to the other, and the
// messages.
func parts(p *client.Prompt) (n int, one func(i int) ceiling.Part) {
	return len(p.Tools) + len(p.Messages), func(i int) ceiling.Part {
		if i < len(p.Tools) {
			return ceiling.Part{Role: "tools", Text: asText(p.Tools[i])}
		}
		return part(&p.Messages[i-len(p.Tools)])
	}
}

// part is a message. One that is as it was recorded has more to it than its text.
func part(m *client.Message) ceiling.Part {
	if m.Raw != nil && m.Role != "assistant" {
		return ceiling.Part{Role: m.Role, Text: asText(m.Raw)}
	}
	return ceiling.Part{Role: m.Role, Text: m.Content, Calls: asText(m.ToolCalls),
		CallID: m.ToolCallID}
}

// asText returns bytes that never change as a text. To copy a prompt for each look at it took a
// tenth of the client's time.
func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
