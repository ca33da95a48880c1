package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Str returns the text of a value, as {{ value }} prints it.
func Str(v any) string { return (*state)(nil).str(v).s }

// str is Python's str(v).
func (s *state) str(v any) Text {
	switch v := v.(type) {
	case Text:
		return v
	case *undefined:
		return Text{}
	}
	return s.repr(v)
}

// repr is Python's repr(v).
func (s *state) repr(v any) Text {
	b := builder{state: s}
	b.repr(v, 0)
	return b.result()
}

// maxDepth bounds nesting: of values, expressions, calls. Python's own limit is of this size.
const maxDepth = 200

// repr appends Python's repr(v); depth is how many values v is in.
func (b *builder) repr(v any, depth int) {
	b.state.spend(1)
	if depth > maxDepth {
		fail("a value is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case List:
		b.reprItems("[", v, "]", depth)
	case Tuple:
		if len(v) == 1 {
			b.reprItems("(", v, ",)", depth)
		} else {
			b.reprItems("(", v, ")", depth)
		}
	case group:
		b.reprItems("(", v.tuple(), ")", depth)
	case *Dict:
		b.reprDict(v, depth)
	case *view:
		b.reprItems("dict_"+v.kind+"([", v.items, "])", depth)
	case *namespace:
		b.str("<Namespace ")
		b.repr(v.attrs, depth+1)
		b.str(">")
	case Text:
		if v.html {
			b.str("Markup(")
			defer b.str(")")
		}
		b.text(reprText(v, false))
	default:
		b.str(reprSimple(v))
	}
}

// reprItems appends the elements of a value with commas between them.
func (b *builder) reprItems(open string, items []any, end string, depth int) {
	b.str(open)
	for i, e := range items {
		if i > 0 {
			b.str(", ")
		}
		b.repr(e, depth+1)
	}
	b.str(end)
}

func (b *builder) reprDict(d *Dict, depth int) {
	b.str("{")
	for i, k := range d.keys {
		if i > 0 {
			b.str(", ")
		}
		b.repr(k, depth+1)
		b.str(": ")
		b.repr(d.values[i], depth+1)
	}
	b.str("}")
}

// reprSimple is repr(v) of a value without elements.
func reprSimple(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(v)
	case float64:
		return reprFloat(v)
	case *rangeValue:
		if v.step != 1 {
			return fmt.Sprintf("range(%d, %d, %d)", v.start, v.stop, v.step)
		}
		return fmt.Sprintf("range(%d, %d)", v.start, v.stop)
	case *loop:
		return fmt.Sprintf("<LoopContext %d/%d>", v.index+1, len(v.items))
	case *macro:
		if v.name == "" {
			return "<Macro anonymous>"
		}
		return fmt.Sprintf("<Macro '%s'>", v.name)
	case *undefined:
		return "Undefined"
	}
	// Python prints an address.
	fail("a template must not print a %s object", typeName(v))
	return ""
}

// reprFloat is repr(f).
func reprFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// reprText is repr(t); with ascii it is ascii(t), which writes other characters as escapes.
func reprText(t Text, ascii bool) Text {
	quote := byte('\'')
	if strings.Contains(t.s, "'") && !strings.Contains(t.s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	for _, r := range t.s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r < 0x100 && (ascii && r > 0x7f || !unicode.IsPrint(r)):
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0x7f && (ascii || !unicode.IsPrint(r)):
			if r > 0xffff {
				fmt.Fprintf(&b, `\U%08x`, r)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		default:
			b.WriteRune(r)
		}
	}
	q := string(quote)
	if b.Len() == len(t.s) { // nothing was escaped, so the spans are right
		return concat(concat(Text{s: q}, Text{s: t.s, spans: t.spans}), Text{s: q})
	}
	return concat(concat(Text{s: q}, t.derived(b.String())), Text{s: q})
}
