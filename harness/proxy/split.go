package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
)

// errNoJSON says that a body is not JSON. A server has answered the body, so split checks no more
// than it needs.
var errNoJSON = errors.New("a body is not JSON")

// splitObject calls each with the name and the value of every field of a JSON object, in order. It
// scans the text once, from quote to quote: encoding/json takes 10 ms for the prompt of a long
// session, on the machine whose agent and server are being timed.
func splitObject(text []byte, each func(name string, value json.RawMessage) error) error {
	return split(text, '{', func(part []byte) ([]byte, error) {
		end, err := skip(part)
		if err != nil || part[0] != '"' {
			return nil, errNoJSON
		}
		var name string
		if err := json.Unmarshal(part[:end], &name); err != nil {
			return nil, errNoJSON
		}
		rest := blank(part[end:])
		if len(rest) == 0 || rest[0] != ':' {
			return nil, errNoJSON
		}
		rest = blank(rest[1:])
		if end, err = skip(rest); err != nil {
			return nil, err
		}
		return rest[end:], each(name, rest[:end:end])
	})
}

// splitArray returns the elements of a JSON array.
func splitArray(text []byte) (elements []json.RawMessage, err error) {
	err = split(text, '[', func(part []byte) ([]byte, error) {
		end, err := skip(part)
		if err != nil {
			return nil, err
		}
		elements = append(elements, part[:end:end])
		return part[end:], nil
	})
	return elements, err
}

// split calls one for each member of an object or an array. one returns the text after the member.
func split(text []byte, open byte, one func(part []byte) ([]byte, error)) error {
	rest := blank(text)
	if len(rest) == 0 || rest[0] != open {
		return errNoJSON
	}
	shut := open + 2 // of { and of [
	rest = blank(rest[1:])
	for first := true; ; first = false {
		switch {
		case len(rest) == 0:
			return errNoJSON
		case rest[0] == shut && first:
			return nil
		}
		var err error
		if rest, err = one(rest); err != nil {
			return err
		}
		rest = blank(rest)
		switch {
		case len(rest) == 0:
			return errNoJSON
		case rest[0] == shut:
			return nil
		case rest[0] != ',':
			return errNoJSON
		}
		rest = blank(rest[1:])
	}
}

// skip returns the length of the value at the beginning of a text.
func skip(text []byte) (int, error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := quoteEnd(text[i+1:])
			if end < 0 {
				return 0, errNoJSON
			}
			i += end + 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i, nil // it ends a number or a word
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return i, nil
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1, nil
		}
	}
	if depth > 0 || len(text) == 0 {
		return 0, errNoJSON
	}
	return len(text), nil
}

// quoteEnd returns the offset of the quote that ends a string, or -1.
func quoteEnd(text []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], '"')
		if i < 0 {
			return -1
		}
		end := from + i
		slashes := 0
		for end-1-slashes >= 0 && text[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		from = end + 1
	}
}

func blank(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }
