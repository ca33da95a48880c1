package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A SchemaError says which keyword of a schema cannot be guaranteed.
type SchemaError struct{ Path, Keyword, Reason string }

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

type compiler struct {
	*builder
	root  []byte
	refs  map[string]symbol
	space symbol
	value symbol
	str   symbol
	char  symbol
	digit symbol
	asked int // calls of kinds
}

func newCompiler(root []byte) *compiler {
	c := &compiler{builder: newBuilder(), root: root, refs: make(map[string]symbol)}
	c.digit = c.bytes("09")
	// White space is bounded, or a model could go on with nothing else.
	c.space = c.oneOf(nil, []symbol{c.literal(" ")}, []symbol{c.literal("\n"), c.repeat(c.literal(" "), 0, 16)})
	c.char = c.stringChar()
	c.str = c.quoted(c.repeat(c.char, 0, -1))
	c.value = c.reserve()
	c.rules[c.value] = [][]symbol{{c.str}, {c.number()}, {c.literal("true")}, {c.literal("false")}, {c.literal("null")},
		{c.array(c.value, 0, -1)}, {c.dictionary(c.value)}}
	return c
}

func (c *compiler) finish(root symbol) (*Grammar, error) {
	g, err := c.build(root)
	if err != nil {
		return nil, &SchemaError{"#", "$schema", "cannot be kept to: " + err.Error()}
	}
	return g, nil
}

// stringChar is one character of a string, written as itself or escaped. Lone surrogates are no characters.
func (c *compiler) stringChar() symbol {
	r, hex := c.bytes, c.bytes("09afAF")
	tail := r("\x80\xbf")
	return c.oneOf(
		[]symbol{r(" !#[]\x7f")},
		[]symbol{r("\xc2\xdf"), tail},
		[]symbol{r("\xe0\xe0"), r("\xa0\xbf"), tail},
		[]symbol{r("\xe1\xec\xee\xef"), tail, tail},
		[]symbol{r("\xed\xed"), r("\x80\x9f"), tail},
		[]symbol{r("\xf0\xf0"), r("\x90\xbf"), tail, tail},
		[]symbol{r("\xf1\xf3"), tail, tail, tail},
		[]symbol{r("\xf4\xf4"), r("\x80\x8f"), tail, tail},
		[]symbol{r("\\\\"), r("\"\"\\\\//bbffnnrrtt")},
		[]symbol{r("\\\\"), r("uu"), r("09acACefEF"), hex, hex, hex},
		[]symbol{r("\\\\"), r("uu"), r("ddDD"), r("07"), hex, hex},
	)
}

func (c *compiler) quoted(s symbol) symbol { return c.seq(c.literal(`"`), s, c.literal(`"`)) }

func (c *compiler) integer() symbol {
	return c.seq(c.optional(c.literal("-")), c.oneOf([]symbol{c.literal("0")}, []symbol{c.bytes("19"), c.repeat(c.digit, 0, 14)}))
}

func (c *compiler) number() symbol {
	exponent := c.seq(c.bytes("eeEE"), c.optional(c.bytes("++--")), c.repeat(c.digit, 1, 2))
	return c.seq(c.integer(), c.optional(c.literal("."), c.repeat(c.digit, 1, 15)), c.optional(exponent))
}

func (c *compiler) array(item symbol, low, high int) symbol {
	if high == 0 {
		return c.seq(c.literal("["), c.space, c.literal("]"))
	}
	if high > 0 {
		high--
	}
	more := c.repeat(c.seq(c.literal(","), c.space, item, c.space), max(low-1, 0), high)
	filled := c.seq(item, c.space, more)
	if low == 0 {
		filled = c.optional(filled)
	}
	return c.seq(c.literal("["), c.space, filled, c.literal("]"))
}

// dictionary is an object of any keys.
func (c *compiler) dictionary(value symbol) symbol {
	pair := c.seq(c.str, c.literal(":"), c.space, value, c.space)
	more := c.repeat(c.seq(c.literal(","), c.space, pair), 0, -1)
	return c.seq(c.literal("{"), c.space, c.optional(pair, more), c.literal("}"))
}

// annotations change nothing of what is valid. (format is one of them in JSON Schema unless a dialect says otherwise.)
var annotations = []string{"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default",

	"examples", "example", "deprecated", "readOnly", "writeOnly", "format", "contentMediaType", "contentEncoding"}

// keywords are the rest of what is understood, by the type they belong to; "" stands for those that say a type themselves.
var keywords = map[string][]string{
	"":        {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"},
	"string":  {"minLength", "maxLength"},
	"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"number":  {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"array":   {"items", "minItems", "maxItems"},
	"object":  {"properties", "required", "additionalProperties"},
}

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

// combined is a schema whose main keyword stands alone, but for a type beside values.
func (c *compiler) combined(k string, s map[string]json.RawMessage, path string) (symbol, error) {
	for other := range s {
		if other != k && !(other == "type" && (k == "enum" || k == "const")) {
			return 0, &SchemaError{path, k, fmt.Sprintf("is not supported beside %q", other)}
		}
	}
	at := path + "/" + k
	var list []json.RawMessage
	switch k {
	case "$ref":
		return c.ref(s[k], path)
	case "const":
		list = []json.RawMessage{s[k]}
	default:
		if json.Unmarshal(s[k], &list) != nil || len(list) == 0 {
			return 0, &SchemaError{path, k, "must be a list, and not empty"}
		}
	}
	var alternatives [][]symbol
	if k == "const" || k == "enum" {
		types, err := typesOf(s, path)
		if err != nil {
			return 0, err
		}
		for _, v := range list {
			if types == nil || slices.ContainsFunc(types, func(t string) bool { return isType(v, t) }) {
				alternatives = append(alternatives, []symbol{c.literal(canonical(v))})
			}
		}
		return c.oneOf(alternatives...), nil
	}
	if k == "allOf" && len(list) > 1 {
		return 0, &SchemaError{path, k, "is not supported with more than one schema"}
	}
	if k == "oneOf" && !c.disjoint(list) {
		return 0, &SchemaError{path, k, "is supported only where the types of its schemas differ; use anyOf"}
	}
	for i, sub := range list {
		sym, err := c.schema(sub, at+"/"+strconv.Itoa(i))
		if err != nil {
			return 0, err
		}
		alternatives = append(alternatives, []symbol{sym})
	}
	return c.oneOf(alternatives...), nil
}

// canonical writes a value down in the one way that the grammar knows.
func canonical(v json.RawMessage) string {
	var b bytes.Buffer
	json.Compact(&b, v)
	return b.String()
}

func kindOf(v json.RawMessage) string {
	switch v = bytes.TrimSpace(v); v[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

func isType(v json.RawMessage, t string) bool {
	if t == "integer" {
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(v)), 64)
		return err == nil && f == math.Trunc(f)
	}
	return kindOf(v) == t
}

// kinds are the kinds of value that a schema allows, sorted, where that is plain to see.
func (c *compiler) kinds(raw []byte, depth int) ([]string, bool) {
	var s struct {
		Type  json.RawMessage
		Ref   string `json:"$ref"`
		Const json.RawMessage
		Enum  []json.RawMessage
		AnyOf []json.RawMessage
	}
	c.asked++
	if json.Unmarshal(raw, &s) != nil || depth > 20 || c.asked > 1000 {
		return nil, false
	}
	var kinds []string
	switch {
	case s.Type != nil:
		types, err := typesOf(map[string]json.RawMessage{"type": s.Type}, "")
		if err != nil {
			return nil, false
		}
		for _, t := range types {
			kinds = append(kinds, strings.Replace(t, "integer", "number", 1))
		}
	case s.Const != nil:
		kinds = []string{kindOf(s.Const)}
	case s.Enum != nil:
		for _, v := range s.Enum {
			kinds = append(kinds, kindOf(v))
		}
	case s.Ref != "":
		target, ok := c.resolve(s.Ref)
		if !ok {
			return nil, false
		}
		return c.kinds(target, depth+1)
	case s.AnyOf != nil:
		for _, sub := range s.AnyOf {
			k, ok := c.kinds(sub, depth+1)
			if !ok {
				return nil, false
			}
			kinds = append(kinds, k...)
		}
	default:
		return nil, false
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), true
}

func (c *compiler) disjoint(list []json.RawMessage) bool {
	seen := make(map[string]bool)
	for _, sub := range list {
		kinds, ok := c.kinds(sub, 0)
		if !ok {
			return false
		}
		for _, k := range kinds {
			if seen[k] {
				return false
			}
			seen[k] = true
		}
	}
	return true
}

// ref compiles what a reference within the document points to, once.
func (c *compiler) ref(raw json.RawMessage, path string) (symbol, error) {
	var name string
	json.Unmarshal(raw, &name)
	if sym, ok := c.refs[name]; ok {
		return sym, nil
	}
	target, ok := c.resolve(name)
	if !ok {
		return 0, &SchemaError{path, "$ref", fmt.Sprintf("points to %q, which is not in the schema", name)}
	}
	rule := c.reserve()
	c.refs[name] = rule
	sym, err := c.schema(target, name)
	c.rules[rule] = [][]symbol{{sym}}
	return rule, err
}

// resolve follows a JSON pointer.
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
		} else if i, err := strconv.Atoi(part); err == nil && json.Unmarshal(at, &list) == nil && i >= 0 && i < len(list) {
			at = list[i]
		} else {
			return nil, false
		}
	}
	return at, true
}

// most is the largest count that is unrolled into rules.
const most = 2000
