package load

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// A copilotSession is a session without texts, a line of the traces of GitHub Copilot's coding
// agent that Azure publishes (2026, CC-BY).
type copilotSession struct {
	ID    string `json:"session_id"`
	Turns []struct {
		Calls []copilotCall `json:"llm_calls"`
	} `json:"turns"`
}

type copilotCall struct {
	At        string  `json:"timestamp"`
	Took      float64 `json:"duration_ms"`
	Initiator string  `json:"initiator_type"` // user or agent
	Result    string  `json:"result"`
	Tokens    struct {
		Prompt     int `json:"prompt"`
		Completion int `json:"completion"`
		Cached     int `json:"cached"`
	} `json:"tokens"`
	Messages []copilotMessage `json:"message_metadata"`

	turn int
	span
}

// A copilotMessage is a message of a prompt. Equal messages at the same place of two prompts are
// taken to be the same message.
type copilotMessage struct {
	Type   string `json:"type"`
	Role   string `json:"role"`
	Tokens int    `json:"token_len"`
	Place  int    `json:"sequenceId"` // in the prompt; 0 once the messages are sorted
}

// readCopilot reads JSON Lines, one session per line. Prompts of a session share their equal
// leading messages. Tokens of a prompt that belong to no message, such as those of tools, become
// the first message of a conversation. A call waits for all calls that had ended when it was sent;
// its pause is the time in between, in which tools ran.
//
// It follows the published schema; no shard of the release, 120 MB or more, was at hand to try.
func readCopilot(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	source := Source{Timed: true}
	sessions := newValueReader(name, r)
	for {
		var s copilotSession
		err := sessions.next(&s)
		if err == io.EOF {
			break
		}
		if err != nil {
			return source, err
		}
		calls, err := s.calls(&source.Skipped)
		if err != nil {
			return source, sessions.errorf("session %s: %w", s.ID, err)
		}
		if len(calls) > 0 {
			c := copilotReader{scope: Derive(0, "copilot "+s.ID)}
			c.read(calls)
			source.Sessions = append(source.Sessions, Session{Name: s.ID, At: calls[0].start,
				SecretLast: true, Calls: slices.Values(c.calls)})
		}
	}
	if len(source.Sessions) == 0 {
		return source, fmt.Errorf("%s: no call in it has an answer", name)
	}
	alignArrivals(source.Sessions)
	return source, nil
}

// calls returns the session's calls that have an answer, sorted by start. It adds the number of
// others to skipped.
func (s *copilotSession) calls(skipped *int) ([]copilotCall, error) {
	var all []copilotCall
	for i, turn := range s.Turns {
		for _, c := range turn.Calls {
			if c.Tokens.Completion <= 0 || c.Tokens.Prompt <= 0 {
				*skipped++
				continue
			}
			at, err := timeOf(c.At)
			if err != nil {
				return nil, err
			}
			if c.Tokens.Prompt > maxTrace || c.Tokens.Completion > maxTrace || !(c.Took >= 0) {
				return nil, fmt.Errorf("a prompt of %d and an answer of %d tokens in %g ms: want 0 to %d",
					c.Tokens.Prompt, c.Tokens.Completion, c.Took, maxTrace)
			}
			c.turn, c.span = i, span{at, at + fromMillis(c.Took)}
			sortMessages(c.Messages)
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b copilotCall) int { return cmp.Compare(a.start, b.start) })
	return all, nil
}

// sortMessages sorts the messages of a prompt by their places.
func sortMessages(all []copilotMessage) {
	slices.SortStableFunc(all, func(a, b copilotMessage) int { return cmp.Compare(a.Place, b.Place) })
	for i := range all {
		all[i].Place = 0
	}
}

// A copilotReader makes the calls of a session.
type copilotReader struct {
	scope         uint64
	calls         []Call
	conversations []copilotConversation
	minted        int
}

// A copilotConversation is a conversation of a session: its last call, and the number of messages
// before those in the metadata.
type copilotConversation struct{ last, extra int }

func (r *copilotReader) read(all []copilotCall) {
	spans := make([]span, len(all))
	for i, c := range all {
		spans[i] = c.span
	}
	for i := range all {
		c := &all[i]
		waits := before(spans, i)
		call := Call{ID: i, From: -1, After: waits, Turn: c.turn,
			Person: c.Initiator == "user" && i > 0,
			Pause:  pause(spans, i, waits), Answer: c.Tokens.Completion}
		call.Recorded = &Recorded{Finish: c.Result, Prompt: c.Tokens.Prompt,
			Cached: c.Tokens.Cached, Output: c.Tokens.Completion, Reasoning: -1,
			Took: c.end - c.start}
		if at, kept := r.conversation(all, c); at >= 0 {
			of := &r.conversations[at]
			call.Sub = r.calls[of.last].Sub
			call.goOn(of.last, len(all[of.last].Messages)+of.extra, kept+of.extra,
				r.messages(c.Messages[kept:]))
			call.After = without(waits, of.last)
			of.last = i
		} else {
			r.begin(&call, c)
		}
		r.calls = append(r.calls, call)
	}
}

// conversation returns the index of the conversation that a call continues, the one with the most
// common messages, and their number. at is -1 if there is none.
func (r *copilotReader) conversation(all []copilotCall, c *copilotCall) (at, kept int) {
	at = -1
	for i, of := range r.conversations {
		n := sameMessages(all[of.last].Messages, c.Messages)
		if n > kept && all[of.last].end <= c.start {
			at, kept = i, n
		}
	}
	return at, kept
}

// begin makes a call begin a conversation.
func (r *copilotReader) begin(call *Call, c *copilotCall) {
	of := copilotConversation{last: call.ID}
	call.Sub = len(r.conversations)
	if rest := c.rest(); rest > 0 {
		of.extra = 1
		call.Add = r.messages([]copilotMessage{{Role: "system", Tokens: rest}})
	}
	call.Add = append(call.Add, r.messages(c.Messages)...)
	r.conversations = append(r.conversations, of)
}

// rest returns the number of tokens of a prompt that belong to no message.
func (c *copilotCall) rest() int {
	n := c.Tokens.Prompt
	for _, m := range c.Messages {
		n -= m.Tokens
	}
	return n
}

// sameMessages returns the number of equal leading messages of two prompts.
func sameMessages(a, b []copilotMessage) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// messages returns made-up messages of the same roles and lengths, with new words.
func (r *copilotReader) messages(all []copilotMessage) []Message {
	var made []Message
	for _, m := range all {
		r.minted++
		w := Words{Seed: Derive(r.scope, "message", r.minted), Tokens: max(1, m.Tokens)}
		role := cmp.Or(m.Role, "user")
		if role != "system" && role != "assistant" { // a tool's result would need its call
			role = "user"
		}
		made = append(made, Message{Role: role, Words: []Words{w}})
	}
	return made
}
