package generate

import (
	"bytes"
	"encoding/json"
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

// CutBilling returns a system prompt without its first line if that is Claude Code's, and whether it
// was.
func CutBilling(text string) (rest string, cut bool) {
	line := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(line, billingLine) {
		return text, false
	}
	_, rest, _ = strings.Cut(line, "\n")
	return strings.TrimLeft(rest, "\r\n"), true
}
