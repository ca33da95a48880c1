package record

import (
	"testing"

	"gotest.tools/v3/assert"
)

// A request's trace is its job's, its span its own; what becomes of the record later changes
// neither.
func TestTrace(t *testing.T) {
	p := Place{Scenario: "chat", Run: 1, Agent: "chat-3-abc", Turn: 2}
	assert.Equal(t, p.Traceparent(true), p.Traceparent(false)[:53]+"01")
	same := p
	same.Warmup, same.Ends, same.Call.Fitted = true, true, "cut"
	assert.Equal(t, same.Trace(), p.Trace())
	ids := map[[8]byte]bool{p.Trace().Span: true, p.Trace().Job: true}
	for _, other := range []Place{
		{Scenario: "chat", Run: 1, Agent: "chat-3-abc", Turn: 1}, {Scenario: "chat", Run: 1, Agent: "chat-3-abc:2:1", Turn: 2},
		{Scenario: "chat", Run: 1, Agent: "chat-3-abc", Turn: 2, Rep: 1}, {Scenario: "chat", Run: 1, Agent: "chat-3-abc", Turn: 2, Call: Call{ID: 4}},
	} {
		assert.Equal(t, other.Trace().ID, p.Trace().ID)
		assert.Assert(t, !ids[other.Trace().Span])
		ids[other.Trace().Span] = true
	}
	for _, other := range []Place{{Scenario: "chat", Run: 2, Agent: "chat-3-abc", Turn: 2}, {Scenario: "chat", Run: 1, Agent: "chat-4-abc", Turn: 2}} {
		assert.Assert(t, other.Trace().ID != p.Trace().ID)
	}
}
