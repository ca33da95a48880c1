package grammar

import (
	"bytes"
	"encoding/json"
	"slices"
)

// A Parameter is one of a tool, in a form of calls that writes each by itself.
type Parameter struct {
	Name     string
	Required bool
	Schema   []byte // of its value, complete in itself
	// Raw says that the value is written as it is, and not as JSON: it is a string, either any or
	// one of Choices.
	Raw     bool
	Choices []string
}

// The text of parameters: ParameterOpen NAME ParameterName VALUE ParameterClose.
const (
	ParameterOpen  = "<parameter="
	ParameterName  = ">\n"
	ParameterClose = "\n</parameter>\n"
)

// plainKeywords are those of an object's schema that its parameters hold, or that assert nothing.
var plainKeywords = []string{"type", "properties", "required", "additionalProperties",
	"description", "title", "$schema", "$id", "$comment", "$defs", "definitions", "default",
	"examples"}

// Parameters returns the parameters of a tool with this schema, in the schema's order, and the
// keywords of the schema that they cannot hold. known is false where the schema names none, so that
// a call may have any.
func Parameters(schema []byte) (list []Parameter, unheld []string, known bool) {
	names, values := Members(schema)
	var properties, definitions []byte
	var required []string
	for i, name := range names {
		switch name {
		case "properties":
			properties = values[i]
		case "required":
			json.Unmarshal(values[i], &required)
		case "$defs", "definitions":
			definitions = append(append(definitions, ',', '"'), name+`":`...)
			definitions = append(definitions, values[i]...)
		}
		if !slices.Contains(plainKeywords, name) {
			unheld = append(unheld, name)
		}
	}
	names, values = Members(properties)
	for i, name := range names {
		p := Parameter{Name: name, Required: slices.Contains(required, name), Schema: values[i]}
		p.Raw, p.Choices = raw(values[i])
		if at := bytes.LastIndexByte(p.Schema, '}'); at > 0 && len(definitions) > 0 {
			// What its references lead to stands in the whole.
			whole := slices.Concat(p.Schema[:at:at], definitions, []byte("}"))
			if len(bytes.TrimSpace(p.Schema[1:at])) == 0 {
				whole = slices.Concat([]byte("{"), definitions[1:], []byte("}"))
			}
			p.Schema = whole
		}
		list = append(list, p)
	}
	return list, unheld, len(list) > 0 || schema != nil && isClosed(schema)
}

// isClosed says whether a schema allows no properties that it does not name.
func isClosed(schema []byte) bool {
	var s struct {
		Additional *bool `json:"additionalProperties"`
	}
	return json.Unmarshal(schema, &s) == nil && s.Additional != nil && !*s.Additional
}

// raw reports whether the values of a schema are strings that are written without quotes, and
// which strings they are if the schema lists them.
func raw(schema []byte) (ok bool, choices []string) {
	names, values := Members(schema)
	for i, name := range names {
		switch name {
		case "type":
			ok = string(values[i]) == `"string"`
		case "enum":
			if json.Unmarshal(values[i], &choices) != nil || len(choices) == 0 {
				return false, nil
			}
		case "description", "title", "default", "examples":
		default:
			return false, nil // it asserts more than can be seen in a text as it is
		}
	}
	for _, c := range choices {
		if bytes.Contains([]byte(c+ParameterClose[:1]), []byte(ParameterClose)) {
			return false, nil
		}
	}
	return ok, choices
}

// Members returns the members of a JSON object in their order, none of anything else.
func Members(object []byte) (names []string, values [][]byte) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, nil
		}
		names, values = append(names, name.(string)), append(values, value)
	}
	return names, values
}

// parameters makes a rule for the parameters of a tool, each by itself.
func (c *compiler) parameters(t Tool) (symbol, error) {
	list, unheld, known := Parameters(t.Parameters)
	for _, keyword := range unheld {
		e := &SchemaError{t.Name, "#", keyword,
			"cannot be held in this model's form of calls, which writes each parameter by itself"}
		if !t.Loose {
			return 0, e
		}
		c.unheld = append(c.unheld, e)
	}
	if !known {
		name := c.repeat(c.bytes("azAZ09__--"), 1, 64)
		one := c.seq(c.literal(ParameterOpen), name, c.literal(ParameterName),
			c.until(ParameterClose, c.seq()))
		return c.repeat(one, 0, -1), nil
	}
	var all []symbol
	for _, p := range list {
		value, err := c.parameter(t, p)
		if err != nil {
			return 0, err
		}
		one := c.seq(c.literal(ParameterOpen+p.Name+ParameterName), value)
		if !p.Required {
			one = c.optional(one)
		}
		all = append(all, one)
	}
	return c.seq(all...), nil
}

// parameter makes a rule for a parameter's value and what ends it.
func (c *compiler) parameter(t Tool, p Parameter) (symbol, error) {
	switch {
	case len(p.Choices) > 0:
		var choices [][]symbol
		for _, choice := range p.Choices {
			choices = append(choices, []symbol{c.literal(choice)})
		}
		return c.seq(c.oneOf(choices...), c.literal(ParameterClose)), nil
	case p.Raw:
		return c.until(ParameterClose, c.seq()), nil
	}
	value, err := c.document(p.Schema, t.Name, t.Loose, false)
	if err != nil {
		return 0, err
	}
	return c.seq(value, c.literal(ParameterClose)), nil
}
