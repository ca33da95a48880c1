package load

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// IsDrawn reports whether all that the load asks is drawn from its seeds, so that Drawn is enough
// to ask the same again. Written and recorded prompts are not.
func (l *Load) IsDrawn() bool {
	written := l.Prompts != nil || l.SystemPrompts != nil || l.Sessions != nil || l.Trace != nil
	return !written && (l.Replay.Overflow == "" || l.Replay.Overflow == Send)
}

// Drawn is the JSON of a load that is drawn from its seeds. It has the fields of Load that are not
// at their zero values; an amount is written as in scenario files.
func (l Load) Drawn() (json.RawMessage, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a seed has more digits than a float64
	var all any
	if err := dec.Decode(&all); err != nil {
		return nil, err
	}
	return json.Marshal(withoutZeros(all))
}

// ParseDrawn reads what Drawn wrote. A field that this version does not know is an error: without
// it the load would be another one.
func ParseDrawn(text json.RawMessage) (l Load, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = dec.Decode(&l)
	return l, err
}

// withoutZeros is a value of JSON without the fields of objects that have a zero value.
func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, field := range v {
			if field = withoutZeros(field); isZero(field) {
				delete(v, key)
			} else {
				v[key] = field
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutZeros(v[i])
		}
	}
	return v
}

func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case json.Number:
		return v == "0"
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// MarshalText writes an amount as ParseAmount reads it; the zero Amount is "".
func (a Amount) MarshalText() ([]byte, error) {
	if a == (Amount{}) {
		return nil, nil
	}
	return []byte(a.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a = Amount{}
	if len(text) > 0 {
		*a, err = ParseAmount(string(text), func(s string) (float64, error) {
			return strconv.ParseFloat(s, 64)
		})
	}
	return err
}
