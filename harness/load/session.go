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
//
// A session that is drawn from seeds makes up its words; one that was recorded says what was said,
// and what came of it (see [Recorded]). Both are the same graph, and are carried out alike.
type Session struct {
	Name string // of a recorded session, in its file; "" of others

	// API is the one in whose form Raw, Tools and Fields are: chat, completions, messages or responses;
	// "" is chat.
	API string

	At    time.Duration // when it came, after the beginning of what was recorded
	Count int           // its calls; 0 unknown

	// Verbatim says that no secret is put into the session's texts: they are sent as recorded.
	Verbatim bool

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

	// Keep is how many messages of From's prompt are kept, from the first on: a history that was
	// compacted begins with what is kept of it. 0 keeps them all, with the answer after them.
	Keep int

	// Pause is the time from the end of those it waits for until it is due: tools are busy, or,
	// where Person says so, a person thinks.
	Pause  time.Duration
	Person bool
	Turn   int // 0-based turn of the agent

	// Aside is 0 for a call of the agent's own, and from 1 on numbers those asked beside each other
	// after a turn. Each is asked under a name of its own and leaves no trace in the conversation.
	Aside int

	// Sub is 0 for a call of the session's own agent, and from 1 on numbers its sub-agents. Each has
	// a conversation and a name of its own.
	Sub int

	Add    []Message // what it adds to the conversation
	Answer int       // max tokens of the answer; 0 lets the server decide
	Exact  bool      // the answer is to have Answer tokens, no fewer

	Tools  []json.RawMessage // in place of the load's, in the form of the session's API
	Fields []Field           // of the body as it was recorded, in its order; nil: the client's own
	Was    *Recorded         // what came of the call when it was recorded; nil: it was not

	// What is done to the request on purpose; 0 is nothing.
	Cancel   time.Duration // cancels it so long after it was sent
	Pieces   int           // cancels it when so many pieces of the answer have come
	ReadRate int           // bytes a second at which the answer is read
}

// Recorded is what came of a call when it was recorded. Counts that are not known are -1.
type Recorded struct {
	Text      string          // of the answer
	Thought   string          // the reasoning before it
	ToolCalls json.RawMessage // as OpenAI's API has them
	Finish    string          // the finish_reason
	Failure   string          // why there is no whole answer; "": there is one

	Prompt, Cached    int // tokens, as the source's server counted them
	Output, Reasoning int // Reasoning is a part of Output

	First time.Duration // from sent to the first token; 0 unknown
	Took  time.Duration // from sent to the end; 0 unknown
}

// A Message is one message that a call adds. Its content is the answers it quotes, then Text, then
// made-up words.
type Message struct {
	// Reply says that the message is the answer of the call that is gone on from, as the recorded
	// agent sent it back. Where a load's answers are the server's own, its text is theirs; the tool
	// calls stay, for the results that follow are of those.
	Reply bool

	Role  string  // system, user, assistant or tool
	Text  string  // as written
	Words []Words // made up
	// calls whose answers it quotes; those that were not answered are left out. A message with Raw
	// quotes them only where answers are served.
	Quote []int

	ToolCalls  json.RawMessage // of an assistant: the calls it made, as OpenAI's API has them
	ToolCallID string          // of a tool: the call whose result this is
	Name       string          // of who speaks, or of the tool; "" is not sent

	// Raw is the message byte for byte, in the form of the session's API: a message of chat or of
	// messages, an item of responses' input, or, of the role system, Anthropic's system. A client of
	// that API sends it as it is. nil: there is nothing beside the other fields.
	Raw json.RawMessage
}

// Words are made-up words: equal seeds and lengths are equal words, in any conversation.
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
		recorded := l.replayed(i)
		if recorded.Secret == "" && !recorded.Verbatim {
			recorded.Secret = s.Secret
		}
		if recorded.Begin == nil {
			recorded.Begin = s.Begin
		}
		return recorded
	case l.Trace != nil:
		s.SecretLast = true
		s.Calls = func(yield func(Call) bool) { yield(l.tracedCall(i)) }
	case l.works():
		s.Calls, s.Linear = l.work(i), false
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
