package gguf

import (
	"fmt"
	"strings"
)

// Metadata is a file's dictionary. A value has the Go type that corresponds to the stored one:
// uint8 to float64, bool, string, or a slice of these; an array of arrays is an []any.
type Metadata map[string]any

// keyError is the error for a value v that is missing or has another type than an import needs.
func keyError(key, want string, v any) error {
	if v == nil {
		return fmt.Errorf("metadata key %q is missing; an import needs it as %s", key, want)
	}
	return fmt.Errorf("metadata key %q is of type %T; an import needs it as %s", key, v, want)
}

// Text returns the string of a key.
func (m Metadata) Text(key string) (string, error) {
	s, ok := m[key].(string)
	if !ok {
		return "", keyError(key, "a string", m[key])
	}
	return s, nil
}

// maxInt bounds the results of Int: all sizes, counts and ids of a model are far below it, and
// products of two of them do not overflow.
const maxInt = 1 << 31

// Int returns the integer of a key, which may be stored in any width, if it is in [0, 2^31).
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

// Float returns the float32 or float64 of a key. A float32 stays one, so that it prints as 1e-05
// and not as 9.999999747378752e-06.
func (m Metadata) Float(key string) (any, error) {
	switch v := m[key].(type) {
	case float32, float64:
		return v, nil
	default:
		return nil, keyError(key, "a float", v)
	}
}

// Has reports whether a key exists.
func (m Metadata) Has(key string) bool { _, ok := m[key]; return ok }

// Bool returns the bool of a key, or def if the key does not exist.
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

// Strings returns the array of strings of a key.
func (m Metadata) Strings(key string) ([]string, error) {
	list, ok := m[key].([]string)
	if !ok {
		return nil, keyError(key, "an array of strings", m[key])
	}
	return list, nil
}

// Architecture returns general.architecture in lower case, such as "llama" or "gemma3".
func (m Metadata) Architecture() (string, error) {
	s, err := m.Text("general.architecture")
	return strings.ToLower(s), err
}
