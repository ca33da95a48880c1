package server

import (
	"container/list"
	"sync"
)

// answers remembers the exact tokens of the answers given to each agent. A text can be encoded in more than one way,
// and what a model generates is often not what its tokenizer would make of the same text; when an agent sends an answer
// back as part of the conversation, these tokens stand in its place and its cache still fits, token for token.
//
// It is bounded: beyond limit tokens it forgets the answers that were used longest ago. What is forgotten so, or with the
// process, comes back from the agent's memory (see recall); an answer that is not in there either costs cached tokens and
// never correctness.
type answers struct {
	limit int

	mu     sync.Mutex
	tokens int
	recent *list.List // of *answer, the latest used in front
	known  map[answerKey]*list.Element
}

type answerKey struct{ agent, text string }

type answer struct {
	key    answerKey
	tokens []int32
}

func newAnswers(limit int) *answers {
	return &answers{limit: limit, recent: list.New(), known: make(map[answerKey]*list.Element)}
}

// keep remembers an answer; a later one with the same text replaces it. Nobody may change tokens afterwards.
func (a *answers) keep(agent, text string, tokens []int32) {
	if agent == "" || text == "" || len(tokens) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := answerKey{agent, text}
	if e, ok := a.known[key]; ok {
		a.drop(e)
	}
	a.known[key] = a.recent.PushFront(&answer{key, tokens})
	a.tokens += len(tokens)
	for a.tokens > a.limit {
		a.drop(a.recent.Back())
	}
}

func (a *answers) drop(e *list.Element) {
	v := a.recent.Remove(e).(*answer)
	delete(a.known, v.key)
	a.tokens -= len(v.tokens)
}

// find returns the tokens of those turns of a conversation that are answers the agent got here, nil for the others.
func (a *answers) find(agent string, turns []turn) [][]int32 {
	found := make([][]int32, len(turns))
	if agent == "" {
		return found
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, t := range turns {
		if t.role != "assistant" {
			continue
		}
		if e, ok := a.known[answerKey{agent, t.key}]; ok {
			a.recent.MoveToFront(e)
			found[i] = e.Value.(*answer).tokens
		}
	}
	return found
}
