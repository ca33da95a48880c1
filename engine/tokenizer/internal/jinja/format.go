package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// spec says how a value is formatted: [[fill]align][sign][#][0][width][,][.precision][type].
type spec struct {
	fill      string
	align     byte // < > ^ =, or 0
	sign      byte // - + or space
	alternate bool
	width     int
	group     byte // , _ or 0
	precision int  // -1 if there is none
	kind      byte // the type, or 0
	zero      bool // a 0 stands before the width: numbers are filled behind their sign
}

// percent is Python's t % v.
func percent(s *state, t Text, v any) Text {
	if t.html {
		fail("formatting text behind the filter safe or escape is not supported")
	}
	args, isTuple := []any{v}, false
	if list, ok := v.(Tuple); ok {
		args, isTuple = list, true
	}
	d, isDict := v.(*Dict)
	next := 0
	b := builder{state: s}
	for i := 0; i < len(t.s); {
		n := strings.IndexByte(t.s[i:], '%')
		if n < 0 {
			n = len(t.s) - i
		}
		b.text(t.sub(i, i+n))
		if i += n; i == len(t.s) {
			break
		}
		i++
		var value any
		keyed := false
		if strings.HasPrefix(t.s[i:], "(") {
			end := strings.IndexByte(t.s[i:], ')')
			if end < 0 {
				fail("incomplete format key")
			}
			if !isDict {
				fail("format requires a mapping")
			}
			key := t.s[i+1 : i+end]
			var ok bool
			if value, ok = d.text(key); !ok {
				fail("KeyError: '%s'", key)
			}
			keyed = true
			i += end + 1
		}
		take := func() any {
			if keyed {
				return value
			}
			if next == len(args) {
				fail("not enough arguments for format string")
			}
			next++
			return args[next-1]
		}
		var f spec
		f, i = percentSpec(t.s, i, take)
		if f.kind == '%' {
			b.str("%")
			continue
		}
		writePercent(&b, f, take())
	}
	if next < len(args) && !(isDict && !isTuple) {
		if _, list := v.(List); !list || next > 0 {
			fail("not all arguments converted during string formatting")
		}
	}
	return b.result()
}

// checkWidth refuses a width or precision of more than maxWidth.
func checkWidth(n int) int {
	if n > maxWidth || n < 0 {
		fail("a width of more than %d is too long", maxWidth)
	}
	return n
}

// percentSpec reads what is between % and the end of a conversion.
func percentSpec(s string, i int, take func() any) (spec, int) {
	f := spec{fill: " ", align: '>', sign: '-', precision: -1}
	number := func() int {
		if i < len(s) && s[i] == '*' {
			i++
			n, ok := integer(take())
			if !ok {
				fail("* wants int")
			}
			return checkWidth(max(n, -n)) * max(min(n, 1), -1)
		}
		n := 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n = checkWidth(n*10 + int(s[i]-'0'))
		}
		return n
	}
	zero := false
	for ; i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0; i++ {
		switch s[i] {
		case '-':
			f.align = '<'
		case '+':
			f.sign = '+'
		case ' ':
			if f.sign != '+' {
				f.sign = ' '
			}
		case '#':
			f.alternate = true
		case '0':
			zero = true
		}
	}
	if f.width = number(); f.width < 0 {
		f.align, f.width = '<', -f.width
	}
	if i < len(s) && s[i] == '.' {
		i++
		f.precision = max(number(), 0)
	}
	for i < len(s) && strings.IndexByte("hlL", s[i]) >= 0 {
		i++
	}
	if i == len(s) {
		fail("incomplete format")
	}
	f.kind = s[i]
	if zero && f.align != '<' && strings.IndexByte("diouxXeEfFgG", f.kind) >= 0 {
		f.fill, f.align = "0", '='
	}
	return f, i + 1
}

// writePercent appends a value as a conversion of % says.
func writePercent(b *builder, f spec, v any) {
	switch f.kind {
	case 's', 'r', 'a':
		t := b.state.str(v)
		if f.kind == 'a' {
			t = reprText(t, true)
			if _, ok := v.(Text); !ok {
				t = b.state.str(v)
			}
		}
		if f.kind == 'r' {
			r := builder{state: b.state}
			writeRepr(&r, v, 0)
			t = r.result()
		}
		b.text(f.pad(f.cut(t), ""))
	case 'd', 'i', 'u':
		if x, ok := v.(float64); ok {
			v = truncate(x)
		}
		f.kind = 'd'
		b.text(f.integer(needInt(v, f.kind)))
	case 'o', 'x', 'X':
		b.text(f.integer(needInt(v, f.kind)))
	case 'e', 'E', 'f', 'F', 'g', 'G':
		x, ok := number(defined(v))
		if !ok {
			fail("must be real number, not %s", typeName(v))
		}
		b.text(f.float(x))
	case 'c':
		if i, ok := integer(v); ok {
			v = Text{s: string(rune(i))}
		}
		t, ok := v.(Text)
		if !ok || t.length() != 1 {
			fail("%%c requires int or char")
		}
		b.text(f.pad(t, ""))
	default:
		fail("unsupported format character '%c'", f.kind)
	}
}

func needInt(v any, kind byte) int {
	i, ok := integer(defined(v))
	if !ok {
		fail("%%%c format: an integer is required, not %s", kind, typeName(v))
	}
	return i
}

// cut shortens a text to the precision.
func (f *spec) cut(t Text) Text {
	if f.precision >= 0 && f.precision < t.length() {
		return t.sub(0, t.offset(f.precision))
	}
	return t
}

// pad puts a sign before a text and fills both up to the width.
func (f *spec) pad(t Text, sign string) Text {
	n := f.width - t.length() - len(sign)
	head := Text{s: sign}
	if n <= 0 {
		return concat(head, t)
	}
	many := func(n int) Text {
		v, _ := repeat(Text{s: f.fill}, n)
		return v.(Text)
	}
	switch f.align {
	case '<':
		return concat(concat(head, t), many(n))
	case '^':
		return concat(concat(many(n/2), concat(head, t)), many(n-n/2))
	case '=':
		return concat(concat(head, many(n)), t)
	}
	return concat(many(n), concat(head, t))
}

// signOf returns what stands before a number.
func (f *spec) signOf(negative bool) string {
	switch {
	case negative:
		return "-"
	case f.sign == '-' || f.sign == 0:
		return ""
	}
	return string(f.sign)
}

func (f *spec) integer(i int) Text {
	base := map[byte]int{'b': 2, 'o': 8, 'x': 16, 'X': 16}[f.kind]
	if base == 0 {
		base = 10
	}
	s := strconv.FormatUint(magnitude(i), base)
	if f.kind == 'X' {
		s = strings.ToUpper(s)
	}
	if f.precision > len(s) {
		s = strings.Repeat("0", f.precision-len(s)) + s
	}
	sign := f.signOf(i < 0)
	if f.alternate && base != 10 {
		sign += "0" + string(f.kind)
	}
	return f.pad(Text{s: f.grouped(s, sign, base)}, sign)
}

func (f *spec) float(x float64) Text {
	kind, precision := f.kind, f.precision
	var s string
	abs := math.Abs(x)
	switch {
	case math.IsInf(x, 0):
		s = "inf"
	case math.IsNaN(x):
		s = "nan"
	case kind == '%':
		if precision < 0 {
			precision = 6
		}
		s = strconv.FormatFloat(abs*100, 'f', precision, 64) + "%"
	case kind == 'e' || kind == 'E' || kind == 'f' || kind == 'F':
		if precision < 0 {
			precision = 6
		}
		s = strconv.FormatFloat(abs, kind|0x20, precision, 64)
	case kind == 0 && precision < 0:
		s = reprFloat(abs)
	default:
		s = general(abs, precision, f.alternate, kind == 0)
	}
	if kind == 'E' || kind == 'F' || kind == 'G' {
		s = strings.ToUpper(s)
	}
	sign := f.signOf(math.Signbit(x) && !math.IsNaN(x))
	return f.pad(Text{s: f.grouped(s, sign, 10)}, sign)
}

// general formats like %g.
func general(x float64, precision int, alternate, point bool) string {
	if precision < 0 {
		precision = 6
	}
	precision = max(precision, 1)
	s := strconv.FormatFloat(x, 'e', precision-1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	exp, _ := strconv.Atoi(exponent)
	if exp < -4 || exp >= precision-btoi(point) { // without a type a digit is behind the point
		if !alternate && strings.Contains(mantissa, ".") {
			mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
		}
		return mantissa + "e" + exponent
	}
	s = strconv.FormatFloat(x, 'f', max(0, precision-1-exp), 64)
	if !alternate && strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if point && !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// grouped puts the group character between the thousands of a number's digits.
func (f *spec) grouped(s, sign string, base int) string {
	if f.group == 0 {
		return s
	}
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' && r < 'A' || r > 'f' })
	if n < 0 {
		n = len(s)
	}
	digits, rest := s[:n], s[n:]
	size := 3
	if base != 10 {
		size = 4
	}
	if f.fill == "0" && f.align == '=' { // the zeros are grouped too
		for len(digits)+(len(digits)-1)/size+len(sign)+len(rest) < f.width {
			digits = "0" + digits
			if (len(digits))%size == 0 &&
				len(digits)+(len(digits))/size+len(sign)+len(rest) == f.width {
				digits = "0" + digits
				break
			}
		}
	}
	var b strings.Builder
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%size == 0 {
			b.WriteByte(f.group)
		}
		b.WriteByte(digits[i])
	}
	return b.String() + rest
}

func truncate(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		fail("cannot convert float %s to integer", reprFloat(x))
	}
	if math.Abs(x) >= 1<<63 {
		fail("the integer %s is too large", reprFloat(x))
	}
	return int(x)
}

// format is t.format(args).
func format(s *state, t Text, pos []any, kw []keyword) Text {
	auto := 0
	return formatPart(s, t, pos, kw, &auto, 2)
}

// formatPart formats a text; depth is how deep fields may be within fields.
func formatPart(s *state, t Text, pos []any, kw []keyword, auto *int, depth int) Text {
	b := builder{state: s}
	for i := 0; i < len(t.s); {
		n := strings.IndexAny(t.s[i:], "{}")
		if n < 0 {
			b.text(t.sub(i, len(t.s)))
			break
		}
		b.text(t.sub(i, i+n))
		c := t.s[i+n]
		if i += n + 1; i < len(t.s) && t.s[i] == c {
			b.text(t.sub(i, i+1))
			i++
			continue
		}
		if c == '}' {
			fail("Single '}' encountered in format string")
		}
		if depth == 0 {
			fail("Max string recursion exceeded")
		}
		open := 1
		end := i
		for ; end < len(t.s); end++ {
			if t.s[end] == '{' {
				open++
			} else if t.s[end] == '}' {
				if open--; open == 0 {
					break
				}
			}
		}
		if open > 0 {
			fail("expected '}' before end of string")
		}
		field := t.s[i:end]
		i = end + 1
		name, rest := field, ""
		if n := strings.IndexAny(field, ":!"); n >= 0 {
			name, rest = field[:n], field[n:]
		}
		v := formatField(s, name, pos, kw, auto)
		if strings.HasPrefix(rest, "!") {
			if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
				fail("expected ':' after conversion specifier")
			}
			switch rest[1] {
			case 's':
				v = s.str(v)
			case 'r':
				r := builder{state: s}
				writeRepr(&r, v, 0)
				v = r.result()
			default:
				fail("Unknown conversion specifier %c", rest[1])
			}
			rest = rest[2:]
		}
		rest = strings.TrimPrefix(rest, ":")
		if strings.ContainsAny(rest, "{}") {
			rest = formatPart(s, Text{s: rest}, pos, kw, auto, depth-1).s
		}
		b.text(formatValue(s, v, rest))
	}
	return b.result()
}

// formatField returns the value of a field such as 0, name, name.attribute or name[key].
func formatField(s *state, field string, pos []any, kw []keyword, auto *int) any {
	n := strings.IndexAny(field, ".[")
	if n < 0 {
		n = len(field)
	}
	first, rest := field[:n], field[n:]
	if first == "" {
		if *auto < 0 {
			fail("cannot switch from manual field specification to automatic field numbering")
		}
		first = strconv.Itoa(*auto)
		*auto++
	} else if _, err := strconv.Atoi(first); err == nil {
		if *auto > 0 {
			fail("cannot switch from automatic field numbering to manual field specification")
		}
		*auto = -1
	}
	var v any = absent
	if i, err := strconv.Atoi(first); err == nil {
		if i >= len(pos) {
			fail("Replacement index %d out of range for positional args tuple", i)
		}
		v = pos[i]
	}
	for _, k := range kw {
		if v == absent && k.name == first {
			v = k.value
		}
	}
	if v == absent {
		fail("KeyError: '%s'", first)
	}
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
			v = getItem(s, v, i)
		} else {
			v = getItem(s, v, Text{s: rest[1:n]})
		}
		rest = rest[n+1:]
	}
	return v
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
	f = spec{precision: -1}
	s := text
	zero := false
	if _, n := utf8.DecodeRuneInString(s); n < len(s) && strings.IndexByte("<>^=", s[n]) >= 0 {
		f.fill, f.align = s[:n], s[n]
		s = s[n+1:]
	} else if s != "" && strings.IndexByte("<>^=", s[0]) >= 0 {
		f.align = s[0]
		s = s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		f.sign, numeric = s[0], true
		s = s[1:]
	}
	if strings.HasPrefix(s, "#") {
		f.alternate, numeric = true, true
		s = s[1:]
	}
	if strings.HasPrefix(s, "0") {
		zero = true
		s = s[1:]
	}
	digits := func() int {
		n := 0
		for ; s != "" && s[0] >= '0' && s[0] <= '9'; s = s[1:] {
			n = checkWidth(n*10 + int(s[0]-'0'))
		}
		return n
	}
	f.width = digits()
	if s != "" && (s[0] == ',' || s[0] == '_') {
		f.group, numeric = s[0], true
		s = s[1:]
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if s == "" || s[0] < '0' || s[0] > '9' {
			fail("Format specifier missing precision")
		}
		f.precision = digits()
	}
	if s != "" {
		f.kind = s[0]
		s = s[1:]
	}
	if s != "" {
		fail("Invalid format specifier '%s'", text)
	}
	if f.fill == "" {
		f.fill = " "
		if zero {
			f.fill = "0"
		}
	}
	f.zero = zero
	return f, numeric
}
