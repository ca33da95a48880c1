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
// A session that is drawn from seeds has made-up words. A recorded session has the recorded texts
// and results (see [Recorded]). Both are the same kind of graph and are carried out alike.
type Session struct {
	Name string // name of a recorded session in its file; "" for others

	// API is the API whose form Raw, Tools and Fields have: chat, completions, messages or
	// responses; "" is chat.
	API string

	At    time.Duration // arrival, since the start of the recording
	Count int           // number of calls; 0 if not known

	// Verbatim says that the texts are sent as recorded, without a secret.
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
	Calls iter.Seq[Call] `json:"-"`

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

	// Sub is 0 for a call of the session's own agent, and from 1 on numbers its sub-agents. Each
	// has a conversation and a name of its own.
	Sub int

	Add    []Message // what it adds to the conversation
	Answer int       // max tokens of the answer; 0 lets the server decide
	Exact  bool      // the answer is to have Answer tokens, no fewer

	Tools    []json.RawMessage // replace the load's; in the form of the session's API
	Fields   []Field           // fields of the recorded body, in its order; nil uses the client's
	Recorded *Recorded         // recorded result of the call; nil if it was not recorded

	// What is done to the request on purpose; 0 is nothing.
	Cancel   time.Duration // cancels it so long after it was sent
	Pieces   int           // cancels it when so many pieces of the answer have come
	ReadRate int           // bytes a second at which the answer is read
}

// Recorded is the recorded result of a call. Counts that are not known are -1.
type Recorded struct {
	Text      string          // text of the answer
	Thought   string          // reasoning before it
	ToolCalls json.RawMessage // in the form of OpenAI's chat API
	Finish    string          // finish_reason
	Failure   string          // why the answer is incomplete; "" if it is complete

	Prompt, Cached    int // tokens, as the recorded server counted them
	Output, Reasoning int // tokens; Output includes Reasoning

	First time.Duration // from sending to the first token; 0 if not known
	Took  time.Duration // from sending to the end; 0 if not known
}

// A Message is one message that a call adds. Its content is the answers it quotes, then Text, then
// made-up words.
type Message struct {
	// Reply says that the message is the answer to the call that is continued, as the recorded
	// agent sent it back. If the load uses the server's own answers, theirs replaces its text. Its
	// tool calls stay, since the tool results that follow belong to them.
	Reply bool

	Role  string  // system, user, assistant or tool
	Text  string  // as written
	Words []Words // made up
	// Quote lists calls whose answers the message quotes; calls without an answer are left out. A
	// message with Raw quotes them only if the load uses the server's own answers.
	Quote []int

	ToolCalls  json.RawMessage // of an assistant: its calls, in the form of OpenAI's chat API
	ToolCallID string          // of a tool: ID of the call whose result this is
	Name       string          // name of the speaker or the tool; "" is not sent

	// Raw is the message byte for byte, in the form of the session's API: a message of chat or of
	// messages, an item of responses' input, or Anthropic's system field, with the role system. A
	// client of that API sends it unchanged. If it is nil, the other fields make up the message.
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
