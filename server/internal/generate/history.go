package generate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"loadstone/server/internal/wire"
)

// CalledTool returns a call of a tool in the history of a conversation. A model wrote it, perhaps
// another one, so nothing about it is refused: not a name that no tool here could have, and not
// arguments that are cut off or no object. They are rendered as they are, {} where there are none.
// arguments is a JSON value: an object, or a string that has its text.
func CalledTool(name string, arguments json.RawMessage) ToolCall {
	text := string(arguments)
	if bytes.HasPrefix(arguments, []byte(`"`)) {
		// This cannot fail: the whole body is valid JSON.
		wire.Unmarshal(arguments, &text)
	}
	return ToolCall{Name: name, Arguments: []byte(text)}
}

// plainArguments returns arguments as a prompt has them: valid JSON in its one form, and anything
// else as it is.
func plainArguments(arguments []byte) []byte {
	switch trimmed := bytes.TrimSpace(arguments); {
	case len(trimmed) == 0 || string(trimmed) == "null":
		return []byte("{}")
	case json.Valid(trimmed):
		return wire.Plain(trimmed)
	}
	return arguments
}

// billingLine begins the first line of the system prompt of Claude Code, since version 2.1.36. The
// line has a checksum of the request (cch=), which is another one in every turn, so that no turn
// would find the one before in the cache. It is meant for Anthropic's accounting and says nothing
// to a model.
const billingLine = "x-anthropic-billing-header:"

// AddSystem appends a system message, without the line that Claude Code puts before its own.
func (p *Params) AddSystem(text string) {
	text, cut := CutBilling(text)
	p.BillingCut = p.BillingCut || cut
	if cut && text == "" {
		return
	}
	p.AddMessage(RoleSystem, text)
}

// CutBilling returns a system prompt without its first line if that is Claude Code's, and whether
// it was.
func CutBilling(text string) (rest string, cut bool) {
	line := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(line, billingLine) {
		return text, false
	}
	_, rest, _ = strings.Cut(line, "\n")
	return strings.TrimLeft(rest, "\r\n"), true
}

// encodeChat returns the tokens of a conversation. An answer stands there with the exact tokens
// that the model generated, where they are known. The reasoning of earlier turns is left out, as
// the models' own templates do: within a turn, between a question and the answer to it, the model
// sees what it thought before each call of a tool. limit is that of encode.
func (g *Generator) encodeChat(p *Params, limit int) ([]int32, error) {
	messages := g.conversation(p)
	roles, contents := make([]string, len(messages)), make([]string, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.Role == RoleAssistant && m.Reasoning == "" && g.thinking != nil {
			if reasoning, rest, ok := g.thinking.cut(m.Text); ok {
				m.Reasoning, m.Text, m.key = reasoning, rest, rest
			}
		}
		roles[i], contents[i] = m.Role, m.Text
	}
	c := chat{
		messages:  messages,
		roles:     roles,
		contents:  contents,
		turn:      turnOf(messages),
		known:     make([][]int32, len(messages)),
		tools:     p.Constraint.Tools,
		variables: p.variables(),
	}
	if g.describesTools && p.Constraint.allowsCalls() {
		c.variables["tools"] = p.Constraint.describe()
	}
	for i, a := range g.answers.find(p.asker(), messages) {
		c.known[i] = a.in(i >= c.turn)
	}
	g.recall(p.asker(), &c)
	for i, m := range messages {
		if i >= c.turn && m.Reasoning != "" && c.known[i] == nil && g.thinking != nil {
			contents[i] = g.thinking.withReasoning(m.Reasoning, m.Text)
		}
	}
	for i, m := range messages {
		if len(m.Calls) > 0 && c.known[i] == nil {
			c.known[i] = g.spell(contents[i])
		}
	}
	ids, err := g.text.EncodeChat(roles, contents, c.known, c.variables, limit)
	if err != nil {
		return nil, Invalid(p.PromptField, "%s: %v", p.PromptField, err)
	}
	return ids, nil
}

// spell returns the tokens of an answer's text whose marks are control tokens, which no content can
// make; nil where it has none.
func (g *Generator) spell(text string) (ids []int32) {
	from := 0
	for i := 0; i < len(text); i++ {
		for id, mark := range g.marks {
			if !strings.HasPrefix(text[i:], mark) {
				continue
			}
			ids = append(append(ids, g.text.Encode(text[from:i], false, 0)...), id)
			i += len(mark) - 1
			from = i + 1
			break
		}
	}
	if ids == nil {
		return nil
	}
	return append(ids, g.text.Encode(text[from:], false, 0)...)
}

// A chat is a conversation that is being encoded.
type chat struct {
	messages        []Message
	roles, contents []string
	turn            int       // the first message behind the last question
	known           [][]int32 // the exact tokens of answers
	tools           []Tool
	variables       map[string]any
}

// turnOf returns the index of the first message behind the user's last question. Results of tools
// are no questions.
func turnOf(messages []Message) int {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == RoleUser && !messages[i].toolResult {
			return i + 1
		}
	}
	return 0
}

// A beginning is the part of the answer that the prompt already has.
type beginning struct {
	form   *thinkingForm // of the reasoning that may follow; nil: none
	open   bool          // the prompt ends with form.open
	opener []int32       // the prompt's last tokens that a template writes before no earlier answer
	exact  bool          // opener is known
}

// begun returns the beginning that the prompt of a request has: a template may open the reasoning,
// or write an empty one. Earlier answers are rendered without it.
func (g *Generator) begun(p *Params) beginning {
	if g.thinking == nil || p.Prompt != nil {
		return beginning{exact: true}
	}
	b, vars := beginning{form: g.thinking}, p.variables()
	ids, err := g.text.EncodeChat([]string{RoleUser}, []string{"?"}, nil, vars, 0)
	if err != nil {
		return b
	}
	var text []byte
	for _, id := range ids[max(0, len(ids)-16):] {
		text = g.appendToken(text, id)
	}
	b.open = bytes.HasSuffix(bytes.TrimRight(text, " \t\r\n"), []byte(g.thinking.open))
	stops := g.text.StopTokens()
	if len(stops) == 0 {
		return b
	}
	gap := slices.Repeat(stops[:1], 3) // see recall
	earlier, err := g.text.EncodeChat([]string{RoleUser, RoleAssistant, RoleUser},
		[]string{"?", "!", "?"}, [][]int32{nil, gap, nil}, vars, 0)
	if err != nil {
		return b
	}
	n := 0
	for n < len(earlier) && !startsWith(earlier[n:], gap) {
		n++
	}
	if n < len(earlier) && startsWith(ids, earlier[:n]) {
		b.opener, b.exact = ids[n:], true
	}
	return b
}
