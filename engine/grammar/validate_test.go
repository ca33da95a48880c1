package grammar

import (
	"encoding/json"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// valid implements JSON Schema by its definition, for the keywords that Schema supports. root is
// the document that references point into. Values are those of encoding/json.
func valid(root, schema any, v any) bool {
	s, ok := schema.(map[string]any)
	if !ok {
		return schema.(bool)
	}
	if ref, ok := s["$ref"].(string); ok && !valid(root, follow(root, ref), v) {
		return false
	}
	if not, ok := s["not"]; ok && valid(root, not, v) {
		return false
	}
	if condition, ok := s["if"]; ok {
		sub := s["else"]
		if valid(root, condition, v) {
			sub = s["then"]
		}
		if sub != nil && !valid(root, sub, v) {
			return false
		}
	}
	if !validCombination(root, s, v) || !hasType(s["type"], v) {
		return false
	}
	switch v := v.(type) {
	case string:
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			return false
		}
		if f, ok := s["format"].(string); ok && !hasFormat(f, v) {
			return false
		}
		n := float64(utf8.RuneCountInString(v))
		return n >= bound(s, "minLength", 0) && n <= bound(s, "maxLength", 1e9)
	case float64:
		if s["exclusiveMinimum"] == true && v == bound(s, "minimum", -1e300) ||
			s["exclusiveMaximum"] == true && v == bound(s, "maximum", 1e300) ||
			!isMultiple(v, bound(s, "multipleOf", v)) {
			return false
		}
		return v >= bound(s, "minimum", -1e300) && v <= bound(s, "maximum", 1e300) &&
			v > bound(s, "exclusiveMinimum", -1e300) && v < bound(s, "exclusiveMaximum", 1e300)
	case []any:
		prefix, _ := s["prefixItems"].([]any)
		rest := s["items"]
		if list, ok := rest.([]any); ok {
			if prefix == nil {
				prefix = list
			}
			rest = s["additionalItems"]
		}
		for i, item := range v {
			sub := rest
			if i < len(prefix) {
				sub = prefix[i]
			}
			if sub != nil && !valid(root, sub, item) {
				return false
			}
		}
		n, matches := float64(len(v)), 0.0
		if sub, ok := s["contains"]; ok {
			for _, item := range v {
				matches += float64(btoi(valid(root, sub, item)))
			}
			if matches < bound(s, "minContains", 1) || matches > bound(s, "maxContains", 1e9) {
				return false
			}
		}
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
		sub, named := properties[name]
		if named && !valid(root, sub, item) {
			return false
		}
		patterns, _ := s["patternProperties"].(map[string]any)
		for p, sub := range patterns {
			if regexp.MustCompile(p).MatchString(name) {
				if named = true; !valid(root, sub, item) {
					return false
				}
			}
		}
		if sub, ok := s["additionalProperties"]; ok && !named && !valid(root, sub, item) {
			return false
		}
		if sub, ok := s["propertyNames"]; ok && !valid(root, sub, name) {
			return false
		}
	}
	if n := float64(len(v)); n < bound(s, "minProperties", 0) ||
		n > bound(s, "maxProperties", 1e9) {
		return false
	}
	for _, k := range []string{"dependentSchemas", "dependentRequired", "dependencies"} {
		depend, _ := s[k].(map[string]any)
		for name, sub := range depend {
			if list, ok := sub.([]any); ok {
				sub = map[string]any{"required": list}
			}
			if _, there := v[name]; there && !valid(root, sub, v) {
				return false
			}
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

// isMultiple reports whether v is a multiple of step, but for rounding.
func isMultiple(v, step float64) bool {
	q := v / step
	return v == 0 || math.Abs(q-math.Round(q)) <= 1e-9*math.Abs(q)
}

// hasFormat reports whether a string has a format, as other libraries see it.
func hasFormat(format, s string) bool {
	layout := map[string]string{"date-time": time.RFC3339, "date": time.DateOnly,
		"time": "15:04:05Z07:00"}[format]
	switch format {
	case "date-time", "date", "time":
		t, err := time.Parse(layout, s)
		return err == nil && (format == "time" || t.Year() > 0)
	case "ipv4", "ipv6":
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4() == (format == "ipv4") && a.Zone() == ""
	case "email":
		a, err := mail.ParseAddress(s)
		return err == nil && a.Address == s && hasFormat("hostname", s[strings.Index(s, "@")+1:])
	case "uri":
		u, err := url.Parse(s)
		return err == nil && u.Scheme != "" && u.Host+u.Opaque+u.Path != ""
	case "hostname":
		for label := range strings.SplitSeq(s, ".") {
			if len(label) < 1 || len(label) > 63 || strings.HasPrefix(label, "-") ||
				strings.HasSuffix(label, "-") || !regexp.MustCompile(`^[0-9A-Za-z-]*$`).MatchString(label) {
				return false
			}
		}
		return len(s) <= 253
	case "uuid":
		return regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s)
	case "uuid4", "uuid7":
		return hasFormat("uuid", s) && s[14] == format[4] && strings.Contains("89abAB", s[19:20])
	case "regex":
		_, err := regexp.Compile(unescaped(s))
		return err == nil
	case "relative-json-pointer":
		return regexp.MustCompile(`^(0|[1-9]\d*)(#|(/([^~/]|~[01])*)*)$`).MatchString(unescaped(s))
	case "ipvanyaddress":
		return hasFormat("ipv4", s) || hasFormat("ipv6", s)
	case "duration":
		return regexp.MustCompile(`^P(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?)$`).
			MatchString(s) && s != "P" && !strings.HasSuffix(s, "T")
	}
	return true
}

// unescaped returns the string that s encodes in JSON, and s itself where s is not valid JSON.
func unescaped(s string) string {
	var text string
	if json.Unmarshal([]byte(`"`+s+`"`), &text) != nil {
		return s
	}
	return text
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
