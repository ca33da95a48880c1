package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// templateRole is what a template calls each role of the wire.
var templateRole = map[string]string{
	"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
}

// EncodeChat renders a chat with the model's template, up to where the assistant's next answer begins, and returns its
// ids. roles are system, developer (the same), user, assistant and tool.
//
// answers may be nil; answers[i], where it is not nil, are the ids that the model generated for message i. They stand
// for contents[i] as they are, and what is before them is encoded as if it ended there: so the ids of a chat and of its
// answer are the first ids of the chat's next turn, token for token, and the KV cache of both holds for it. (A template
// that rewrites old answers, by dropping a part of them, gets their text encoded afresh.)
//
// Contents cannot make control tokens, see the package comment.
func (m *Model) EncodeChat(roles, contents []string, answers [][]int32) ([]int32, error) {
	switch {
	case m.template == nil:
		return nil, errors.New("the model has no chat template: add chat_template.jinja to its folder")
	case len(roles) == 0:
		return nil, errors.New("a chat needs at least one message")
	case len(roles) != len(contents) || answers != nil && len(answers) != len(contents):
		return nil, fmt.Errorf("a chat of %d roles has %d contents and %d answers", len(roles), len(contents), len(answers))
	}
	r, err := m.renderChat(roles, contents, answers)
	if err != nil {
		return nil, err
	}
	var ids []int32
	g := guard{barriers: r.barriers}
	at := 0
	for _, a := range r.answers {
		ids = m.tokenizer.encode(ids, r.text[at:a.start], g.within(at, a.start), at == 0)
		ids = append(ids, answers[a.message]...)
		at = a.end
	}
	return m.tokenizer.encode(ids, r.text[at:], g.within(at, len(r.text)), at == 0), nil
}

func (m *Model) renderChat(roles, contents []string, answers [][]int32) (rendered, error) {
	chat := make(messages, len(roles))
	mk, err := newMarks(m.template.source, contents)
	if err != nil {
		return rendered{}, err
	}
	for i, role := range roles {
		name, ok := templateRole[role]
		if !ok {
			return rendered{}, fmt.Errorf("message %d has the unknown role %q: use system, developer, user, assistant or tool", i, role)
		}
		content := mk.guard(strings.ToValidUTF8(contents[i], "\uFFFD"), &m.tokenizer.controls)
		if answers != nil && answers[i] != nil {
			if err := m.checkIDs(answers[i]); err != nil {
				return rendered{}, fmt.Errorf("message %d: %w", i, err)
			}
			content = mk.answer(i, content)
		}
		chat[i] = map[string]any{"role": name, "content": content}
	}
	text, err := m.template.render(chat, true)
	if err != nil {
		return rendered{}, err
	}
	return mk.read(text, len(roles)), nil
}

func (m *Model) checkIDs(ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= len(m.tokenizer.bytes) {
			return fmt.Errorf("answer has the token id %d of a vocabulary of %d", id, len(m.tokenizer.bytes))
		}
	}
	return nil
}

// endOfTurn returns the control token that the template puts right behind an answer.
func (m *Model) endOfTurn() (int32, bool) {
	if m.template == nil {
		return 0, false
	}
	const answer = "\U000F0000"
	text, err := m.template.render(messages{{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}}, false)
	if err != nil {
		return 0, false
	}
	_, behind, _ := strings.Cut(text, answer)
	behind = strings.TrimLeft(behind, " \n")
	if behind == "" {
		return 0, false
	}
	token, _ := m.tokenizer.controls.at(behind)
	if token == nil {
		return 0, false
	}
	return token.ID, true
}

// marks are characters put into contents before rendering and taken out of the text afterwards, so that whatever the
// template does with contents, it is known where they ended up. They are private-use characters that neither the chat
// nor the template has.
type marks struct {
	barrier rune // no control token may reach over it: at both ends of a content, and inside of each control literal in it
	open    rune // on both sides of the message's number: an answer begins
	close   rune // and ends
}

func newMarks(source string, contents []string) (marks, error) {
	const from, to = 0xF0000, 0xFFFFD // private use area A
	taken := make(map[rune]bool)
	scan := func(s string) {
		if strings.IndexByte(s, 0xF3) < 0 { // the first byte of all of them in UTF-8
			return
		}
		for _, r := range s {
			if r >= from && r <= to {
				taken[r] = true
			}
		}
	}
	scan(source)
	for _, c := range contents {
		scan(c)
	}
	var free [3]rune
	n := 0
	for r := rune(from); n < len(free) && r <= to; r++ {
		if !taken[r] {
			free[n] = r
			n++
		}
	}
	if n < len(free) {
		return marks{}, errors.New("the chat uses all private-use characters, which leaves none to mark its messages with")
	}
	return marks{free[0], free[1], free[2]}, nil
}

// guard puts barriers into a content. White space at its ends stays outside, for templates that trim.
func (m marks) guard(content string, controls *trie) string {
	core := strings.TrimLeftFunc(content, pythonSpace)
	lead := content[:len(content)-len(core)]
	core = strings.TrimRightFunc(core, pythonSpace)
	if core == "" {
		return content
	}
	tail := content[len(lead)+len(core):]
	barrier := string(m.barrier)
	var b strings.Builder
	b.WriteString(lead + barrier)
	for i := 0; i < len(core); {
		_, n := utf8.DecodeRuneInString(core[i:])
		b.WriteString(core[i : i+n])
		if controls.starts(core[i:]) {
			b.WriteString(barrier)
		}
		i += n
	}
	b.WriteString(barrier + tail)
	return b.String()
}

func (m marks) answer(message int, content string) string {
	return string(m.open) + strconv.Itoa(message) + string(m.open) + content + string(m.close)
}

// rendered is a chat's text without marks, and what they said.
type rendered struct {
	text     string
	barriers []int // byte offsets
	answers  []answerSpan
}

// answerSpan is where the content of a message with known ids is in the text.
type answerSpan struct{ start, end, message int }

// read takes the marks out of a rendered text. An answer of which the template has cut a mark is content like any other.
func (m marks) read(text string, chat int) rendered {
	var r rendered
	var b strings.Builder
	b.Grow(len(text))
	pending := answerSpan{message: -1}
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == m.barrier:
			r.barriers = append(r.barriers, b.Len())
		case c == m.open:
			number, _, _ := strings.Cut(text[i+n:], string(m.open))
			message, err := strconv.Atoi(number)
			if err == nil && message >= 0 && message < chat {
				pending = answerSpan{start: b.Len(), message: message}
				n += len(number) + utf8.RuneLen(m.open)
			}
		case c == m.close:
			if pending.message >= 0 {
				pending.end = b.Len()
				r.answers = append(r.answers, pending)
			}
			pending.message = -1
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	r.text = b.String()
	return r
}
