package generate

import (
	"container/list"
	"sync"
)

// answers remembers the exact tokens of the answers that were given to each agent. A text can be
// encoded in more than one way, and what a model generates is often not what its tokenizer would
// make of the same text. When an agent sends an answer back as a part of the conversation, these
// tokens stand in its place and the agent's cache still fits, token for token.
//
// The memory is bounded: beyond limit tokens, the answers that were used longest ago are forgotten.
// An answer that was forgotten so, or with the process, comes back from the agent's memory (see
// recall). An answer that is not there either costs cached tokens but never correctness.
type answers struct {
	limit int

	mu     sync.Mutex
	tokens int
	recent *list.List // of *remembered, the one used last in front
	known  map[answerKey]*list.Element
}

type answerKey struct {
	asker
	text string
}

// An asker names the agent to which an answer was given. The answers of one agent have no effect
// on the prompts of another.
type asker struct{ principal, salt, agent string }

func (p *Params) asker() asker { return asker{p.Principal, p.Salt, p.Agent} }

// answerTokens are the exact tokens of an answer.
type answerTokens struct {
	whole []int32 // with the reasoning, and with what the prompt had of it; nil: not known
	text  []int32 // without it; nil: not known. The same as whole where it has no text
}

// in returns the tokens that stand for the answer: its whole within the turn of the question that
// is being answered.
func (a answerTokens) in(turn bool) []int32 {
	if turn {
		return a.whole
	}
	return a.text
}

func (a answerTokens) len() int { return max(len(a.whole), len(a.text)) }

type remembered struct {
	key    answerKey
	tokens answerTokens
}

func newAnswers(limit int) *answers {
	return &answers{limit: limit, recent: list.New(), known: make(map[answerKey]*list.Element)}
}

// keep remembers an answer; a later answer with the same text replaces it. tokens must not be
// changed afterwards.
func (a *answers) keep(who asker, text string, tokens answerTokens) {
	if who.agent == "" || text == "" || tokens.len() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := answerKey{who, text}
	if e, ok := a.known[key]; ok {
		a.drop(e)
	}
	a.known[key] = a.recent.PushFront(&remembered{key, tokens})
	a.tokens += tokens.len()
	for a.tokens > a.limit {
		a.drop(a.recent.Back())
	}
}

func (a *answers) drop(e *list.Element) {
	v := a.recent.Remove(e).(*remembered)
	delete(a.known, v.key)
	a.tokens -= v.tokens.len()
}

// find returns, for each message that is an answer the agent got here, its tokens, and nil for the
// others.
func (a *answers) find(who asker, messages []Message) []answerTokens {
	found := make([]answerTokens, len(messages))
	if who.agent == "" {
		return found
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range messages {
		if m.Role != RoleAssistant {
			continue
		}
		if e, ok := a.known[answerKey{who, m.key}]; ok {
			a.recent.MoveToFront(e)
			found[i] = e.Value.(*remembered).tokens
		}
	}
	return found
}
