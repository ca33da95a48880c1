package harness

import (
	"unsafe"

	"sync"

	"loadstone/harness/ceiling"
	"loadstone/harness/client"
	"loadstone/harness/record"
)

// endless is what a cache without an end would have of the prompts that a server was sent.
type endless struct {
	mu    sync.Mutex
	cache *ceiling.Cache
}

// forget begins anew, as a server does that has forgotten everything.
func (e *endless) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cache = ceiling.New(e.cache.Block())
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
		q.known = cache.Sent(parts(&q.prompt), q.from)
	}()
	return func(r *record.Record) int {
		<-looked
		if r.Outcome != record.OK {
			return 0
		}
		said := client.Message{Role: "assistant", Content: r.Answer}
		return q.known.Answered(r.PromptTokens, r.OutputTokens, part(&said))
	}
}

// parts are all that a server makes a prompt of, in the order in which templates have it: the tools,
// which come before what differs from one conversation to the other, and the messages.
func parts(p *client.Prompt) []ceiling.Part {
	all := make([]ceiling.Part, 0, len(p.Messages)+len(p.Tools))
	for _, tool := range p.Tools {
		all = append(all, ceiling.Part{Role: "tools", Text: string(tool)})
	}
	for i := range p.Messages {
		all = append(all, part(&p.Messages[i]))
	}
	return all
}

// part is a message. One that is as it was recorded has more to it than its text.
func part(m *client.Message) ceiling.Part {
	switch {
	case m.Raw != nil && m.Role != "assistant":
		// The bytes never change, and to copy a prompt for each look at it took a tenth of the client's time.
		return ceiling.Part{Role: m.Role, Text: unsafe.String(unsafe.SliceData(m.Raw), len(m.Raw))}
	case m.ToolCalls != nil || m.ToolCallID != "":
		return ceiling.Part{Role: m.Role, Text: m.Content + "\x00" + string(m.ToolCalls) + "\x00" + m.ToolCallID}
	}
	return ceiling.Part{Role: m.Role, Text: m.Content}
}
