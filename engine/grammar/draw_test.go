package grammar

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// The kinds of schemas that random makes. Of the first ones a grammar has all the values that the
// package comment says, and of the others perhaps fewer.
const (
	drawnKinds = 37
	allKinds   = 50
)

// random makes a schema of the first kinds. With refs it may refer to #/$defs/x.
func random(r *rand.Rand, kinds, depth int, refs bool) any {
	n := r.IntN(kinds)
	if depth == 0 {
		n = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 26, 27, 28, 29, 30, 31}[r.IntN(17)]
	}
	sub := func() any { return random(r, kinds, depth-1, refs) }
	low, more := r.IntN(4), r.IntN(4)
	object := map[string]any{"type": "object"}
	switch n {
	case 0:
		return map[string]any{"type": "string", "minLength": low, "maxLength": low + more}
	case 1:
		return map[string]any{"type": "integer", "minimum": r.IntN(2000) - 1000,
			"exclusiveMaximum": r.IntN(2000)}
	case 2:
		return map[string]any{"type": "number", "exclusiveMinimum": float64(r.IntN(200)-100) / 8,
			"maximum": 3 + r.IntN(300)}
	case 3:
		return map[string]any{"enum": []any{"a", 1, "é\n", nil, true, []any{1}},
			"type": []any{"string", "null", "array"}}
	case 4:
		return map[string]any{"const": map[string]any{"k": "<&>"}}
	case 5:
		return map[string]any{"type": []any{"boolean", "null", "integer"}}
	case 6:
		return map[string]any{"type": "number"}
	case 7:
		return map[string]any{"type": "number", "minimum": float64(r.IntN(80)-40) / 4,
			"exclusiveMaximum": float64(r.IntN(80)-40) / 4}
	case 8:
		return map[string]any{"type": []any{"string", "integer"}, "minLength": low,
			"maximum": -r.IntN(99)}
	case 9:
		return r.IntN(4) > 0
	case 10:
		if refs {
			return map[string]any{"$ref": "#/$defs/x"}
		}
		return map[string]any{"description": "anything"}
	case 11, 12:
		return map[string]any{"type": "array", "items": sub(), "minItems": low,
			"maxItems": low + more}
	case 13:
		return map[string]any{"minItems": low, "minLength": low, "minimum": 3, "items": sub()}
	case 14:
		object["additionalProperties"] = sub()
	case 15:
		return map[string]any{"anyOf": []any{sub(), sub()}}
	case 16:
		return map[string]any{"allOf": []any{sub()}}
	case 17:
		self := map[string]any{"type": "object",
			"properties": map[string]any{"self": map[string]any{"$ref": "#"}}}
		return map[string]any{"oneOf": []any{self, map[string]any{"type": "string"}}}
	case 21:
		object["properties"] = map[string]any{"a": sub(), "b": sub(), "c": true}
		object["minProperties"], object["maxProperties"] = low, low+more
		object["x-order"] = 1
	case 22:
		return map[string]any{"anyOf": []any{sub(), sub()}, "type": []any{"object", "string",
			"number"}, "nullable": true}
	case 23:
		return map[string]any{"oneOf": []any{tagged("a", sub()), tagged("b", sub())},
			"discriminator": map[string]any{"propertyName": "tag"}}
	case 24:
		return map[string]any{"allOf": []any{sub(), map[string]any{"description": "a note"}}}
	case 25:
		return map[string]any{"type": "array", "prefixItems": []any{sub(), sub()},
			"items": sub(), "minItems": low, "maxItems": low + more}
	case 26, 27:
		p := patternSamples[r.IntN(len(patternSamples))]
		return map[string]any{"type": "string", "pattern": p.pattern, "minLength": r.IntN(3),
			"maxLength": 3 + r.IntN(60)}
	case 28:
		names := slices.Sorted(maps.Keys(formatSamples))
		return map[string]any{"type": []any{"string", "null"}, "format": names[r.IntN(len(names))]}
	case 29:
		return map[string]any{"type": "number", "minimum": float64(r.IntN(4000)-2000) / 1000,
			"exclusiveMinimum": r.IntN(2) == 0, "maximum": float64(r.IntN(4000)) / 1000}
	case 30:
		return map[string]any{"type": []string{"number", "integer"}[r.IntN(2)],
			"multipleOf": []float64{0.25, 0.5, 1, 3, 20}[r.IntN(5)], "minimum": -r.IntN(200),
			"exclusiveMaximum": r.IntN(1000)}
	case 31:
		return map[string]any{"oneOf": []any{map[string]any{"enum": []any{"a", "b", 1}},
			map[string]any{"enum": []any{"b", "c", 1.0}}}, "enum": []any{"c", "b", "a"}}
	case 32:
		object["patternProperties"] = map[string]any{"^[a-c]+$": sub(), "^x-": sub()}
		object["additionalProperties"] = sub()
	case 33:
		object["propertyNames"] = map[string]any{"pattern": "^[a-z]{1,3}$"}
		object["maxProperties"] = more
	case 37:
		return map[string]any{"oneOf": []any{sub(), sub(), map[string]any{"const": "a"}}}
	case 38, 39:
		return map[string]any{"allOf": []any{sub(), map[string]any{"not": sub()}}}
	case 40:
		return map[string]any{"not": sub()}
	case 41:
		return map[string]any{"if": sub(), "then": sub(), "else": sub()}
	case 42:
		return map[string]any{"type": "object", "properties": map[string]any{"a": sub(), "b": sub()},
			"if":   map[string]any{"properties": map[string]any{"a": sub()}, "required": []any{"a"}},
			"then": map[string]any{"required": []any{"b"}}, "else": sub()}
	case 43:
		return map[string]any{"type": "array", "contains": sub(), "items": sub()}
	case 44:
		return map[string]any{"type": "array", "contains": sub(), "minContains": low,
			"maxContains": low + more, "maxItems": 5}
	case 45:
		object["properties"] = map[string]any{"a": sub(), "b": sub(), "c": true}
		object["dependentRequired"] = map[string]any{"a": []any{"b"}}
		object["dependentSchemas"] = map[string]any{"c": sub()}
	case 46:
		return map[string]any{"oneOf": []any{sub(), sub()}}
	case 47:
		return map[string]any{"not": map[string]any{"anyOf": []any{sub(), sub()}}}
	case 48:
		return map[string]any{"not": map[string]any{"oneOf": []any{sub(), sub(), sub()}}}
	case 49:
		return map[string]any{"allOf": []any{map[string]any{"not": sub()},
			map[string]any{"not": sub()}, sub()}}
	case 34:
		return map[string]any{"allOf": []any{sub(), sub()}}
	case 35:
		return map[string]any{"type": "object", "anyOf": []any{
			map[string]any{"required": []any{"a"}}, map[string]any{"required": []any{"b"}}},
			"properties": map[string]any{"a": sub(), "b": sub()}}
	case 36:
		return map[string]any{"allOf": []any{sub(), map[string]any{"anyOf": []any{sub(), sub()}}}}
	case 18:
		object["properties"] = map[string]any{"a": sub(), "A": sub()}
		object["additionalProperties"] = false
	default:
		object["properties"] = map[string]any{"a": sub(), "b \"q": sub(), "c": sub()}
		object["required"] = []any{"c", "b \"q", "z"}
	}
	return object
}

// tagged makes an object with a tag.
func tagged(tag string, other any) any {
	return map[string]any{"type": "object", "required": []any{"tag"}, "properties": map[string]any{
		"tag": map[string]any{"const": tag, "enum": []any{tag}}, "other": other}}
}

// patternSamples are regular expressions and strings in which they match. They mean the same in
// the tests' validator, which is package regexp: there a dot and \s are others.
var patternSamples = []struct {
	pattern string
	samples []string
}{
	{"^[0-9]{5}$", []string{"12345"}},
	{"b+", []string{"b", "abba", "\u00e9b", "bb😀"}},
	{"^(?:ab|c)*d?$", []string{"", "abc", "ccd"}},
	{`^[^ @]+@[a-z.]+$`, []string{"a@b.c", "é!@x"}},
	{`\d"|[\t\n]$`, []string{`a5"b`, "x\t", "\n"}},
	{"^[^q]{2,}|^$", []string{"", "ab", "éé."}},
	{"^[à-öøЀ-ӿ𐀀-🿿]+$", []string{"ø", "àЖ😀"}},
	{"^(a|b)*a(a|b){3}$", []string{"aabb", "babab"}},
	{"x$|^y", []string{"x", "ax", "yz"}},
}

// formatSamples are strings that have a format.
var formatSamples = map[string][]string{
	"date-time": {"2024-02-29T23:59:59Z", "1999-12-31T00:00:00.123+01:30"},
	"date":      {"2000-02-29", "0001-01-01", "2023-11-30"},
	"time":      {"12:00:00Z", "00:00:59.5-08:00"},
	"duration":  {"P3W", "P1DT12H", "PT5M", "P1Y2M3DT4H5M6S"},
	"email":     {"a.b@example.com", "x+y@a-b.example.org"},
	"hostname":  {"localhost", "a-1.example.com"},
	"ipv4":      {"0.0.0.0", "255.249.99.1"},
	"ipv6":      {"::", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "1::", "2001:db8::ff:0"},
	"uuid":      {"123e4567-e89b-12d3-a456-426614174000"},
	"uuid4":     {"f47ac10b-58cc-4372-a567-0e02b2c3d479"},
	"uuid7":     {"017F22E2-79B0-7CC3-98C4-DC0C0C07398F"},
	"regex":     {"", "^[a-z]+$", `\d+`, "a|b.*?|[^A-Z0-9_]", `x\.y\s?`},

	"relative-json-pointer": {"0", "0#", "12/a~1b/0"},
	"ipvanyaddress":         {"10.0.0.1", "2001:db8::1"},
	"uri": {"http://example.com", "https://a.b:8080/c/d?e=f%20&g#h", "urn:isbn:0451450523",
		"file:///etc/hosts", "postgres://me:secret@db.example.com:5432/x", "mailto:a@b.c"},
}

// A drawer draws values that are valid under a schema and writes them as the package comment says
// that a grammar can. Schemas are those of encoding/json, with properties in alphabetical order.
type drawer struct {
	*rand.Rand
	root any
}

// draw writes a value. It returns false if it found none, which it does for schemas that allow none
// and for some that allow only deep ones.
func (d drawer) draw(schema any, depth int) (string, bool) {
	s, ok := schema.(map[string]any)
	if !ok && !schema.(bool) {
		return "", false
	}
	text, ok := d.drawOne(s, depth)
	var v any
	if !ok || json.Unmarshal([]byte(text), &v) != nil {
		return "", false
	}
	// Some schemas are a conjunction, of which only a part has been looked at.
	return text, valid(d.root, schema, v)
}

func (d drawer) drawOne(s map[string]any, depth int) (string, bool) {
	if ref, ok := s["$ref"].(string); ok {
		return d.deeper(follow(d.root, ref), depth)
	}
	for _, k := range []string{"anyOf", "oneOf", "allOf"} {
		list, ok := s[k].([]any)
		if ok && k == "allOf" && len(list) > 1 {
			if note, ok := list[1].(map[string]any); !ok || note["description"] == nil {
				return "", false // the order of properties would be another
			}
		}
		if ok && s["properties"] == nil {
			if k == "allOf" {
				list = list[:1]
			}
			return d.deeper(list[d.IntN(len(list))], depth)
		}
	}
	values, ok := s["enum"].([]any)
	if c, isConst := s["const"]; isConst {
		values, ok = []any{c}, true
	}
	if ok {
		values = slices.DeleteFunc(slices.Clone(values), func(v any) bool {
			return !hasType(s["type"], v)
		})
		if len(values) == 0 {
			return "", false
		}
		text, err := json.Marshal(values[d.IntN(len(values))])
		return string(parse(text).root.write(nil)), err == nil
	}
	types, ok := s["type"].([]any)
	if one, isOne := s["type"].(string); isOne {
		types, ok = []any{one}, true
	}
	if !ok {
		types = []any{"string", "number", "boolean", "null", "array", "object"}
	}
	return d.typed(types[d.IntN(len(types))].(string), s, depth)
}

func (d drawer) deeper(schema any, depth int) (string, bool) {
	if depth == 0 {
		return "", false
	}
	return d.draw(schema, depth-1)
}

// typed writes a value of one type.
func (d drawer) typed(t string, s map[string]any, depth int) (string, bool) {
	switch t {
	case "boolean":
		return []string{"false", "true"}[d.IntN(2)], true
	case "null":
		return "null", true
	case "string":
		if samples := samplesOf(s); samples != nil {
			return quote(samples[d.IntN(len(samples))]), true
		}
		return d.str(d.count(s, "minLength", "maxLength")), true
	case "integer", "number":
		return d.number(t == "integer", s)
	case "array":
		return d.array(s, depth)
	}
	return d.object(s, depth)
}

// count draws a number between two bounds.
func (d drawer) count(s map[string]any, low, high string) int {
	from := int(bound(s, low, 0))
	to := int(bound(s, high, float64(from+3)))
	return from + d.IntN(to-from+1)
}

// str writes a string of n characters.
func (d drawer) str(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString([]string{"a", "Z", " ", "\x7f", "é", "\u2028", "\ufffd", "😀", `\n`, `\"`,
			`\\`, `\/`, `\u00e9`,
			`\uD7ff`, `\ue000`, "{", "]", ":"}[d.IntN(18)])
	}
	return `"` + b.String() + `"`
}

// samplesOf returns strings for a pattern or format.
func samplesOf(s map[string]any) []string {
	for _, p := range patternSamples {
		if s["pattern"] == p.pattern {
			return p.samples
		}
	}
	format, _ := s["format"].(string)
	return formatSamples[format]
}

// number writes a number between the bounds of a schema, in thousandths if it need not be whole.
func (d drawer) number(whole bool, s map[string]any) (string, bool) {
	low := max(bound(s, "minimum", -1e9), bound(s, "exclusiveMinimum", -1e9))
	high := min(bound(s, "maximum", 1e9), bound(s, "exclusiveMaximum", 1e9))
	unit := 1.0
	if whole {
		unit = 1000
	}
	unit = max(unit, 1000*bound(s, "multipleOf", 0))
	if whole && math.Mod(unit, 1000) != 0 {
		unit *= 4
	}
	from, to := math.Ceil(low*1000/unit), math.Floor(high*1000/unit)
	if from > to {
		return "", false
	}
	n := (int(from) + d.IntN(int(to-from)+1)) * int(unit)
	if !whole && d.IntN(4) == 0 && float64(n/1000*1000) >= low*1000 {
		n = n / 1000 * 1000
	}
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	fraction := ""
	if !whole && (n%1000 != 0 || bound(s, "multipleOf", 0.5) < 1 && d.IntN(2) == 0) {
		fraction = fmt.Sprintf(".%03d", n%1000)
		if d.IntN(2) == 0 || s["multipleOf"] != nil {
			fraction = strings.TrimSuffix(strings.TrimRight(fraction, "0"), ".")
		}
	}
	if len(s) == 1 && !whole {
		fraction += []string{"", "e0", "E+7", "e-42"}[d.IntN(4)]
	}
	return sign + fmt.Sprint(n/1000) + fraction, true
}

// space writes white space.
func (d drawer) space() string {
	return []string{"", "", " ", "\n" + strings.Repeat(" ", d.IntN(17))}[d.IntN(4)]
}

func (d drawer) array(s map[string]any, depth int) (string, bool) {
	items, ok := s["items"]
	if !ok {
		items = true
	}
	var list []string
	prefix, _ := s["prefixItems"].([]any)
	for i := range d.count(s, "minItems", "maxItems") {
		sub := items
		if i < len(prefix) {
			sub = prefix[i]
		}
		item, ok := d.deeper(sub, depth)
		if !ok && float64(len(list)) >= bound(s, "minItems", 0) {
			break
		}
		if !ok {
			return "", false
		}
		list = append(list, item+d.space())
	}
	if len(list) == 0 {
		return "[" + d.space() + "]", true
	}
	return "[" + d.space() + d.join(list) + "]", true
}

// join writes elements with commas between them.
func (d drawer) join(list []string) string {
	text := list[0]
	for _, element := range list[1:] {
		text += "," + d.space() + element
	}
	return text
}

func (d drawer) object(s map[string]any, depth int) (string, bool) {
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	more, ok := s["additionalProperties"]
	if !ok {
		more = true
	}
	names := slices.Sorted(maps.Keys(properties))
	for _, name := range required {
		if _, ok := properties[name.(string)]; !ok {
			names = append(names, name.(string))
		}
	}
	var pairs []string
	if len(names) == 0 {
		for range d.IntN(3) {
			name, sub := d.str(d.IntN(3)), more
			if s["propertyNames"] != nil || s["patternProperties"] != nil {
				name = []string{`"a"`, `"abc"`, `"x-é"`, `"yY"`, `"zzz"`}[d.IntN(5)]
			}
			if patterns, ok := s["patternProperties"].(map[string]any); ok {
				for p, one := range patterns {
					if regexp.MustCompile(p).MatchString(strings.Trim(name, `"`)) {
						sub = one
					}
				}
			}
			item, ok := d.deeper(sub, depth)
			if ok && !slices.ContainsFunc(pairs, func(p string) bool { return strings.HasPrefix(p, name) }) {
				pairs = append(pairs, name+":"+d.space()+item+d.space())
			}
		}
	}
	for _, name := range names {
		needed := slices.Contains(required, any(name))
		if !needed && d.IntN(2) == 0 {
			continue
		}
		sub, ok := properties[name]
		if !ok {
			sub = more
		}
		item, ok := d.deeper(sub, depth)
		if ok {
			pairs = append(pairs, quote(name)+":"+d.space()+item+d.space())
		} else if needed {
			return "", false
		}
	}
	if len(pairs) == 0 {
		return "{" + d.space() + "}", true
	}
	return "{" + d.space() + d.join(pairs) + "}", true
}
