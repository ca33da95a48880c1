package jinja

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// format is t.format(args).
func format(s *state, t Text, pos []any, kw []keyword) Text {
	f := formatter{state: s, pos: pos, kw: kw}
	return f.format(t, 2)
}

// formatter replaces the fields of a text, such as {}, {name.attribute} and {0!r:>8}.
type formatter struct {
	state *state
	pos   []any
	kw    []keyword
	next  int // the number of the next field without a number; -1 once a field has had one
}

// format replaces the fields of t; depth is how deep fields may be within fields.
func (f *formatter) format(t Text, depth int) Text {
	b := builder{state: f.state}
	for i := 0; i < len(t.s); {
		n := strings.IndexAny(t.s[i:], "{}")
		if n < 0 {
			b.text(t.sub(i, len(t.s)))
			break
		}
		b.text(t.sub(i, i+n))
		brace := t.s[i+n]
		i += n + 1
		switch {
		case i < len(t.s) && t.s[i] == brace: // {{ or }}
			b.text(t.sub(i, i+1))
			i++
		case brace == '}':
			fail("Single '}' encountered in format string")
		case depth == 0:
			fail("Max string recursion exceeded")
		default:
			end := closingBrace(t.s, i)
			b.text(f.field(t.s[i:end], depth))
			i = end + 1
		}
	}
	return b.result()
}

// closingBrace returns where the brace is that ends the field that begins at offset i.
func closingBrace(s string, i int) int {
	for open := 1; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
		case '}':
			open--
		}
		if open == 0 {
			return i
		}
	}
	fail("expected '}' before end of string")
	return 0
}

// field formats a field, given without its braces.
func (f *formatter) field(field string, depth int) Text {
	name, rest := field, ""
	if n := strings.IndexAny(field, ":!"); n >= 0 {
		name, rest = field[:n], field[n:]
	}
	v := f.value(name)
	if strings.HasPrefix(rest, "!") {
		if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
			fail("expected ':' after conversion specifier")
		}
		switch rest[1] {
		case 's':
			v = f.state.str(v)
		case 'r':
			v = f.state.repr(v)
		default:
			fail("Unknown conversion specifier %c", rest[1])
		}
		rest = rest[2:]
	}
	rest = strings.TrimPrefix(rest, ":")
	if strings.ContainsAny(rest, "{}") {
		rest = f.format(Text{s: rest}, depth-1).s
	}
	return formatValue(f.state, v, rest)
}

// value returns the value that a field names: 0, name, name.attribute or name[key].
func (f *formatter) value(name string) any {
	n := strings.IndexAny(name, ".[")
	if n < 0 {
		n = len(name)
	}
	v, rest := f.argument(name[:n]), name[n:]
	for rest != "" {
		if rest[0] == '.' {
			n := strings.IndexAny(rest[1:], ".[")
			if n < 0 {
				n = len(rest) - 1
			}
			v = getAttr(v, rest[1:1+n])
			rest = rest[1+n:]
			continue
		}
		n := strings.IndexByte(rest, ']')
		if rest[0] != '[' || n < 0 {
			fail("Missing ']' in format string")
		}
		if i, err := strconv.Atoi(rest[1:n]); err == nil {
			v = getItem(f.state, v, i)
		} else {
			v = getItem(f.state, v, Text{s: rest[1:n]})
		}
		rest = rest[n+1:]
	}
	return v
}

// argument returns the argument with a number or a name, or the next one if there is neither.
func (f *formatter) argument(name string) any {
	number, err := strconv.ParseUint(name, 10, 31) // "-1" and "+1" are names
	i := int(number)
	switch {
	case name == "" && f.next < 0:
		fail("cannot switch from manual field specification to automatic field numbering")
	case name == "":
		name, i, err = strconv.Itoa(f.next), f.next, nil
		f.next++
	case err == nil && f.next > 0:
		fail("cannot switch from automatic field numbering to manual field specification")
	case err == nil:
		f.next = -1
	}
	if err == nil {
		if i >= len(f.pos) {
			fail("Replacement index %d out of range for positional args tuple", i)
		}
		return f.pos[i]
	}
	for _, k := range f.kw {
		if k.name == name {
			return k.value
		}
	}
	fail("KeyError: '%s'", name)
	return nil
}

// formatValue is Python's format(v, spec).
func formatValue(s *state, v any, text string) Text {
	if text == "" {
		return s.str(v)
	}
	f, numeric := parseSpec(text)
	s.spend((f.width*f.width + max(0, f.precision)) / bytesOfStep) // grouped inserts digit by digit
	switch v := v.(type) {
	case Text:
		if numeric || f.kind != 0 && f.kind != 's' || f.align == '=' {
			fail("Unknown format code or alignment '%s' for object of type 'str'", text)
		}
		if f.align == 0 {
			f.align = '<'
		}
		return f.pad(f.cut(v), "")
	case bool, int, float64:
		if f.align == 0 && f.zero {
			f.align = '='
		} else if f.align == 0 {
			f.align = '>'
		}
		i, isInt := integer(v)
		if isInt && strings.IndexByte("\x00bcdoxXn", f.kind) >= 0 {
			if f.precision >= 0 {
				fail("Precision not allowed in integer format specifier")
			}
			if f.kind == 'c' {
				return f.pad(Text{s: string(rune(i))}, "")
			}
			return f.integer(i)
		}
		if strings.IndexByte("\x00eEfFgGn%", f.kind) < 0 {
			fail("Unknown format code '%c' for object of type '%s'", f.kind, typeName(v))
		}
		x, _ := number(v)
		return f.float(x)
	}
	defined(v)
	fail("unsupported format string passed to %s.__format__", typeName(v))
	return Text{}
}

// parseSpec reads a format specification; numeric says that it is for numbers only.
func parseSpec(text string) (f spec, numeric bool) {
	f.precision = -1
	s := text
	if _, n := utf8.DecodeRuneInString(s); n < len(s) && isAny(s[n:], "<>^=") {
		f.fill, f.align = s[:n], s[n]
		s = s[n+1:]
	} else if isAny(s, "<>^=") {
		f.align = s[0]
		s = s[1:]
	}
	if isAny(s, "+- ") {
		f.sign, numeric = s[0], true
		s = s[1:]
	}
	if isAny(s, "#") {
		f.alternate, numeric = true, true
		s = s[1:]
	}
	if isAny(s, "0") {
		f.zero = true
		s = s[1:]
	}
	f.width, s = leadingNumber(s)
	if isAny(s, ",_") {
		f.group, numeric = s[0], true
		s = s[1:]
	}
	if isAny(s, ".") {
		if !isAny(s[1:], "0123456789") {
			fail("Format specifier missing precision")
		}
		f.precision, s = leadingNumber(s[1:])
	}
	if s != "" {
		f.kind = s[0]
		s = s[1:]
	}
	if s != "" {
		fail("Invalid format specifier '%s'", text)
	}
	switch {
	case f.fill != "":
	case f.zero:
		f.fill = "0"
	default:
		f.fill = " "
	}
	return f, numeric
}

// isAny reports whether s begins with one of chars.
func isAny(s, chars string) bool { return s != "" && strings.IndexByte(chars, s[0]) >= 0 }

// leadingNumber returns the number that the digits at the start of s make, and the rest of s.
func leadingNumber(s string) (n int, rest string) {
	for ; isAny(s, "0123456789"); s = s[1:] {
		n = checkWidth(n*10 + int(s[0]-'0'))
	}
	return n, s
}
