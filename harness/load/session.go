package load

import (
	"encoding/json"
	"iter"
	"time"
)

// A Session is one agent's work: a graph of calls, in which a call waits for others, then for a
// tool or a person, and goes on from a conversation.
//
//	call 0 --> call 1 (beside it) --+
//	      \--> call 2 (beside it) --+--> call 3 quotes the answers of 1 and 2
//	       \_________________________________/  and goes on from the conversation of 0
type Session struct {
	// Secret is a word of this agent's alone, put into its first question: an answer that has
	// another agent's secret in it proves a leak. "" leaves the question as it is.
	Secret string

	// SecretLast puts the secret at the end of the first question, whose beginning other sessions
	// share; otherwise it comes first, so that no two sessions share a prefix.
	SecretLast bool

	// Begin is what every conversation of the session begins with, such as a system prompt.
	Begin []Message

	// Calls are the session's calls; a call comes after all that it waits for. They may be endless.
	Calls iter.Seq[Call]

	// Linear says that a call goes on from the last call that is not an aside, and waits for
	// nothing that came before that one. The calls are then looked at one by one, and what is over
	// is forgotten. Otherwise all calls are looked at when the session begins.
	Linear bool
}

// A Call is one request of a session.
type Call struct {
	ID    int   // its number among the session's calls, from 0
	From  int   // the call whose conversation it goes on from; -1: it begins one
	After []int // further calls that must have ended
	// from the end of those it waits for until it is due: a tool or a person is busy
	Pause time.Duration
	Turn  int // 0-based turn of the agent

	// Aside is 0 for a call of the agent's own, and from 1 on numbers those asked beside each other
	// after a turn. Each is asked under a name of its own and leaves no trace in the conversation.
	Aside int

	Add    []Message // what it adds to the conversation
	Answer int       // max tokens of the answer

	// What is done to the request on purpose; 0 is nothing.
	Cancel   time.Duration // cancels it so long after it was sent
	Pieces   int           // cancels it when so many pieces of the answer have come
	ReadRate int           // bytes a second at which the answer is read
}

// A Message is one message that a call adds. Its content is the answers it quotes, then Text, then
// made-up words.
type Message struct {
	Role  string  // system, user, assistant or tool
	Text  string  // as written
	Words []Words // made up
	Quote []int   // calls whose answers it quotes; those that were not answered are left out

	ToolCalls  json.RawMessage // of an assistant: the calls it made, as OpenAI's API has them
	ToolCallID string          // of a tool: the call whose result this is
}

// Words are made-up words: equal seeds and lengths are equal words, whoever has them.
type Words struct {
	Seed   uint64
	Tokens int // roughly

	// Whole says that the tokens are the whole prompt's, what the chat template adds among them.
	Whole bool
}

// Session is what agent i does.
func (l *Load) Session(i int) Session {
	s := Session{Secret: Canary(Derive(l.Seeds.Text, "agent", i)), Begin: l.begin(i), Linear: true}
	switch {
	case l.Sessions != nil:
		recorded := l.Sessions[i%len(l.Sessions)]
		if recorded.Secret == "" {
			recorded.Secret = s.Secret
		}
		if recorded.Begin == nil {
			recorded.Begin = s.Begin
		}
		return recorded
	case l.Trace != nil:
		s.SecretLast = true
		s.Calls = func(yield func(Call) bool) { yield(l.tracedCall(i)) }
	default:
		s.Calls = l.turns(i)
	}
	return s
}

// begin is the system prompt that agent i has.
func (l *Load) begin(i int) []Message {
	n := l.System
	if l.SystemPrompts != nil {
		n = len(l.SystemPrompts)
	}
	if n == 0 {
		return nil
	}
	k := draw(l.Seeds.Order, "system", i).IntN(n)
	if l.SystemPrompts != nil {
		return []Message{{Role: "system", Text: l.SystemPrompts[k]}}
	}
	w := Words{Seed: Derive(l.Seeds.Text, "system", k), Tokens: l.SystemTokens}
	return []Message{{Role: "system", Words: []Words{w}}}
}
