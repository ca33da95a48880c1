// Package wire has what the bodies of the OpenAI and the Anthropic API are made of: JSON values and
// strings, and the comment that keeps a stream of server-sent events alive.
package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// KeepAlive is a comment, which every reader of server-sent events skips. A stream that has nothing
// to say for a while sends it, because proxies and clients give up on a connection that stays
// silent.
const KeepAlive = ": keep-alive\n\n"

// AppendString appends text to dst as a JSON string. A byte that is not a part of a UTF-8 character
// becomes U+FFFD.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c == '\n':
			dst = append(dst, '\\', 'n')
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return append(dst, '"')
}

// Encode returns v as JSON. It is for values whose encoding cannot fail, and panics where it does.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as writeJSON does: no answer is HTML, and people read errors as text
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// OrNil returns raw, or nil where the field is missing or null.
func OrNil(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" || len(raw) == 0 {
		return nil
	}
	return raw
}

// IsObject reports whether s is one JSON object.
func IsObject(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") && json.Valid([]byte(s))
}
