package harness

import (
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Conversation is one agent's: what it asked, what it was told. Its first message begins with a canary, a word of this
// agent's alone, so that no two conversations share a prefix beyond the chat template's own, and so that an answer with
// another agent's canary in it proves a leak.
type Conversation struct {
	Agent    string
	Canary   string
	messages []client.Message
	system   int // messages that the conversation began with before anything was asked, 0 or 1
	seed     uint64
}

// NewConversation makes the conversation of an agent, a function of the seed alone.
func NewConversation(agent string, seed uint64) *Conversation {
	return &Conversation{Agent: agent, Canary: load.Canary(seed), seed: seed}
}

// share gives a conversation in which nothing was asked yet a system prompt. Agents may share it: their canaries come after it.
func (c *Conversation) share(text string) {
	c.messages, c.system = []client.Message{{Role: "system", Content: text}}, 1
}

// Ask is the conversation's next prompt: all that was said so far and a new message of n words.
func (c *Conversation) Ask(n, maxTokens int) client.Prompt {
	return c.say(load.Text(c.seed+uint64(len(c.messages)), n), maxTokens)
}

// say is the conversation's next prompt: all that was said so far and a new message.
func (c *Conversation) say(text string, maxTokens int) client.Prompt {
	if len(c.messages) == c.system {
		text = c.Canary + " is my secret. " + text
	}
	c.messages = append(c.messages, client.Message{Role: "user", Content: text})
	return client.Prompt{Place: record.Place{Agent: c.Agent}, Canary: c.Canary, Messages: c.messages[:len(c.messages):len(c.messages)], MaxTokens: maxTokens}
}

// aside is a prompt that goes on from what was said so far and leaves no trace in the conversation. It is asked under a name
// of its own, so that several can be asked at once.
func (c *Conversation) aside(agent, text string, maxTokens int) client.Prompt {
	messages := append(c.messages[:len(c.messages):len(c.messages)], client.Message{Role: "user", Content: text})
	return client.Prompt{Place: record.Place{Agent: agent}, Canary: c.Canary, Messages: messages, MaxTokens: maxTokens}
}

// Told appends the answer to the last prompt, word for word, as a client does that keeps its history.
func (c *Conversation) Told(answer string) {
	c.messages = append(c.messages, client.Message{Role: "assistant", Content: answer})
}

// takeBack forgets the last prompt, which was not answered.
func (c *Conversation) takeBack() { c.messages = c.messages[:len(c.messages)-1] }

// turn is the 0-based turn of the last prompt.
func (c *Conversation) turn() int { return (len(c.messages) - c.system - 1) / 2 }
