package jinja

import (
	"math"
	"strings"
)

// percent is Python's t % v.
func percent(s *state, t Text, v any) Text {
	if t.html {
		fail("formatting text behind the filter safe or escape is not supported")
	}
	p := percentReader{text: t.s, args: []any{v}}
	p.dict, _ = v.(*Dict)
	if list, ok := v.(Tuple); ok {
		p.args = list
	}
	b := builder{state: s}
	for p.at < len(t.s) {
		n := strings.IndexByte(t.s[p.at:], '%')
		if n < 0 {
			b.text(t.sub(p.at, len(t.s)))
			break
		}
		b.text(t.sub(p.at, p.at+n))
		p.at += n + 1
		p.readKey()
		if f := p.readSpec(); f.kind == '%' {
			b.str("%")
		} else {
			writePercent(&b, f, p.take())
		}
	}
	if p.taken < len(p.args) && p.dict == nil {
		if _, list := v.(List); !list || p.taken > 0 {
			fail("not all arguments converted during string formatting")
		}
	}
	return b.result()
}

// percentReader reads the conversions of a text that the operator % formats, such as %5.2f and
// %(name)s.
type percentReader struct {
	text  string
	at    int   // where in text it reads
	args  []any // the values in a tuple, or one value
	taken int   // how many of args have been taken
	dict  *Dict // that one value, if it is a dict
	keyed bool  // the current conversion has a key in brackets
	value any   // that key's value
}

// readKey reads the key of a conversion, if it has one.
func (p *percentReader) readKey() {
	rest := p.text[p.at:]
	if p.keyed = strings.HasPrefix(rest, "("); !p.keyed {
		return
	}
	end := strings.IndexByte(rest, ')')
	if end < 0 {
		fail("incomplete format key")
	}
	if p.dict == nil {
		fail("format requires a mapping")
	}
	var ok bool
	if p.value, ok = p.dict.text(rest[1:end]); !ok {
		fail("KeyError: '%s'", rest[1:end])
	}
	p.at += end + 1
}

// take returns the value for the current conversion: that of its key, or the next of args.
func (p *percentReader) take() any {
	if p.keyed {
		return p.value
	}
	if p.taken == len(p.args) {
		fail("not enough arguments for format string")
	}
	p.taken++
	return p.args[p.taken-1]
}

// is reports whether the next character is one of chars.
func (p *percentReader) is(chars string) bool {
	return p.at < len(p.text) && strings.IndexByte(chars, p.text[p.at]) >= 0
}

// readSpec reads a conversion from its flags on.
func (p *percentReader) readSpec() spec {
	f := spec{fill: " ", align: '>', sign: '-', precision: -1}
	zero := p.readFlags(&f)
	if f.width = p.readNumber(); f.width < 0 {
		f.align, f.width = '<', -f.width
	}
	if p.is(".") {
		p.at++
		f.precision = max(p.readNumber(), 0)
	}
	for p.is("hlL") {
		p.at++
	}
	if p.at == len(p.text) {
		fail("incomplete format")
	}
	f.kind = p.text[p.at]
	p.at++
	if zero && f.align != '<' && strings.IndexByte("diouxXeEfFgG", f.kind) >= 0 {
		f.fill, f.align = "0", '='
	}
	return f
}

// readFlags reads flags into f; zero says that 0 is among them.
func (p *percentReader) readFlags(f *spec) (zero bool) {
	for ; p.is("-+ #0"); p.at++ {
		switch p.text[p.at] {
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
	return zero
}

// readNumber reads a width or a precision: digits, or * for the next value. It is 0 if there is
// none.
func (p *percentReader) readNumber() int {
	if p.is("*") {
		p.at++
		n, ok := integer(p.take())
		if !ok {
			fail("* wants int")
		}
		return checkWidth(max(n, -n)) * max(min(n, 1), -1)
	}
	n := 0
	for ; p.is("0123456789"); p.at++ {
		n = checkWidth(n*10 + int(p.text[p.at]-'0'))
	}
	return n
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
			t = b.state.repr(v)
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

// truncate is int(x).
func truncate(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		fail("cannot convert float %s to integer", reprFloat(x))
	}
	if math.Abs(x) >= 1<<63 {
		fail("the integer %s is too large", reprFloat(x))
	}
	return int(x)
}
