package harness

import (
	"slices"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Conversation is one agent's, for those who write their own prompts: what it asked, what it was
// told. Its first message begins with a canary, a word of this agent's alone, so that no two
// conversations share a prefix beyond the chat template's own, and so that an answer with another
// agent's canary in it proves a leak.
type Conversation struct {
	Agent    string
	Canary   string
	messages []client.Message
	seed     uint64
}

// NewConversation makes the conversation of an agent, a function of the seed alone.
func NewConversation(agent string, seed uint64) *Conversation {
	return &Conversation{Agent: agent, Canary: load.Canary(seed), seed: seed}
}

// Ask is the conversation's next prompt: all that was said so far and a new question of so many
// words.
func (c *Conversation) Ask(words, maxTokens int) client.Prompt {
	text := load.Text(c.seed+uint64(len(c.messages)), words)
	if len(c.messages) == 0 {
		text = withSecret(c.Canary, text, false)
	}
	c.messages = append(c.messages, client.Message{Role: "user", Content: text})
	place := record.Place{Agent: c.Agent, Turn: len(c.messages) / 2}
	return client.Prompt{Place: place, Canary: c.Canary, Messages: slices.Clip(c.messages),
		MaxTokens: maxTokens}
}

// Told appends the answer to the last prompt, word for word, as a client does that keeps its
// history.
func (c *Conversation) Told(answer string) {
	c.messages = append(c.messages, client.Message{Role: "assistant", Content: answer})
}
