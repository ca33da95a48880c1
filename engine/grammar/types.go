package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// typed compiles the values of one type, with the keywords that belong to it.
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

// maxCount is the largest minimum or maximum of a length, because counts are unrolled into rules.
const maxCount = 2000

// bounds reads a minimum and a maximum of a length; high is -1 if there is no maximum.
func bounds(s map[string]json.RawMessage, path, lowKey, highKey string) (low, high int, err error) {
	high = -1
	for _, b := range []struct {
		key string
		at  *int
	}{{lowKey, &low}, {highKey, &high}} {
		raw := s[b.key]
		if raw == nil {
			continue
		}
		var n *int // stays nil for null
		if json.Unmarshal(raw, &n) != nil || n == nil || *n < 0 || *n > maxCount {
			reason := fmt.Sprintf("must be a whole number from 0 to %d", maxCount)
			return 0, 0, &SchemaError{path, b.key, reason}
		}
		*b.at = *n
	}
	if high >= 0 && low > high {
		return 0, 0, &SchemaError{path, lowKey, "is more than " + highKey}
	}
	return low, high, nil
}

// object compiles an object. Its properties come in the order of the schema, required ones that it
// does not name after the others. Further properties, if they are allowed, can be written only if
// the schema names none.
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
			reason := fmt.Sprintf("names %q, which is not a property", r)
			return 0, &SchemaError{path, "required", reason}
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
	if more != nil { // its keywords are checked, though no such property can be written
		if _, err := c.schema(more, path+"/additionalProperties"); err != nil {
			return 0, err
		}
	}
	// first matches the properties from i on if none has been written yet, then if one has; both
	// end with the brace.
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
			first, then = c.oneOf([]symbol{pair}, []symbol{first}),
				c.oneOf([]symbol{comma}, []symbol{then})
		}
	}
	return c.seq(c.literal("{"), c.space, first), nil
}

// orTrue returns a schema, or the schema true if it is missing.
func orTrue(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("true")
	}
	return raw
}

// quote writes a string as JSON.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // cannot fail for a string
	return strings.TrimSuffix(b.String(), "\n")
}

// properties returns the names and schemas of properties in the order of the document.
func properties(raw json.RawMessage, path string) (names []string,
	schemas []json.RawMessage, err error) {
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
