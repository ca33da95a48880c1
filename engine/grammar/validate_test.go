package grammar

import (
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

// valid implements JSON Schema by its definition, for the keywords that Schema supports. root is
// the document that references point into. Values are those of encoding/json.
func valid(root, schema any, v any) bool {
	s, ok := schema.(map[string]any)
	if !ok {
		return schema.(bool)
	}
	if ref, ok := s["$ref"].(string); ok {
		return valid(root, follow(root, ref), v)
	}
	if !validCombination(root, s, v) || !hasType(s["type"], v) {
		return false
	}
	switch v := v.(type) {
	case string:
		n := float64(utf8.RuneCountInString(v))
		return n >= bound(s, "minLength", 0) && n <= bound(s, "maxLength", 1e9)
	case float64:
		return v >= bound(s, "minimum", -1e300) && v <= bound(s, "maximum", 1e300) &&
			v > bound(s, "exclusiveMinimum", -1e300) && v < bound(s, "exclusiveMaximum", 1e300)
	case []any:
		for _, item := range v {
			if s["items"] != nil && !valid(root, s["items"], item) {
				return false
			}
		}
		n := float64(len(v))
		return n >= bound(s, "minItems", 0) && n <= bound(s, "maxItems", 1e9)
	case map[string]any:
		return validObject(root, s, v)
	}
	return true
}

// follow returns the schema that a reference points to.
func follow(root any, ref string) any {
	at := root
	for name := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
		if name != "" {
			at = at.(map[string]any)[name]
		}
	}
	return at
}

// bound returns a number of a schema, or preset if the schema has none.
func bound(s map[string]any, key string, preset float64) float64 {
	if n, ok := s[key].(float64); ok {
		return n
	}
	return preset
}

// validCombination checks the keywords that belong to no type.
func validCombination(root any, s map[string]any, v any) bool {
	count := func(key string) (n int) {
		for _, sub := range s[key].([]any) {
			if valid(root, sub, v) {
				n++
			}
		}
		return n
	}
	equal := func(c any) bool { return reflect.DeepEqual(c, v) }
	if s["anyOf"] != nil && count("anyOf") == 0 ||
		s["oneOf"] != nil && count("oneOf") != 1 ||
		s["allOf"] != nil && count("allOf") != len(s["allOf"].([]any)) {
		return false
	}
	if c, ok := s["const"]; ok && !equal(c) {
		return false
	}
	e, ok := s["enum"].([]any)
	for _, c := range e {
		if equal(c) {
			return true
		}
	}
	return !ok
}

// validObject checks the keywords that belong to objects.
func validObject(root any, s, v map[string]any) bool {
	properties, _ := s["properties"].(map[string]any)
	for name, item := range v {
		sub, ok := properties[name]
		if !ok {
			sub, ok = s["additionalProperties"]
		}
		if ok && !valid(root, sub, item) {
			return false
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return false
		}
	}
	return true
}

// hasType reports whether v is of a type or of one of a list of types; nil allows any type.
func hasType(types, v any) bool {
	switch t := types.(type) {
	case []any:
		for _, one := range t {
			if hasType(one, v) {
				return true
			}
		}
		return false
	case string:
		f, isNumber := v.(float64)
		switch t {
		case "integer":
			return isNumber && f == math.Trunc(f)
		case "number":
			return isNumber
		}
		kind := map[string]reflect.Kind{
			"string": reflect.String, "boolean": reflect.Bool, "array": reflect.Slice, "object": reflect.Map,
		}[t]
		return reflect.ValueOf(v).Kind() == kind // null has no kind
	}
	return true
}
