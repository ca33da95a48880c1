package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"loadstone/internal/world/script"
)

// A question is what a client asks for.
type question struct {
	api     string
	said    []message // the whole conversation
	salt    string    // of the cache; "": none
	choices int       // how many answers
	stream  bool
	usage   bool    // a stream of OpenAI's is to end with it
	store   bool    // the server is to keep the answer
	after   *stored // the answer that the last message follows, which stands for all before; nil: none
	stops   []string
	manner
}

// openai reports whether the API is one of OpenAI's older ones, or like it.
func (q *question) openai() bool {
	return q.api == "chat" || q.api == "generate" || q.api == "completions"
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

// stopStrings returns two strings of which the first ends an answer somewhere, and the second does
// not; nil if the answer has no place for that. Where the text repeats itself, the first is better
// there: a search must go back.
func stopStrings(text string, place int) []string {
	const length = 3
	if len(text) <= length {
		return nil
	}
	at := 1 + place%(len(text)-length)
	for i := 1; i+length < len(text); i++ {
		if text[i-1] == text[i] && text[i] == text[i+1] && text[i+1] != text[i+2] {
			at = i
		}
	}
	stop := text[at : at+length]
	if strings.HasPrefix(text, stop) || strings.TrimSpace(stop) == "" {
		return nil // an answer without a word has another form, and an API wants more than blanks
	}
	return []string{stop, "~nowhere~"}
}

const instructions = "be kind"

// request returns the path and the body of a request for an answer.
func (c *client) request(q *question) (path, body string) {
	said := q.said
	if q.after != nil {
		said = said[len(said)-1:]
	}
	b := map[string]any{"model": "world", "temperature": q.temperature, "stream": q.stream,
		"max_tokens": q.max}
	if q.temperature > 0 {
		b["seed"] = q.seed
	}
	if q.salt != "" {
		b["cache_salt"] = q.salt
	}
	if q.choices > 1 {
		b["n"] = q.choices
	}
	if q.usage && q.stream {
		b["stream_options"] = map[string]bool{"include_usage": true}
	}
	if len(q.stops) > 0 && q.api == "messages" {
		b["stop_sequences"] = q.stops
	} else if len(q.stops) > 0 {
		b["stop"] = q.stops
	}
	switch q.api {
	case "chat", "generate":
		if path = "/v1/chat/completions"; q.api == "generate" {
			path = "/v1/agents/" + c.agent.name + "/generate"
		}
		b["messages"] = append([]any{plainMessage("system", instructions)}, bodies(q.api, said)...)
	case "messages":
		path, b["messages"], b["system"] = "/v1/messages", bodies(q.api, said), instructions
	case "responses":
		path, b["input"], b["instructions"] = "/v1/responses", bodies(q.api, said), instructions
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

// bodies returns messages as an API has them.
func bodies(api string, said []message) (list []any) {
	for _, m := range said {
		switch {
		case m.call:
			list = append(list, callBody(api, callArguments(m.text)))
		case m.role == "tool":
			list = append(list, resultBody(api, m.text))
		default:
			list = append(list, plainMessage(m.role, m.text))
		}
	}
	return list
}

func plainMessage(role, text string) any {
	return map[string]string{"role": role, "content": text}
}

// callID names the call of a tool in a conversation.
const callID = "call_1"

// callBody returns an assistant's call of the tool as an API has it.
func callBody(api, arguments string) any {
	switch api {
	case "messages":
		return map[string]any{"role": "assistant", "content": []any{map[string]any{
			"type": "tool_use", "id": callID, "name": toolName, "input": json.RawMessage(arguments)}}}
	case "responses":
		return map[string]any{"type": "function_call", "call_id": callID, "name": toolName,
			"arguments": arguments}
	}
	return map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{
		"id": callID, "type": "function",
		"function": map[string]any{"name": toolName, "arguments": arguments}}}}
}

// resultBody returns what the tool has returned as an API has it.
func resultBody(api, text string) any {
	switch api {
	case "messages":
		return map[string]any{"role": "user", "content": []any{map[string]any{
			"type": "tool_result", "tool_use_id": callID, "content": text}}}
	case "responses":
		return map[string]any{"type": "function_call_output", "call_id": callID, "output": text}
	}
	return map[string]any{"role": "tool", "tool_call_id": callID, "content": text}
}

// prompts returns the tokens that the server may make of a conversation, what is likeliest first.
// They are more than one where a call of the tool is in it: the server has it as the model wrote
// it, if it was this agent's and is still remembered, and else in the plain form of its JSON.
func (c *client) prompts(q *question) (all [][]int32) {
	if q.api == "completions" {
		return [][]int32{letters{}.Encode(q.said[len(q.said)-1].text, true, 0)}
	}
	roles, spelled := []string{"system"}, [][]string{{instructions}}
	for _, m := range q.said {
		roles = append(roles, m.role)
		options := []string{m.text}
		if m.call {
			options = c.spellings(m.text, q.salt)
		}
		var longer [][]string
		for _, texts := range spelled {
			for _, o := range options {
				longer = append(longer, append(slices.Clone(texts), o))
			}
		}
		spelled = longer[:min(len(longer), maxPrompts)]
	}
	for _, texts := range spelled {
		ids, _ := letters{}.EncodeChat(roles, texts, nil, nil, 0)
		all = append(all, ids)
	}
	return all
}

// maxPrompts bounds the prompts of one question. Few models spell one call in more than two ways.
const maxPrompts = 8

// spellings returns the ways in which the server may have a call that the client sends back, what
// is likeliest first: the newest of those that mean the same.
func (c *client) spellings(text, salt string) (all []string) {
	plain := plainCall(text)
	if c.agent != nil {
		for _, made := range slices.Backward(c.agent.calls) {
			if made.salt == salt && plainCall(made.text) == plain && !slices.Contains(all, made.text) {
				all = append(all, made.text)
			}
		}
	}
	if !slices.Contains(all, plain) {
		all = append(all, plain)
	}
	return all
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

// callArguments returns the arguments of a call that the model has written.
func callArguments(text string) string {
	text, _ = strings.CutPrefix(text, callText(toolName, "", ""))
	text, _ = strings.CutSuffix(text, callClose)
	return text
}

// isCall reports whether an answer is a whole call of the tool.
func isCall(text string) bool {
	arguments := callArguments(text)
	return text == callText(toolName, arguments, callClose) && json.Valid([]byte(arguments))
}

// plainCall returns a call with its JSON in the form in which chat templates have it.
func plainCall(text string) string {
	var arguments struct{ To string }
	must(json.Unmarshal([]byte(callArguments(text)), &arguments))
	return callText(toolName, fmt.Sprintf(`{"to": %q}`, arguments.To), callClose)
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
