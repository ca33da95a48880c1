package harness

import (
	"context"
	"fmt"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A fitter makes prompts fit into the server's context. How many tokens a text has it learns from
// what the server counts.
type fitter struct {
	rule    load.Overflow
	context int     // tokens
	perByte float64 // tokens per byte
}

// newFitter returns a fitter for a server whose tokens per made-up word are known.
func newFitter(r load.Replay, s promptSize) fitter {
	const words = 1000
	return fitter{r.Overflow, r.Context, s.perWord * words / float64(len(load.Text(sizing, words)))}
}

// learn updates the tokens per byte from a prompt's count.
func (f *fitter) learn(p *client.Prompt, r *record.Record) {
	if n := size(p.Messages) + toolsSize(p); r.PromptTokens > 0 && n > 0 {
		f.perByte = float64(r.PromptTokens) / float64(n)
	}
}

// fits reports whether a prompt and its answer fit. room is the maximum size of its messages in
// bytes. 2 % of the context stay free, since the number of tokens is an estimate.
func (f *fitter) fits(p *client.Prompt) (room int, fits bool) {
	if f.context == 0 || f.rule == "" || f.rule == load.Send {
		return 0, true
	}
	tokens := float64(f.context)*0.98 - float64(p.MaxTokens)
	room = max(0, int(tokens/f.perByte)-toolsSize(p))
	return room, size(p.Messages) <= room
}

// fit shortens a prompt that does not fit by the rule Cut or Compact and notes the rule in its
// Call. dropped is the number of messages that were left out of the conversation before; fit
// updates it.
func (f *fitter) fit(p *client.Prompt, seed uint64, dropped *int) {
	room, fits := f.fits(p)
	if fits && *dropped == 0 {
		return
	}
	head := headOf(p.Messages)
	k := min(*dropped, max(0, len(p.Messages)-head-1))
	shorter := f.without(p.Messages, head, k, seed)
	if size(shorter) > room {
		// To three quarters, or the next call would be cut at another place, and its cache lost.
		for k < len(p.Messages)-head-1 &&
			(size(shorter) > room*3/4 || p.Messages[head+k].Role == "tool") {
			k++
			shorter = f.without(p.Messages, head, k, seed)
		}
	}
	*dropped = k
	p.Messages = shortened(shorter, room)
	p.Call.Fitted = string(f.rule)
}

// headOf returns the number of messages that stay at the beginning of a conversation that is cut:
// the system messages and the first question.
func headOf(messages []client.Message) int {
	n := 0
	for n < len(messages)-1 && messages[n].Role == "system" {
		n++
	}
	return min(n+1, len(messages)-1)
}

// without returns a conversation without k messages after the head. With the rule Compact a summary
// replaces them.
func (f *fitter) without(messages []client.Message, head, k int, seed uint64) []client.Message {
	if k == 0 {
		return messages
	}
	kept := append([]client.Message(nil), messages[:head]...)
	if f.rule == load.Compact {
		n := size(messages[head : head+k])
		text := load.Text(seed+uint64(k), max(1, n/60)) // a tenth, in words of 6 bytes
		kept = append(kept, client.Message{Role: "user", Content: "Summary of what was said. " + text})
	}
	return append(kept, messages[head+k:]...)
}

// shortened cuts the longest texts of a conversation until its size is room bytes.
func shortened(messages []client.Message, room int) []client.Message {
	over := size(messages) - room
	if over <= 0 {
		return messages
	}
	messages = append([]client.Message(nil), messages...)
	for over > 0 {
		longest := 0
		for i := range messages {
			if len(messages[i].Content) > len(messages[longest].Content) {
				longest = i
			}
		}
		m := &messages[longest]
		n := len(m.Content)
		if n <= 1 {
			break
		}
		m.Content, m.Source, m.Raw, m.Wire = load.Prefix(m.Content, max(1, n-over)), "", nil, nil
		over -= n - len(m.Content)
	}
	return messages
}

// size returns the number of bytes of a conversation that become tokens, with 16 per message for
// the chat template.
func size(messages []client.Message) int {
	n := 0
	for i := range messages {
		n += len(messages[i].Content) + len(messages[i].ToolCalls) + 16
	}
	return n
}

func toolsSize(p *client.Prompt) int {
	n := 0
	for _, t := range p.Tools {
		n += len(t)
	}
	return n
}

// A NoContextError says that a load has a rule for calls that exceed the server's context, but that
// neither the load nor the server gives its size.
type NoContextError struct{ Load string }

func (e *NoContextError) Error() string {
	return fmt.Sprintf("load %s: it has a rule for calls that exceed the server's context, but the "+
		"server does not publish its context; the load must set it", e.Load)
}

// replayOn completes a load of recorded sessions for this server: it sets the context from the
// server and finds out whether the server accepts exact lengths.
func (s *server) replayOn(ctx context.Context, l load.Load) (load.Load, error) {
	if l.Sessions == nil {
		return l, nil
	}
	r := &l.Replay
	if r.Overflow != "" && r.Overflow != load.Send && r.Context == 0 {
		n, err := s.client.Context(ctx)
		if err != nil {
			return l, err
		}
		if r.Context = n; n == 0 {
			return l, &NoContextError{l.Name}
		}
	}
	if !l.Exact() || s.exact != nil {
		return l, nil
	}
	agent := fmt.Sprintf("exact-%x", s.epoch.UnixMilli())
	p := NewConversation(agent, load.Derive(sizing, "exact")).Ask(20, 3)
	p.Warmup, p.ExactTokens = true, true
	answer := s.client.Ask(ctx, s.client.Since(), p)
	exact := answer.Outcome == record.OK
	s.exact = &exact
	s.first = append(s.first, answer)
	return l, ctx.Err()
}
