package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Values of a template are, by their Python types: nil (None), bool, int, float64, Text (str),
// List, Tuple, *Dict, *rangeValue, *view, *generator, *namespace, *loop, *macro, *Func, *method,
// *cycler, *joiner, group and *undefined. Lists and dicts never change: transformers renders in
// Jinja's ImmutableSandboxedEnvironment, which refuses the methods that would change them.

// List is a Python list.
type List []any

// Tuple is a Python tuple.
type Tuple []any

// Dict is a Python dict: it keeps the order in which keys were set.
type Dict struct {
	keys, values []any
	index        map[string]int // of keys that are text, in large dicts
}

// indexed is the number of keys from which a dict has an index.
const indexed = 8

// NewDict returns a dict with keys that are text.
func NewDict(pairs ...Pair) *Dict {
	d := new(Dict)
	for _, p := range pairs {
		key := String(p.Key)
		if p.Foreign {
			key = Foreign(p.Key)
		}
		d.set(nil, key, p.Value)
	}
	return d
}

// Pair is a key of a dict and its value.
type Pair struct {
	Key     string
	Value   any
	Foreign bool // the key comes from outside of the template
}

// text returns the value of a key.
func (d *Dict) text(key string) (any, bool) {
	if d.index != nil {
		i, ok := d.index[key]
		if !ok {
			return nil, false
		}
		return d.values[i], true
	}
	for i, k := range d.keys {
		if t, ok := k.(Text); ok && t.s == key {
			return d.values[i], true
		}
	}
	return nil, false
}

// get returns the value of any key.
func (d *Dict) get(s *state, key any) (any, bool) {
	if t, ok := key.(Text); ok {
		return d.text(t.s)
	}
	for i, k := range d.keys {
		if s.equal(k, key) {
			return d.values[i], true
		}
	}
	return nil, false
}

func (d *Dict) set(s *state, key, value any) {
	t, isText := key.(Text)
	for i, k := range d.keys {
		if isText && d.index != nil {
			var ok bool
			if i, ok = d.index[t.s]; !ok {
				break
			}
			d.values[i] = value
			return
		}
		if s.equal(k, key) {
			d.values[i] = value
			return
		}
	}
	if !s.hashable(key) {
		fail("unhashable type: '%s'", typeName(key))
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
	switch {
	case d.index != nil && isText:
		d.index[t.s] = len(d.keys) - 1
	case d.index == nil && len(d.keys) == indexed:
		d.index = make(map[string]int)
		for i, k := range d.keys {
			if t, ok := k.(Text); ok {
				d.index[t.s] = i
			}
		}
	}
}

func (d *Dict) copy(s *state) *Dict {
	c := new(Dict)
	for i, k := range d.keys {
		c.set(s, k, d.values[i])
	}
	return c
}

func (d *Dict) pairs() []any {
	list := make([]any, len(d.keys))
	for i, k := range d.keys {
		list[i] = Tuple{k, d.values[i]}
	}
	return list
}

func (s *state) hashable(v any) bool {
	s.spend(1)
	switch v := v.(type) {
	case List, *Dict:
		return false
	case *view:
		return v.kind == "values"
	case Tuple:
		for _, e := range v {
			if !s.hashable(e) {
				return false
			}
		}
	}
	return true
}

// view is the result of a dict's methods items, keys and values. It is not a list: it has a length,
// but no elements with numbers.
type view struct {
	kind  string // items, keys, values
	items []any
}

// generator gives values once, one after the other, as a Python generator does.
type generator struct{ next func() (any, bool) }

// rangeValue is a Python range.
type rangeValue struct{ start, stop, step int }

func (r *rangeValue) len() int {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

func (r *rangeValue) items() []any {
	list := make([]any, r.len())
	for i := range list {
		list[i] = r.start + i*r.step
	}
	return list
}

// namespace is the one value that a template can change.
type namespace struct{ attrs *Dict }

// group is an element of the filter groupby: a tuple whose elements have names.
type group struct {
	grouper any
	list    List
}

func (g group) tuple() Tuple { return Tuple{g.grouper, g.list} }

// Func is a function of the renderer's. Its error ends the rendering.
type Func struct {
	Name string
	Call func(args []any) (any, error)

	builtin func(*state, *args) any
}

// method is a method of a value that is not called yet.
type method struct {
	of   any
	name string
}

// cycler and joiner are the values of Jinja's functions of these names.
type cycler struct {
	items []any
	at    int
}

type joiner struct {
	sep  Text
	used bool
}

// undefined is the value of a name, an attribute or an element that does not exist. It can be
// printed, iterated and tested; anything else fails with its message.
type undefined struct {
	hint string
	of   any // the object without the attribute or element, if hasOf
	name any
	has  bool // whether of is set
}

func (u *undefined) message() string {
	switch {
	case u.hint != "":
		return u.hint
	case !u.has:
		return fmt.Sprintf("%s is undefined", (*state)(nil).repr(u.name))
	}
	of := "None"
	if u.of != nil {
		of = typeName(u.of) + " object"
	}
	if t, ok := u.name.(Text); ok {
		return fmt.Sprintf("'%s' has no attribute '%s'", of, t.s)
	}
	return fmt.Sprintf("%s has no element %s", of, (*state)(nil).repr(u.name))
}

// typeName returns the name of a value's Python type.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int:
		return "int"
	case float64:
		return "float"
	case Text:
		if v.html {
			return "Markup"
		}
		return "str"
	case List:
		return "list"
	case Tuple:
		return "tuple"
	case group:
		return "_GroupTuple"
	case *Dict:
		return "dict"
	case *rangeValue:
		return "range"
	case *view:
		return "dict_" + v.kind
	case *generator:
		return "generator"
	case *namespace:
		return "TemplateNamespace"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	case *cycler:
		return "Cycler"
	case *joiner:
		return "Joiner"
	case *undefined:
		return "Undefined"
	}
	return "function"
}

// truth is Python's bool(v).
func truth(v any) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.s != ""
	case List:
		return len(v) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	case *rangeValue:
		return v.len() > 0
	case *view:
		return len(v.items) > 0
	}
	return true
}

// number returns a bool, an int or a float as a float.
func number(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	i, ok := integer(v)
	return float64(i), ok
}

// integer returns a bool or an int as an int.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return v, true
	}
	return 0, false
}

// sequence returns the elements of a list or a tuple.
func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Tuple:
		return v, true
	case group:
		return v.tuple(), true
	}
	return nil, false
}

// equal is Python's a == b.
func (s *state) equal(a, b any) bool {
	s.spend(1)
	switch a := a.(type) {
	case Text:
		b, ok := b.(Text)
		if ok && len(a.s) == len(b.s) {
			s.spend(len(a.s) / (8 * bytesOfStep))
		}
		return ok && a.s == b.s
	case nil:
		return b == nil
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case List:
		b, ok := b.(List)
		return ok && s.equalAll(a, b)
	case Tuple, group:
		_, list := b.(List)
		x, _ := sequence(a)
		y, ok := sequence(b)
		return ok && !list && s.equalAll(x, y)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for i, k := range a.keys {
			if v, ok := b.get(s, k); !ok || !s.equal(v, a.values[i]) {
				return false
			}
		}
		return true
	case *rangeValue:
		b, ok := b.(*rangeValue)
		s.spend(a.len())
		return ok && a.len() == b.len() && s.equalAll(a.items(), b.items())
	case *view:
		b, ok := b.(*view)
		if !ok || a.kind == "values" || b.kind == "values" || len(a.items) != len(b.items) {
			return any(a) == any(b)
		}
		for _, e := range a.items {
			if !s.contains(b.items, e) {
				return false
			}
		}
		return true
	}
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return x == y
		}
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch b.(type) {
	case List, Tuple, group, Text: // values that Go cannot compare
		return false
	}
	return a == b
}

func (s *state) equalAll(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !s.equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (s *state) contains(list []any, v any) bool {
	for _, e := range list {
		if s.equal(e, v) {
			return true
		}
	}
	return false
}

// order compares a with b: it is negative, 0 or positive, or NaN where a float is no number. op is
// the operator for the message if the types have no order.
func (s *state) order(op string, a, b any) float64 {
	s.spend(1)
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return float64(min(1, max(-1, x-y)))
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			case x == y:
				return 0
			}
			return math.NaN()
		}
	}
	if x, ok := a.(Text); ok {
		if y, ok := b.(Text); ok {
			return float64(strings.Compare(x.s, y.s)) // UTF-8 has the order of the code points
		}
	}
	_, listA := a.(List)
	_, listB := b.(List)
	x, ok := sequence(a)
	y, ok2 := sequence(b)
	if ok && ok2 && listA == listB {
		for i := range min(len(x), len(y)) {
			if !s.equal(x[i], y[i]) {
				return s.order(op, x[i], y[i])
			}
		}
		return float64(len(x) - len(y))
	}
	defined(a)
	defined(b)
	fail("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	return 0
}

// less is a < b for sorting.
func (s *state) less(a, b any) bool { return s.order("<", a, b) < 0 }

// defined fails if v is undefined.
func defined(v any) any {
	if u, ok := v.(*undefined); ok {
		fail("%s", u.message())
	}
	return v
}

// str is Python's str(v).
func (s *state) str(v any) Text {
	switch v := v.(type) {
	case Text:
		return v
	case *undefined:
		return Text{}
	}
	b := builder{state: s}
	writeRepr(&b, v, 0)
	return b.result()
}

// repr is Python's repr(v) without its origin.
func (s *state) repr(v any) string {
	b := builder{state: s}
	writeRepr(&b, v, 0)
	return string(b.buf)
}

// maxDepth bounds nesting: of values, expressions, calls. Python's own limit is of this size.
const maxDepth = 200

// writeRepr appends repr(v).
func writeRepr(b *builder, v any, depth int) {
	b.state.spend(1)
	if depth > maxDepth {
		fail("a value is nested more than %d deep", maxDepth)
	}
	list := func(open string, items []any, close string) {
		b.str(open)
		for i, e := range items {
			if i > 0 {
				b.str(", ")
			}
			writeRepr(b, e, depth+1)
		}
		b.str(close)
	}
	switch v := v.(type) {
	case nil:
		b.str("None")
	case bool:
		if v {
			b.str("True")
		} else {
			b.str("False")
		}
	case int:
		b.str(strconv.Itoa(v))
	case float64:
		b.str(reprFloat(v))
	case Text:
		if v.html {
			b.str("Markup(")
			defer b.str(")")
		}
		b.text(reprText(v, false))
	case List:
		list("[", v, "]")
	case Tuple:
		if len(v) == 1 {
			list("(", v, ",)")
		} else {
			list("(", v, ")")
		}
	case group:
		list("(", v.tuple(), ")")
	case *Dict:
		b.str("{")
		for i, k := range v.keys {
			if i > 0 {
				b.str(", ")
			}
			writeRepr(b, k, depth+1)
			b.str(": ")
			writeRepr(b, v.values[i], depth+1)
		}
		b.str("}")
	case *rangeValue:
		fmt.Fprintf(b, "range(%d, %d", v.start, v.stop)
		if v.step != 1 {
			fmt.Fprintf(b, ", %d", v.step)
		}
		b.str(")")
	case *view:
		list("dict_"+v.kind+"([", v.items, "])")
	case *namespace:
		b.str("<Namespace ")
		writeRepr(b, v.attrs, depth+1)
		b.str(">")
	case *loop:
		fmt.Fprintf(b, "<LoopContext %d/%d>", v.index+1, len(v.items))
	case *macro:
		if v.name == "" {
			b.str("<Macro anonymous>")
		} else {
			fmt.Fprintf(b, "<Macro '%s'>", v.name)
		}
	case *undefined:
		b.str("Undefined")
	default:
		// Python prints an address.
		fail("a template must not print a %s object", typeName(v))
	}
}

// Write appends to b, for fmt.
func (b *builder) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	return len(p), nil
}

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

// reprText returns a str as Python code, with ascii in ASCII only.
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

// length is Python's len(v).
func length(v any) int {
	switch v := v.(type) {
	case Text:
		return v.length()
	case *Dict:
		return len(v.keys)
	case *rangeValue:
		return v.len()
	case *view:
		return len(v.items)
	case *undefined:
		return 0
	case *loop:
		return len(v.items)
	}
	items, ok := sequence(v)
	if !ok {
		fail("object of type '%s' has no len()", typeName(v))
	}
	return len(items)
}

// iterable returns the elements that a loop over v gives, and whether there can be a loop.
func iterable(s *state, v any) ([]any, bool) {
	switch v := v.(type) {
	case Text:
		s.spend(runeSteps * len(v.s))
		return v.runes(), true
	case *Dict:
		return v.keys, true
	case *rangeValue:
		s.spend(v.len() / elementsBuild)
		return v.items(), true
	case *view:
		return v.items, true
	case *undefined:
		return nil, true
	case *generator:
		var list []any
		for e, ok := v.next(); ok; e, ok = v.next() {
			list = append(list, e)
		}
		return list, true
	}
	return sequence(v)
}

// elements returns the elements of v, or fails.
func elements(s *state, v any) []any {
	list, ok := iterable(s, v)
	if !ok {
		fail("'%s' object is not iterable", typeName(v))
	}
	return list
}

// iterate returns a function that gives one element of v after the other.
func iterate(s *state, v any) func() (any, bool) {
	if g, ok := v.(*generator); ok {
		return g.next
	}
	list := elements(s, v)
	return func() (any, bool) {
		if len(list) == 0 {
			return nil, false
		}
		e := list[0]
		list = list[1:]
		return e, true
	}
}

// Str returns the text of a value, as {{ value }} prints it.
func Str(v any) string { return (*state)(nil).str(v).s }
