package gguf

import (
	"fmt"
	"strings"
)

// Metadata is a file's dictionary. A value has the Go type of the stored one: uint8 to float64, bool, string, or a slice
// of these; an array of arrays is an []any.
type Metadata map[string]any

// keyError is a metadata value that is missing or not what an import needs.
func keyError(key, want string, v any) error {
	if v == nil {
		return fmt.Errorf("metadata key %q is missing; an import needs it as %s", key, want)
	}
	return fmt.Errorf("metadata key %q is a %T; an import needs it as %s", key, v, want)
}

// Text returns a string.
func (m Metadata) Text(key string) (string, error) {
	s, ok := m[key].(string)
	if !ok {
		return "", keyError(key, "a string", m[key])
	}
	return s, nil
}

// maxInt bounds what Int returns: all sizes, counts and ids of a model are far below it, and products of two do not
// overflow.
const maxInt = 1 << 31

// Int returns an integer of any width in [0, 2^31).
func (m Metadata) Int(key string) (int, error) {
	var n int64
	switch v := m[key].(type) {
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int32:
		n = int64(v)
	case uint64:
		n = int64(min(v, maxInt))
	case int64:
		n = v
	default:
		return 0, keyError(key, "an integer", v)
	}
	if n < 0 || n >= maxInt {
		return 0, fmt.Errorf("metadata key %q is %d, out of range", key, m[key])
	}
	return int(n), nil
}

// Float returns a float32 or float64. A float32 stays one, so that it prints as 1e-05 and not as 9.999999747378752e-06.
func (m Metadata) Float(key string) (any, error) {
	switch v := m[key].(type) {
	case float32, float64:
		return v, nil
	default:
		return nil, keyError(key, "a float", v)
	}
}

// Has says whether a key is there.
func (m Metadata) Has(key string) bool { _, ok := m[key]; return ok }

// Bool returns a bool, or def when the key is not there.
func (m Metadata) Bool(key string, def bool) (bool, error) {
	if !m.Has(key) {
		return def, nil
	}
	b, ok := m[key].(bool)
	if !ok {
		return false, keyError(key, "a bool", m[key])
	}
	return b, nil
}

// Strings returns an array of strings.
func (m Metadata) Strings(key string) ([]string, error) {
	list, ok := m[key].([]string)
	if !ok {
		return nil, keyError(key, "an array of strings", m[key])
	}
	return list, nil
}

// Architecture is general.architecture, in lower case: "llama", "gemma3".
func (m Metadata) Architecture() (string, error) {
	s, err := m.Text("general.architecture")
	return strings.ToLower(s), err
}
