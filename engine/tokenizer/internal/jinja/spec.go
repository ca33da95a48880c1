package jinja

import (
	"math"
	"strconv"
	"strings"
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

// checkWidth refuses a width or precision of more than maxWidth.
func checkWidth(n int) int {
	if n > maxWidth || n < 0 {
		fail("a width of more than %d is too long", maxWidth)
	}
	return n
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
