package jinja

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"unicode/utf16"
)

// tojson is the filter tojson of transformers: json.dumps with ensure_ascii False by default and
// nothing escaped for HTML.
func tojson(s *state, v any, a *args) any {
	b := a.bind("tojson", "ensure_ascii?", "indent?", "separators?", "sort_keys?")
	e := &encoder{out: builder{state: s}, ascii: b.bool(0, false), sorted: b.bool(3, false),
		item: ", ", key: ": "}
	if b.given(1) {
		e.item, e.indented = ",", true
		if n, ok := integer(b[1]); ok {
			e.indent = strings.Repeat(" ", checkWidth(max(n, 0)))
		} else {
			e.indent = b.text(1, "").s
		}
	}
	if b.given(2) {
		list := elements(s, b[2])
		if len(list) != 2 {
			fail("the separators of tojson must be two")
		}
		item, ok := list[0].(Text)
		key, ok2 := list[1].(Text)
		if !ok || !ok2 {
			fail("the separators of tojson must be str")
		}
		e.item, e.key = item.s, key.s
	}
	e.value(v, 0)
	return e.out.result()
}

// encoder writes JSON as Python does.
type encoder struct {
	out       builder
	ascii     bool
	sorted    bool // keys are sorted
	indented  bool
	indent    string
	item, key string // separators
}

func (e *encoder) value(v any, depth int) {
	e.out.state.spend(1)
	if depth > maxDepth {
		fail("a value is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		e.out.str("null")
	case bool:
		e.out.str(fmt.Sprint(v))
	case int, float64:
		e.out.str(jsonNumber(v))
	case Text:
		e.text(v)
	case List, Tuple, group:
		list, _ := sequence(v)
		e.list('[', len(list), depth, func(i int) { e.value(list[i], depth+1) }, ']')
	case *Dict:
		order := make([]int, len(v.keys))
		for i := range order {
			order[i] = i
		}
		if e.sorted {
			sort.SliceStable(order, func(i, j int) bool {
				return e.out.state.less(v.keys[order[i]], v.keys[order[j]])
			})
		}
		e.list('{', len(order), depth, func(i int) {
			e.text(jsonKey(v.keys[order[i]]))
			e.out.str(e.key)
			e.value(v.values[order[i]], depth+1)
		}, '}')
	default:
		fail("Object of type %s is not JSON serializable", typeName(v))
	}
}

// list writes n elements in brackets.
func (e *encoder) list(open byte, n, depth int, element func(i int), close byte) {
	e.out.buf = append(e.out.buf, open)
	line := func(depth int) {
		if e.indented && n > 0 {
			e.out.str("\n")
			for range depth {
				e.out.str(e.indent)
			}
		}
	}
	line(depth + 1)
	for i := range n {
		if i > 0 {
			e.out.str(e.item)
			line(depth + 1)
		}
		element(i)
	}
	line(depth)
	e.out.buf = append(e.out.buf, close)
}

// text writes a string. Characters that need no escape keep their origin.
func (e *encoder) text(t Text) {
	e.out.str(`"`)
	start := 0
	for i, r := range t.s {
		var escaped string
		switch {
		case r == '"' || r == '\\':
			escaped = `\` + string(r)
		case r == '\n':
			escaped = `\n`
		case r == '\r':
			escaped = `\r`
		case r == '\t':
			escaped = `\t`
		case r == '\b':
			escaped = `\b`
		case r == '\f':
			escaped = `\f`
		case r < ' ' || e.ascii && r >= 0x7f && r <= 0xffff:
			escaped = fmt.Sprintf(`\u%04x`, r)
		case e.ascii && r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Sprintf(`\u%04x\u%04x`, high, low)
		default:
			continue
		}
		e.out.text(t.sub(start, i))
		e.out.text(t.derived(escaped))
		start = i + len(string(r))
	}
	if start == 0 {
		e.out.text(t)
	} else {
		e.out.text(t.sub(start, len(t.s)))
	}
	e.out.str(`"`)
}

func jsonNumber(v any) string {
	switch f, _ := v.(float64); {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	}
	return (*state)(nil).repr(v).s
}

// jsonKey returns a key as text.
func jsonKey(k any) Text {
	switch k := k.(type) {
	case Text:
		return k
	case nil:
		return Text{s: "null"}
	case bool:
		return Text{s: fmt.Sprint(k)}
	case int, float64:
		return Text{s: jsonNumber(k)}
	}
	fail("keys must be str, int, float, bool or None, not %s", typeName(k))
	return Text{}
}
