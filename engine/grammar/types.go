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

// typed is the values of one type, under the keywords that belong to it.
func (c *compiler) typed(t string, s map[string]json.RawMessage, path string) (symbol, error) {
	switch t {
	case "boolean":
		return c.oneOf([]symbol{c.literal("true")}, []symbol{c.literal("false")}), nil
	case "null":
		return c.literal("null"), nil
	case "string":
		low, high, err := bounds(s, path, "minLength", "maxLength")
		if low == 0 && high < 0 || err != nil {
			return c.str, err
		}
		return c.quoted(c.repeat(c.char, low, high)), nil
	case "integer", "number":
		return c.numeric(t == "integer", s, path)
	case "array":
		low, high, err := bounds(s, path, "minItems", "maxItems")
		if err != nil {
			return 0, err
		}
		item := c.value
		if s["items"] != nil {
			if item, err = c.schema(s["items"], path+"/items"); err != nil {
				return 0, err
			}
		}
		return c.array(item, low, high), nil
	default:
		return c.object(s, path)
	}
}

func bounds(s map[string]json.RawMessage, path, lowKey, highKey string) (low, high int, err error) {
	high = -1
	for _, b := range []struct {
		key string
		at  *int
	}{{lowKey, &low}, {highKey, &high}} {
		if raw := s[b.key]; raw != nil {
			if json.Unmarshal(raw, b.at) != nil || *b.at < 0 || *b.at > most {
				return 0, 0, &SchemaError{path, b.key, fmt.Sprintf("must be a whole number of 0 to %d", most)}
			}
		}
	}
	if high >= 0 && low > high {
		return 0, 0, &SchemaError{path, lowKey, "is more than " + highKey}
	}
	return low, high, nil
}

// object has its properties in the order of the schema. Others, where they are allowed, are written only by schemas that
// name none.
func (c *compiler) object(s map[string]json.RawMessage, path string) (symbol, error) {
	names, schemas, err := properties(s["properties"], path)
	if err != nil {
		return 0, err
	}
	var required []string
	if s["required"] != nil && json.Unmarshal(s["required"], &required) != nil {
		return 0, &SchemaError{path, "required", "must be a list of names"}
	}
	more := s["additionalProperties"]
	for _, r := range required {
		if slices.Contains(names, r) {
			continue
		}
		if string(more) == "false" {
			return 0, &SchemaError{path, "required", fmt.Sprintf("names %q, which is no property", r)}
		}
		names, schemas = append(names, r), append(schemas, orTrue(more))
	}
	if len(names) == 0 {
		if string(more) == "false" {
			return c.seq(c.literal("{"), c.space, c.literal("}")), nil
		}
		value, err := c.schema(orTrue(more), path+"/additionalProperties")
		return c.dictionary(value), err
	}
	if more != nil { // checked, though none are written
		if _, err := c.schema(more, path+"/additionalProperties"); err != nil {
			return 0, err
		}
	}
	// rest[i] is the properties from i on, with and without one in front of them.
	first, then := c.literal("}"), c.literal("}")
	for i := len(names) - 1; i >= 0; i-- {
		value, err := c.schema(schemas[i], path+"/properties/"+names[i])
		if err != nil {
			return 0, err
		}
		pair := c.seq(c.literal(quote(names[i])), c.literal(":"), c.space, value, c.space, then)
		comma := c.seq(c.literal(","), c.space, pair)
		if slices.Contains(required, names[i]) {
			first, then = pair, comma
		} else {
			first, then = c.oneOf([]symbol{pair}, []symbol{first}), c.oneOf([]symbol{comma}, []symbol{then})
		}
	}
	return c.seq(c.literal("{"), c.space, first), nil
}

func orTrue(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("true")
	}
	return raw
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string: cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// properties are the names and schemas in their order.
func properties(raw json.RawMessage, path string) (names []string, schemas []json.RawMessage, err error) {
	if raw == nil {
		return nil, nil, nil
	}
	bad := &SchemaError{path, "properties", "must be an object of schemas, each name once"}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, bad
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var schema json.RawMessage
		if err != nil || !ok || slices.Contains(names, name) || d.Decode(&schema) != nil {
			return nil, nil, bad
		}
		names, schemas = append(names, name), append(schemas, schema)
	}
	return names, schemas, nil
}

// numeric is the numbers between the bounds, which are taken as whole ones, inward.
func (c *compiler) numeric(whole bool, s map[string]json.RawMessage, path string) (symbol, error) {
	const limit = 1e9
	low, high := math.Inf(-1), math.Inf(1)
	for _, k := range keywords["number"] {
		if s[k] == nil {
			continue
		}
		var v float64
		if json.Unmarshal(s[k], &v) != nil || math.Abs(v) > limit {
			return 0, &SchemaError{path, k, fmt.Sprintf("must be a number of at most %g either way", limit)}
		}
		switch k {
		case "minimum":
			low = max(low, math.Ceil(v))
		case "exclusiveMinimum":
			low = max(low, math.Floor(v)+1)
		case "maximum":
			high = min(high, math.Floor(v))
		case "exclusiveMaximum":
			high = min(high, math.Ceil(v)-1)
		}
	}
	if math.IsInf(low, -1) && math.IsInf(high, 1) {
		if whole {
			return c.integer(), nil
		}
		return c.number(), nil
	}
	a, b := int64(max(low, -limit*1000)), int64(min(high, limit*1000))
	alternatives := [][]symbol{{c.wholes(a, b)}}
	if !whole { // n.f lies between n and n+1
		fraction := c.seq(c.literal("."), c.repeat(c.digit, 1, 3))
		alternatives = append(alternatives, []symbol{c.ranged(max(a, 0), b-1), fraction})
		alternatives = append(alternatives, []symbol{c.literal("-"), c.ranged(max(-b, 0), -a-1), fraction})
	}
	return c.oneOf(alternatives...), nil
}

// wholes is the integers of a range.
func (c *compiler) wholes(a, b int64) symbol {
	return c.oneOf([]symbol{c.ranged(max(a, 0), b)}, []symbol{c.literal("-"), c.ranged(max(-b, 1), -a)})
}

// ranged is the integers of a range that is not negative, none where a > b.
func (c *compiler) ranged(a, b int64) symbol {
	var alternatives [][]symbol
	for a <= b {
		digits := strconv.FormatInt(a, 10)
		to := min(b, int64(math.Pow10(len(digits)))-1)
		alternatives = append(alternatives, []symbol{c.digits(digits, strconv.FormatInt(to, 10))})
		a = to + 1
	}
	return c.oneOf(alternatives...)
}

// digits is the numbers from a to b, which have equally many digits.
func (c *compiler) digits(a, b string) symbol {
	if a == "" {
		return c.seq()
	}
	if a[0] == b[0] {
		return c.seq(c.literal(a[:1]), c.digits(a[1:], b[1:]))
	}
	n := len(a) - 1
	alternatives := [][]symbol{
		{c.literal(a[:1]), c.digits(a[1:], strings.Repeat("9", n))},
		{c.literal(b[:1]), c.digits(strings.Repeat("0", n), b[1:])},
	}
	if a[0]+1 < b[0] {
		alternatives = append(alternatives, []symbol{c.bytes(string([]byte{a[0] + 1, b[0] - 1})), c.repeat(c.digit, n, n)})
	}
	return c.oneOf(alternatives...)
}
