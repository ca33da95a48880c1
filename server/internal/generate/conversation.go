package generate

import "strings"

// conversation returns the messages as the chat template gets them. A template that knows tools
// describes them itself; for others they are described in the system message. Calls are text of the
// assistant's messages, and results of tools are text of the user's, or have a role of their own
// where the form of the model's calls says so: models that were trained on tools know the tags, and
// every template can express that.
func (g *Generator) conversation(p *Params) []Message {
	messages := make([]Message, 0, len(p.Messages)+1)
	form := g.form(&p.Constraint)
	for _, m := range p.Messages {
		switch {
		case m.Role == RoleAssistant:
			m.Text = form.text(m.Text, m.Calls, true)
		case m.toolResult && form.resultRole != "":
			m.Role = form.resultRole
		case m.toolResult:
			m.Text = "<tool_response>\n" + m.Text + "\n</tool_response>"
		}
		messages = append(messages, m)
	}
	messages = merge(messages, p.merged)
	c := &p.Constraint
	if !c.allowsCalls() || g.describesTools {
		return messages
	}
	guide := c.guide()
	if len(messages) > 0 && messages[0].Role == RoleSystem {
		messages[0].Text += "\n\n" + guide
		return messages
	}
	return append([]Message{{Role: RoleSystem, Text: guide}}, messages...)
}

// merge makes one message of those that stand together: results of several calls share one message,
// because some templates demand that roles alternate, and with all so do all of a role. Each text is
// copied once, however many there are.
func merge(messages []Message, all bool) []Message {
	merged := messages[:0]
	for from := 0; from < len(messages); {
		m := messages[from]
		texts := []string{m.Text}
		to := from + 1
		for ; to < len(messages) && together(&messages[to-1], &messages[to], all); to++ {
			texts = append(texts, messages[to].Text)
			m.toolResult = m.toolResult && messages[to].toolResult
		}
		if len(texts) > 1 {
			m.Text = strings.Join(texts, "\n")
			m.key = m.Text
		}
		merged = append(merged, m)
		from = to
	}
	return merged
}

// together reports whether a message and the one behind it become one.
func together(m, next *Message, all bool) bool {
	return m.Role == next.Role && m.Role != "tool" && (all || m.toolResult && next.toolResult)
}
