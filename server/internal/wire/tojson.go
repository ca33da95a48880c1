package wire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendPlain appends a valid JSON text to dst in the one form in which a prompt has JSON: that of
// the filter tojson of chat templates, which is Python's json.dumps with ensure_ascii off. Strings
// have no escapes but those that they need, ", " and ": " separate, a float is written with the
// fewest digits. The order of names stays. So two texts of the same value, apart from the order of
// names, are the same prompt, however the client's library spells its JSON.
func AppendPlain(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case ',', ':':
			dst = append(dst, c, ' ')
			i++
		case '"':
			end := i + 1
			for raw[end] != '"' {
				if raw[end] == '\\' {
					end++
				}
				end++
			}
			dst = AppendPlainString(dst, text(raw[i+1:end]))
			i = end + 1
		case '{', '}', '[', ']':
			dst = append(dst, c)
			i++
		default:
			end := i
			for end < len(raw) && bytes.IndexByte([]byte(" \t\r\n,:]}"), raw[end]) < 0 {
				end++
			}
			dst = appendLiteral(dst, string(raw[i:end]))
			i = end
		}
	}
	return dst
}

// appendLiteral appends a number, true, false or null.
func appendLiteral(dst []byte, s string) []byte {
	if s == "-0" {
		return append(dst, '0') // an integer has no sign of zero in Python
	}
	if c := s[0]; c != '-' && (c < '0' || c > '9') || !strings.ContainsAny(s, ".eE") {
		return append(dst, s...)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return append(dst, s...) // Python has an infinity here, and JSON has none
	}
	return appendFloat(dst, f)
}

// appendFloat appends a float as Python's repr has it: the fewest digits that read as the same
// float, and an exponent below 1e-4 and from 1e16 on.
func appendFloat(dst []byte, f float64) []byte {
	e := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(e, "e")
	if n, _ := strconv.Atoi(exponent); n < -4 || n >= 16 {
		return append(dst, e...)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	dst = append(dst, s...)
	if !strings.Contains(s, ".") {
		dst = append(dst, ".0"...)
	}
	return dst
}

// AppendPlainString appends a text as a JSON string in the form of AppendPlain.
func AppendPlainString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		case c >= ' ':
			dst = append(dst, c)
		default:
			if k := strings.IndexByte("\b\f\n\r\t", c); k >= 0 {
				dst = append(dst, '\\', "bfnrt"[k])
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
	}
	return append(dst, '"')
}

// Plain returns AppendPlain's form of a valid JSON text, nil for none.
func Plain(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	return AppendPlain(make([]byte, 0, len(raw)+len(raw)/8), raw)
}
