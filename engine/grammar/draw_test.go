package grammar

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// random makes a schema. With refs it may refer to #/$defs/x.
func random(r *rand.Rand, depth int, refs bool) any {
	n := r.IntN(21)
	if depth == 0 {
		n %= 11
	}
	sub := func() any { return random(r, depth-1, refs) }
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
	case 18:
		object["properties"] = map[string]any{"a": sub(), "A": sub()}
		object["additionalProperties"] = false
	default:
		object["properties"] = map[string]any{"a": sub(), "b \"q": sub(), "c": sub()}
		object["required"] = []any{"c", "b \"q", "z"}
	}
	return object
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
	if ref, ok := s["$ref"].(string); ok {
		return d.deeper(follow(d.root, ref), depth)
	}
	for _, k := range []string{"anyOf", "oneOf", "allOf"} {
		if list, ok := s[k].([]any); ok {
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
		return string(text), err == nil
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

// number writes a number between the bounds of a schema.
func (d drawer) number(whole bool, s map[string]any) (string, bool) {
	low := max(math.Ceil(bound(s, "minimum", -1e9)),
		math.Floor(bound(s, "exclusiveMinimum", -1e9))+1)
	high := min(math.Floor(bound(s, "maximum", 1e9)),
		math.Ceil(bound(s, "exclusiveMaximum", 1e9))-1)
	if low > high {
		return "", false
	}
	n := int(low) + d.IntN(int(high-low)+1)
	fraction := ""
	if !whole && (n < 0 && float64(n) > low || n >= 0 && float64(n) < high) { // room away from 0
		fraction = []string{".5", ".0", ".25", ".999"}[d.IntN(4)]
		if n == 0 && low < 0 && d.IntN(2) == 0 {
			return "-0" + fraction, true
		}
	}
	if _, bounded := s["minimum"]; !bounded && len(s) == 1 && !whole {
		fraction += []string{"", "e0", "E+7", "e-42"}[d.IntN(4)]
	}
	return fmt.Sprint(n) + fraction, true
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
	for range d.count(s, "minItems", "maxItems") {
		item, ok := d.deeper(items, depth)
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
			if item, ok := d.deeper(more, depth); ok {
				pairs = append(pairs, d.str(d.IntN(3))+":"+d.space()+item+d.space())
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
