package tokenizer

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"loadstone/engine/tokenizer/internal/jinja"
)

// jinjaValue returns a variable as a template has it: a value of encoding/json, or JSON, whose
// objects keep the order of their names. Texts are a client's, so they make no control tokens.
func jinjaValue(v any) any {
	switch v := v.(type) {
	case string:
		return jinja.Foreign(strings.ToValidUTF8(v, "\uFFFD"))
	case float64:
		if n := int(v); float64(n) == v {
			return n
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	case json.RawMessage:
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		return decodeValue(d)
	case []any:
		list := make(jinja.List, len(v))
		for i := range v {
			list[i] = jinjaValue(v[i])
		}
		return list
	case map[string]any:
		var pairs []jinja.Pair
		for _, name := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, jinja.Pair{Key: name, Value: jinjaValue(v[name]), Foreign: true})
		}
		return jinja.NewDict(pairs...)
	}
	return v
}

// decodeValue reads a JSON value; what is none is None.
func decodeValue(d *json.Decoder) any {
	token, err := d.Token()
	if err != nil {
		return nil
	}
	switch token {
	case json.Delim('['):
		list := jinja.List{}
		for d.More() {
			list = append(list, decodeValue(d))
		}
		d.Token()
		return list
	case json.Delim('{'):
		var pairs []jinja.Pair
		for d.More() {
			name, _ := d.Token()
			key, _ := name.(string)
			pairs = append(pairs, jinja.Pair{Key: key, Value: decodeValue(d), Foreign: true})
		}
		d.Token()
		return jinja.NewDict(pairs...)
	}
	return jinjaValue(token)
}
