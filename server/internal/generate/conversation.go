package generate

// conversation returns the messages as the chat template gets them. A template that knows tools
// describes them itself; for others they are described in the system message. Calls are text of the
// assistant's messages, and results of tools are text of the user's, or have a role of their own
// where the form of the model's calls says so: models that were trained on tools know the tags, and
// every template can express that.
func (g *Generator) conversation(p *Params) []Message {
	var messages []Message
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
		messages = appendMessage(messages, m, p.merged)
	}
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

// appendMessage appends a message, or joins it to the last one: results of several calls share one
// message, because some templates demand that roles alternate, and with merged so do all of a role.
func appendMessage(messages []Message, m Message, merged bool) []Message {
	n := len(messages)
	if n == 0 || messages[n-1].Role != m.Role || m.Role == "tool" ||
		!merged && !(m.toolResult && messages[n-1].toolResult) {
		return append(messages, m)
	}
	last := &messages[n-1]
	last.Text += "\n" + m.Text
	last.key = last.Text
	last.toolResult = last.toolResult && m.toolResult
	return messages
}
