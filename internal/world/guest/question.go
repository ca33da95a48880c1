package main

import (
	"cmp"
	"encoding/json"
	"strconv"

	"loadstone/internal/world/script"
)

// A question is what a client asks for.
type question struct {
	api    string
	said   []message // the whole conversation
	stream bool
	store  bool    // the server is to keep the answer
	after  *stored // the answer that the last message follows, which stands for all before; nil: none
	manner
}

// A manner is how an answer is to be made.
type manner struct {
	max         int     // tokens
	temperature float64 // 0: the likeliest token each time
	seed        int64
	tool        bool // it must call the tool
}

// manner returns what the arguments of an action say of an answer by an API.
func newManner(args script.Args, api string) manner {
	m := manner{max: cmp.Or(args.Int("max"), 4)}
	if m.tool = args.Yes("tool") && api != "completions"; m.tool {
		m.max = callTokens
	}
	if t := args.Get("temperature"); t != "" && api != "messages" { // which has no seed
		m.temperature, _ = strconv.ParseFloat(t, 64)
		m.seed = int64(args.Int("seed"))
	}
	return m
}

const instructions = "be kind"

// request returns the path and the body of a request for an answer.
func (c *client) request(q *question) (path, body string) {
	said := q.said
	if q.after != nil {
		said = said[len(said)-1:]
	}
	messages := func(with ...message) (list []map[string]string) {
		for _, m := range append(with, said...) {
			list = append(list, map[string]string{"role": m.role, "content": m.text})
		}
		return list
	}
	b := map[string]any{"model": "world", "temperature": q.temperature, "stream": q.stream,
		"max_tokens": q.max}
	if q.temperature > 0 {
		b["seed"] = q.seed
	}
	switch q.api {
	case "chat":
		path, b["messages"] = "/v1/chat/completions", messages(message{"system", instructions})
	case "generate":
		path = "/v1/agents/" + c.agent.name + "/generate"
		b["messages"] = messages(message{"system", instructions})
	case "messages":
		path, b["messages"], b["system"] = "/v1/messages", messages(), instructions
	case "responses":
		path, b["input"], b["instructions"] = "/v1/responses", messages(), instructions
		b["store"], b["max_output_tokens"] = q.store, q.max
		delete(b, "max_tokens")
		if q.after != nil {
			b["previous_response_id"] = q.after.id
		}
	case "completions":
		path, b["prompt"] = "/v1/completions", said[len(said)-1].text
	default:
		c.world.fail("script", "unknown api %q", q.api)
	}
	if q.tool {
		b["tools"], b["tool_choice"] = []any{tool(q.api)}, toolChoice(q.api)
	}
	text, err := json.Marshal(b)
	must(err)
	return path, string(text)
}

// prompt returns the tokens that the server must make of a conversation.
func (c *client) prompt(api string, said []message) []int32 {
	if api == "completions" {
		return letters{}.Encode(said[len(said)-1].text, true)
	}
	roles, texts := []string{"system"}, []string{instructions}
	for _, m := range said {
		roles, texts = append(roles, m.role), append(texts, m.text)
	}
	ids, _ := letters{}.EncodeChat(roles, texts, nil, nil)
	return ids
}

// The tool of the world, and how its model calls it: as Llama does, without a line break, which no
// token of the world has.
const (
	toolName   = "go"
	toolSchema = `{"type":"object","properties":{"to":{"enum":["moon","lamp","kettle"]}},` +
		`"required":["to"],"additionalProperties":false}`
	callOpen  = `{"name": "`
	callArgs  = `", "parameters": `
	callClose = "}"

	callTokens = 80 // more than a call has
)

// template shows the server that the model describes tools to itself, and how it calls them.
const template = `tools ipython "parameters": `

// callText returns a call as the model writes it. rest is what follows the arguments.
func callText(name, arguments, rest string) string {
	return callOpen + name + callArgs + arguments + rest
}

// tool returns the tool as an API has it.
func tool(api string) any {
	schema := json.RawMessage(toolSchema)
	switch api {
	case "messages":
		return map[string]any{"name": toolName, "input_schema": schema}
	case "responses":
		return map[string]any{"type": "function", "name": toolName, "parameters": schema, "strict": true}
	}
	return map[string]any{"type": "function", "function": map[string]any{"name": toolName,
		"parameters": schema, "strict": true}}
}

// toolChoice demands a call of the tool.
func toolChoice(api string) any {
	switch api {
	case "messages":
		return map[string]any{"type": "tool", "name": toolName}
	case "responses":
		return map[string]any{"type": "function", "name": toolName}
	}
	return map[string]any{"type": "function", "function": map[string]any{"name": toolName}}
}
