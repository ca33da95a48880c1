package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"loadstone/harness/load"
)

// A private replaces the texts of a recording by the lengths and hashes of their blocks. The salt
// of the hashes is never written, so texts cannot be guessed by hashing candidates.
type private struct{ salt []byte }

func newPrivate() *private {
	p := &private{salt: make([]byte, 32)}
	rand.Read(p.salt)
	return p
}

// blockBytes is the length of a block in bytes: about 128 tokens.
const blockBytes = 512

// usualRatio is the number of tokens per byte of a prompt if the server has counted none.
const usualRatio = 0.25

// hide replaces a call's texts by made-up words. Equal blocks become equal words. Tools become
// words before the first message, as in the server's prompt. Other fields are left out.
func (p *private) hide(s *session, c *load.Call, b *body, all *prompt) {
	if s.ratio == 0 {
		s.ratio = usualRatio
		if bytes := all.bytes(b); c.Recorded.Prompt > 0 && bytes > 0 {
			s.ratio = float64(c.Recorded.Prompt) / float64(bytes)
		}
	}
	for i := range c.Add {
		m := &c.Add[i]
		text := m.Raw
		if i == 0 && c.From < 0 {
			text = append(join(b.tools), text...)
		}
		role := m.Role
		if role != "assistant" && role != "system" {
			role = "user" // a tool's result would need the ID of its call, which is hidden
		}
		*m = load.Message{Role: role, Reply: m.Reply, Words: p.words(text, s.ratio)}
	}
	c.Fields, c.Tools = nil, nil
	c.Recorded.Text, c.Recorded.Thought, c.Recorded.ToolCalls = "", "", nil
	s.API = ""
}

// words returns the words that stand for a text, one Words for each block.
func (p *private) words(text []byte, ratio float64) (words []load.Words) {
	tokens, seen := 0, 0
	for len(text) > 0 {
		n := min(len(text), blockBytes)
		mac := hmac.New(sha256.New, p.salt)
		mac.Write(text[:n])
		seen += n
		upTo := max(1, int(float64(seen)*ratio+0.5))
		seed := binary.BigEndian.Uint64(mac.Sum(nil))
		words = append(words, load.Words{Seed: seed, Tokens: max(1, upTo-tokens)})
		tokens, text = upTo, text[n:]
	}
	return words
}

// bytes returns the length of a prompt, including tools.
func (p *prompt) bytes(b *body) (n int) {
	for _, m := range p.raw {
		n += len(m)
	}
	return n + len(join(b.tools))
}
