package client

import (
	"fmt"
	"strings"

	"loadstone/harness/record"
)

// Digest is that of all that a load decides of the prompt: its messages, the bounds on the answer,
// tools and schema, and what is done to the request on purpose. Answers that it repeats count by
// their own digests (see Message.Source), so that it can be made again without their texts. What
// every request of a client has alike, such as its model and API, is not in it.
func (p *Prompt) Digest() record.Digest {
	parts := make([]string, 0, len(p.Messages)+len(p.Tools)+4)
	parts = append(parts, fmt.Sprintf("max %d exact %t temperature %g seed %d cancel %d %d read %d",
		p.MaxTokens, p.ExactTokens, p.Temperature, p.Seed, p.CancelAfter, p.CancelPieces, p.ReadRate),
		strings.Join(p.Stop, "\x00"), string(p.Schema), fmt.Sprint(len(p.Tools)))
	for _, tool := range p.Tools {
		parts = append(parts, string(tool))
	}
	for _, f := range p.Fields {
		parts = append(parts, f.Name, string(f.Value))
	}
	for i := range p.Messages {
		parts = append(parts, string(p.Messages[i].digest()))
	}
	return record.NewDigest(parts...)
}

// digest is that of a message. A conversation repeats its messages, so it is kept in Wire.
func (m *Message) digest() record.Digest {
	if m.Wire != nil {
		if d := m.Wire.digest.Load(); d != nil {
			return *d
		}
	}
	kind, content := "text", m.Content
	if m.Source != "" {
		kind, content = "source", m.Source
	}
	d := record.NewDigest(m.Role, kind, content, string(m.ToolCalls), m.ToolCallID, m.Name,
		string(m.Raw))
	if m.Wire != nil {
		m.Wire.digest.Store(&d)
	}
	return d
}
