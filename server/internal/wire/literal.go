package wire

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// integer returns the integer that a JSON number is, however it is written.
func integer(number []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return n, true
	}
	if !bytes.ContainsAny(number, ".eE") {
		return 0, false // out of range
	}
	// All integers up to 2⁵³ are exact in a float64.
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func (d *decoder) literal(word string) error {
	for i := range len(word) {
		if d.at >= len(d.b) || d.b[d.at] != word[i] {
			return d.unexpected("in literal " + word)
		}
		d.at++
	}
	return nil
}

func (d *decoder) number() error {
	if d.b[d.at] == '-' {
		d.at++
	}
	if d.at < len(d.b) && d.b[d.at] == '0' {
		d.at++
	} else if err := d.digits(); err != nil {
		return err
	}
	if d.at < len(d.b) && d.b[d.at] == '.' {
		d.at++
		if err := d.digits(); err != nil {
			return err
		}
	}
	if d.at < len(d.b) && (d.b[d.at] == 'e' || d.b[d.at] == 'E') {
		d.at++
		if d.at < len(d.b) && (d.b[d.at] == '+' || d.b[d.at] == '-') {
			d.at++
		}
		return d.digits()
	}
	return nil
}

// digits passes over at least one digit.
func (d *decoder) digits() error {
	from := d.at
	for d.at < len(d.b) && '0' <= d.b[d.at] && d.b[d.at] <= '9' {
		d.at++
	}
	if d.at == from {
		return d.unexpected("in numeric literal")
	}
	return nil
}

// stringLiteral passes over a string and returns what stands between its quotes.
func (d *decoder) stringLiteral() ([]byte, error) {
	d.at++
	for from := d.at; d.at < len(d.b); d.at++ {
		switch c := d.b[d.at]; {
		case c == '"':
			d.at++
			return d.b[from : d.at-1], nil
		case c < ' ':
			return nil, d.unexpected("in string literal")
		case c == '\\':
			if err := d.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, d.unexpected("in string literal")
}

// escape passes over an escape except for its last byte.
func (d *decoder) escape() error {
	if d.at++; d.at >= len(d.b) {
		return d.unexpected("in string escape code")
	}
	switch d.b[d.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			if d.at++; d.at >= len(d.b) || hexDigit(d.b[d.at]) < 0 {
				return d.unexpected("in \\u hexadecimal character escape")
			}
		}
		return nil
	}
	return d.unexpected("in string escape code")
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// text decodes what stands between the quotes of a valid JSON string. Half of a surrogate pair, and
// a byte that is not a part of a UTF-8 character, become U+FFFD.
func text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		switch {
		case raw[i] == '\\':
			var r rune
			r, i = unescape(raw, i)
			b = utf8.AppendRune(b, r)
		case raw[i] < utf8.RuneSelf:
			b = append(b, raw[i])
			i++
		default:
			r, size := utf8.DecodeRune(raw[i:])
			b = utf8.AppendRune(b, r)
			i += size
		}
	}
	return string(b)
}

// unescape decodes the escape at raw[i] and returns the index of what follows it. Half of a
// surrogate pair is U+FFFD.
func unescape(raw []byte, i int) (r rune, next int) {
	switch c := raw[i+1]; c {
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
		r = codeUnit(raw, i)
		if !utf16.IsSurrogate(r) {
			return r, i + 6
		}
		if i+7 < len(raw) && raw[i+6] == '\\' && raw[i+7] == 'u' {
			if pair := utf16.DecodeRune(r, codeUnit(raw, i+6)); pair != utf8.RuneError {
				return pair, i + 12
			}
		}
		return utf8.RuneError, i + 6
	default:
		return rune(c), i + 2
	}
}

// codeUnit decodes the \uXXXX at raw[i].
func codeUnit(raw []byte, i int) (r rune) {
	for _, c := range raw[i+2 : i+6] {
		r = r<<4 | rune(hexDigit(c))
	}
	return r
}

// IsWhole reports whether a valid JSON text is Unicode throughout: no string in it has half of a
// surrogate pair, or a byte that is not a part of a UTF-8 character. Such a text decodes to U+FFFD.
func IsWhole(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			i++
			continue
		}
		half := raw[i+1] == 'u' && utf16.IsSurrogate(codeUnit(raw, i))
		var r rune
		if r, i = unescape(raw, i); half && r == utf8.RuneError {
			return false
		}
	}
	return true
}
