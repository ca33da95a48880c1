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

// stringChar is one character of a string, written as itself or escaped. A lone surrogate is not a
// character.
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

// quoted puts quotes around s.
func (c *compiler) quoted(s symbol) symbol { return c.seq(c.literal(`"`), s, c.literal(`"`)) }

// integer is any whole number of up to 15 digits, so that a float64 holds it exactly.
func (c *compiler) integer() symbol {
	return c.seq(c.optional(c.literal("-")), c.oneOf([]symbol{c.literal("0")},
		[]symbol{c.bytes("19"), c.repeat(c.digit, 0, 14)}))
}

// number is any number of up to 15 digits before and after the point and 2 in the exponent.
func (c *compiler) number() symbol {
	exponent := c.seq(c.bytes("eeEE"), c.optional(c.bytes("++--")), c.repeat(c.digit, 1, 2))
	return c.seq(c.integer(), c.optional(c.literal("."), c.repeat(c.digit, 1, 15)),
		c.optional(exponent))
}

// array is an array of low to high items; a negative high stands for no limit.
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

// dictionary is an object with any names.
func (c *compiler) dictionary(value symbol) symbol {
	pair := c.seq(c.str, c.literal(":"), c.space, value, c.space)
	more := c.repeat(c.seq(c.literal(","), c.space, pair), 0, -1)
	return c.seq(c.literal("{"), c.space, c.optional(pair, more), c.literal("}"))
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

// canonical writes a value without white space, which is the only way that the grammar knows. Bytes
// that are not UTF-8 become U+FFFD, which is also what encoding/json reads them as, because an
// answer must be UTF-8.
func canonical(v json.RawMessage) string {
	var b bytes.Buffer
	json.Compact(&b, v)
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// kindOf returns the type of a value; it does not tell integers from other numbers.
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

// isType reports whether a value is of type t.
func isType(v json.RawMessage, t string) bool {
	if t == "integer" {
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(v)), 64)
		return err == nil && f == math.Trunc(f)
	}
	return kindOf(v) == t
}

// kinds returns the kinds of value that a schema may allow, sorted, as kindOf names them. It
// returns false if they are not plain to see.
func (c *compiler) kinds(raw []byte, depth int) ([]string, bool) {
	var s struct {
		Type  json.RawMessage
		Ref   string `json:"$ref"`
		Const json.RawMessage
		Enum  []json.RawMessage
		AnyOf []json.RawMessage
	}
	c.kindCalls++
	if json.Unmarshal(raw, &s) != nil || depth > 20 || c.kindCalls > 1000 {
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

// disjoint reports whether no kind of value is allowed by two of the schemas.
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
