package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A SchemaError names a keyword of a schema that cannot be guaranteed.
type SchemaError struct {
	Path    string // JSON pointer to the schema that has the keyword, such as #/properties/a
	Keyword string // "" if the value there is not a schema
	Reason  string // a predicate of the keyword, such as "is not supported"
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("%s: the keyword %q %s", e.Path, e.Keyword, e.Reason)
}

// Schema compiles a JSON schema. Its errors are *SchemaError.
func Schema(schema []byte) (*Grammar, error) {
	c := newCompiler(schema)
	root, err := c.schema(schema, "#")
	if err != nil {
		return nil, err
	}
	return c.finish(root)
}

// A compiler turns schemas into rules.
type compiler struct {
	*builder
	root  []byte            // the document that references point into
	refs  map[string]symbol // references that have a rule already
	space symbol            // optional white space
	value symbol            // any value
	str   symbol            // any string
	char  symbol            // a character of a string
	digit symbol

	kindCalls int // calls of kinds, which are bounded
}

// newCompiler makes the rules that all schemas share.
func newCompiler(root []byte) *compiler {
	c := &compiler{builder: newBuilder(), root: root, refs: make(map[string]symbol)}
	c.digit = c.bytes("09")
	// White space is bounded, because otherwise a model could write nothing else for ever.
	c.space = c.oneOf(nil, []symbol{c.literal(" ")},
		[]symbol{c.literal("\n"), c.repeat(c.literal(" "), 0, 16)})
	c.char = c.stringChar()
	c.str = c.quoted(c.repeat(c.char, 0, -1))
	c.value = c.reserve()
	c.rules[c.value] = [][]symbol{
		{c.str}, {c.number()}, {c.literal("true")}, {c.literal("false")}, {c.literal("null")},
		{c.array(c.value, 0, -1)}, {c.dictionary(c.value)},
	}
	return c
}

// finish makes the grammar.
func (c *compiler) finish(root symbol) (*Grammar, error) {
	g, err := c.build(root)
	if err != nil {
		return nil, &SchemaError{"#", "$schema", "cannot be kept to: " + err.Error()}
	}
	return g, nil
}

// annotations are keywords that do not change which values are valid. (format is one of them in
// JSON Schema unless a dialect says otherwise.)
var annotations = []string{
	"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default",
	"examples", "example", "deprecated", "readOnly", "writeOnly", "format",
	"contentMediaType", "contentEncoding",
}

// keywords are the supported keywords by the type that they belong to. Those under "" belong to no
// single type.
var keywords = map[string][]string{
	"":        {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"},
	"string":  {"minLength", "maxLength"},
	"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"number":  {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"array":   {"items", "minItems", "maxItems"},
	"object":  {"properties", "required", "additionalProperties"},
}

// schema compiles the schema at path.
func (c *compiler) schema(raw []byte, path string) (symbol, error) {
	raw = bytes.TrimSpace(raw)
	switch string(raw) {
	case "true", "{}":
		return c.value, nil
	case "false":
		return c.oneOf(), nil
	}
	var s map[string]json.RawMessage
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return 0, &SchemaError{path, "", "is not a schema: want an object or a boolean"}
	}
	for _, a := range annotations {
		delete(s, a)
	}
	if err := known(s, path); err != nil {
		return 0, err
	}
	for _, k := range []string{"$ref", "enum", "const", "anyOf", "oneOf", "allOf"} {
		if s[k] != nil {
			return c.combined(k, s, path)
		}
	}
	types, err := typesOf(s, path)
	if err != nil {
		return 0, err
	}
	if types == nil {
		if len(s) == 0 {
			return c.value, nil
		}
		types = []string{"string", "number", "boolean", "null", "array", "object"}
	}
	var alternatives [][]symbol
	for _, t := range types {
		sym, err := c.typed(t, s, path)
		if err != nil {
			return 0, err
		}
		alternatives = append(alternatives, []symbol{sym})
	}
	return c.oneOf(alternatives...), nil
}

// known refuses keywords that are not supported.
func known(s map[string]json.RawMessage, path string) error {
	var unknown []string
	for k := range s {
		found := false
		for _, list := range keywords {
			found = found || slices.Contains(list, k)
		}
		if !found {
			unknown = append(unknown, k)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return &SchemaError{path, slices.Min(unknown), "is not supported"}
}

// typesOf returns the types that a schema lists, nil if it has no keyword type.
func typesOf(s map[string]json.RawMessage, path string) ([]string, error) {
	raw, ok := s["type"]
	if !ok {
		return nil, nil
	}
	var one string
	var list []string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		list = []string{one}
	} else if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, &SchemaError{path, "type", "must be a type or a list of types"}
	}
	for _, t := range list {
		if _, ok := keywords[t]; (!ok || t == "") && t != "boolean" && t != "null" {
			return nil, &SchemaError{path, "type", fmt.Sprintf("has the unknown type %q", t)}
		}
	}
	return list, nil
}

// combined compiles a schema whose keyword k stands alone; only enum and const may have a type
// beside them.
func (c *compiler) combined(k string, s map[string]json.RawMessage, path string) (symbol, error) {
	for other := range s {
		if other != k && !(other == "type" && (k == "enum" || k == "const")) {
			return 0, &SchemaError{path, k, fmt.Sprintf("is not supported beside %q", other)}
		}
	}
	var list []json.RawMessage
	switch k {
	case "$ref":
		return c.ref(s[k], path)
	case "const":
		return c.values([]json.RawMessage{s[k]}, s, path)
	}
	if json.Unmarshal(s[k], &list) != nil || len(list) == 0 {
		return 0, &SchemaError{path, k, "must be a list, and not empty"}
	}
	if k == "enum" {
		return c.values(list, s, path)
	}
	if k == "allOf" && len(list) > 1 {
		return 0, &SchemaError{path, k, "is not supported with more than one schema"}
	}
	if k == "oneOf" && !c.disjoint(list) {
		return 0, &SchemaError{path, k, "is supported only for schemas of different types; use anyOf"}
	}
	var alternatives [][]symbol
	for i, sub := range list {
		sym, err := c.schema(sub, path+"/"+k+"/"+strconv.Itoa(i))
		if err != nil {
			return 0, err
		}
		alternatives = append(alternatives, []symbol{sym})
	}
	return c.oneOf(alternatives...), nil
}

// values compiles the values of a const or an enum, without those that the type beside it excludes.
func (c *compiler) values(list []json.RawMessage, s map[string]json.RawMessage,
	path string) (symbol, error) {
	types, err := typesOf(s, path)
	if err != nil {
		return 0, err
	}
	var alternatives [][]symbol
	for _, v := range list {
		if types == nil || slices.ContainsFunc(types, func(t string) bool { return isType(v, t) }) {
			alternatives = append(alternatives, []symbol{c.literal(canonical(v))})
		}
	}
	return c.oneOf(alternatives...), nil
}

// ref compiles the schema that a reference within the document points to, once.
func (c *compiler) ref(raw json.RawMessage, path string) (symbol, error) {
	var name string
	json.Unmarshal(raw, &name)
	if sym, ok := c.refs[name]; ok {
		return sym, nil
	}
	target, ok := c.resolve(name)
	if !ok {
		reason := fmt.Sprintf("points to %q, which is not in the schema", name)
		return 0, &SchemaError{path, "$ref", reason}
	}
	rule := c.reserve()
	c.refs[name] = rule
	sym, err := c.schema(target, name)
	c.rules[rule] = [][]symbol{{sym}}
	return rule, err
}

// resolve follows a JSON pointer (RFC 6901) of the form #/a/b.
func (c *compiler) resolve(name string) (json.RawMessage, bool) {
	pointer, ok := strings.CutPrefix(name, "#")
	if !ok || pointer != "" && pointer[0] != '/' {
		return nil, false
	}
	at := json.RawMessage(c.root)
	if pointer == "" {
		return at, true
	}
	for part := range strings.SplitSeq(pointer[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		var object map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(at, &object) == nil && object[part] != nil {
			at = object[part]
		} else if i, err := strconv.Atoi(part); err == nil && json.Unmarshal(at, &list) == nil &&
			i >= 0 && i < len(list) {
			at = list[i]
		} else {
			return nil, false
		}
	}
	return at, true
}
