package harness

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
)

//go:embed words.txt
var wordList string

var words = strings.Fields(wordList)

// Text is n English words in sentences, a function of the seed. It means nothing, which is the point: a prompt that a
// model knows by heart, or that two agents happen to share, would measure something else.
func Text(seed uint64, n int) string {
	rng := rand.New(rand.NewPCG(seed, 0x74657874))
	var b strings.Builder
	left := 0 // words until the sentence ends
	for i := range n {
		w := words[rng.IntN(len(words))]
		if left == 0 {
			left = 6 + rng.IntN(9)
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(w)
		left--
		switch {
		case left == 0 || i == n-1:
			b.WriteString(". ")
			left = 0
		default:
			b.WriteByte(' ')
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// A Conversation is one agent's: what it asked, what it was told. Its first message begins with a canary, a word of this
// agent's alone, so that no two conversations share a prefix beyond the chat template's own, and so that an answer with
// another agent's canary in it proves a leak.
type Conversation struct {
	Agent    string
	Canary   string
	messages []Message
	system   int // messages that the conversation began with before anything was asked, 0 or 1
	seed     uint64
}

// canaryLength is the hexadecimal digits of a canary. At least one of them is a letter: of a server that answers in numbers,
// such as times, some agent's secret would sooner or later be a part.
const canaryLength = 8

// NewConversation makes the conversation of an agent, a function of the seed alone.
func NewConversation(agent string, seed uint64) *Conversation {
	rng := rand.New(rand.NewPCG(seed, 0x63616e617279))
	word := fmt.Sprintf("%0*x", canaryLength, rng.Uint32())
	if !strings.ContainsAny(word, "abcdef") {
		word = "a" + word[1:]
	}
	return &Conversation{Agent: agent, Canary: word, seed: seed}
}

// System gives a conversation in which nothing was asked yet a system prompt. Agents may share it: their canaries come after it.
func (c *Conversation) System(text string) {
	c.messages, c.system = []Message{{"system", text}}, 1
}

// Ask is the conversation's next prompt: all that was said so far and a new message of n words.
func (c *Conversation) Ask(n, maxTokens int) Prompt {
	return c.Say(Text(c.seed+uint64(len(c.messages)), n), maxTokens)
}

// Say is the conversation's next prompt: all that was said so far and a new message.
func (c *Conversation) Say(text string, maxTokens int) Prompt {
	if len(c.messages) == c.system {
		text = c.Canary + " is my secret. " + text
	}
	c.messages = append(c.messages, Message{"user", text})
	return Prompt{Agent: c.Agent, Canary: c.Canary, Messages: c.messages[:len(c.messages):len(c.messages)], MaxTokens: maxTokens}
}

// Aside is a prompt that goes on from what was said so far and leaves no trace in the conversation. It is asked under a name
// of its own, so that several can be asked at once.
func (c *Conversation) Aside(agent, text string, maxTokens int) Prompt {
	messages := append(c.messages[:len(c.messages):len(c.messages)], Message{"user", text})
	return Prompt{Agent: agent, Canary: c.Canary, Messages: messages, MaxTokens: maxTokens}
}

// Told appends the answer to the last prompt, word for word, as a client does that keeps its history.
func (c *Conversation) Told(answer string) {
	c.messages = append(c.messages, Message{"assistant", answer})
}

// TakeBack forgets the last prompt, which was not answered.
func (c *Conversation) TakeBack() { c.messages = c.messages[:len(c.messages)-1] }

// Turn is the 0-based turn of the last prompt.
func (c *Conversation) Turn() int { return (len(c.messages) - c.system - 1) / 2 }
