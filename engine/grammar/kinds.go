package grammar

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

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
