package tokenizer

import (
	"errors"
	"fmt"
	"strings"
)

// templateRole maps the roles of requests to the roles that templates know.
var templateRole = map[string]string{
	"system": "system", "developer": "system", "user": "user",
	"assistant": "assistant", "tool": "tool",
}

// EncodeChat renders a chat with the model's template, up to the beginning of the assistant's next
// answer, and returns its ids. roles and contents have an element for each message. Roles are
// system, developer (the same as system), user, assistant and tool.
//
// answers may be nil. If answers[i] is not nil, it holds the ids that the model generated for
// message i. They take the place of contents[i], and the text before them is encoded as if it ended
// there. So the ids of a chat followed by those of its answer are the first ids of the chat's next
// turn, token for token, and the KV cache of both can be reused. (If a template rewrites old
// answers, by dropping a part of them, their text is encoded anew.)
//
// variables are further variables of the template, such as enable_thinking and tools: values as
// encoding/json decodes them, or JSON (json.RawMessage), whose objects keep the order of their
// names. Those that the template does not name do nothing.
//
// A chat that has more than limit ids, unless limit is 0, is not encoded to its end; see Encode.
//
// Contents cannot make control tokens; see the package comment. EncodeChat fails if the model has
// no template, if a role is unknown, or if the template refuses the chat.
func (m *Model) EncodeChat(
	roles, contents []string, answers [][]int32, variables map[string]any, limit int,
) ([]int32, error) {
	switch {
	case m.template == nil:
		return nil, errors.New("the model has no chat template: add chat_template.jinja to its folder")
	case len(roles) == 0:
		return nil, errors.New("a chat needs at least one message")
	case len(roles) != len(contents) || answers != nil && len(answers) != len(contents):
		return nil, fmt.Errorf("a chat of %d roles has %d contents and %d answers",
			len(roles), len(contents), len(answers))
	}
	r, err := m.renderChat(roles, contents, answers, variables)
	if err != nil {
		return nil, err
	}
	var ids []int32
	g := guard{foreign: r.foreign}
	at := 0
	for _, a := range r.answers {
		ids = m.tokenizer.encode(ids, r.text[at:a.start], g.within(at, a.start), at == 0, limit)
		ids = append(ids, answers[a.message]...)
		if at = a.end; limit > 0 && len(ids) > limit {
			return ids, nil
		}
	}
	return m.tokenizer.encode(ids, r.text[at:], g.within(at, len(r.text)), at == 0, limit), nil
}

// renderChat renders a chat and finds the places of contents and answers in its text.
func (m *Model) renderChat(
	roles, contents []string, answers [][]int32, variables map[string]any,
) (rendered, error) {
	chat := make(messages, len(roles))
	for i, role := range roles {
		name, ok := templateRole[role]
		if !ok {
			return rendered{}, fmt.Errorf("message %d has the unknown role %q:"+
				" use system, developer, user, assistant or tool", i, role)
		}
		if answers != nil && answers[i] != nil {
			if err := m.checkIDs(answers[i]); err != nil {
				return rendered{}, fmt.Errorf("message %d: %w", i, err)
			}
		}
		chat[i] = message{name, strings.ToValidUTF8(contents[i], "\uFFFD")}
	}
	text, err := m.template.render(chat, true, variables)
	if err != nil {
		return rendered{}, err
	}
	return find(text, chat, answers), nil
}

// checkIDs refuses ids outside the vocabulary.
func (m *Model) checkIDs(ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= len(m.tokenizer.bytes) {
			return fmt.Errorf("answer has the token id %d of a vocabulary of %d",
				id, len(m.tokenizer.bytes))
		}
	}
	return nil
}

// endOfAnswer returns the control token that the template puts right behind an answer, if it does.
func (m *Model) endOfAnswer() (int32, bool) {
	if m.template == nil {
		return 0, false
	}
	const answer = 1 // the number of the message
	text, err := m.template.render(messages{{"user", "?"}, {"assistant", "!"}}, false, nil)
	if err != nil {
		return 0, false
	}
	behind := ""
	for _, p := range text.Spans() {
		if p.Source == answer {
			behind = strings.TrimLeft(text.String()[p.End:], " \n")
			break
		}
	}
	if behind == "" {
		return 0, false
	}
	token, _ := m.tokenizer.controls.at(behind)
	if token == nil {
		return 0, false
	}
	return token.ID, true
}
