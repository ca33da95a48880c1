package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxDepth is how deep values may be nested, as in encoding/json.
const maxDepth = 10000

// maxObjects is how many values an array of structs or of raw JSON may have: as many as Anthropic's
// API takes messages. A value takes two or three bytes of a body, and a struct some hundred of
// memory.
const maxObjects = 100_000

// Unmarshal reads the JSON value in b into v, which is a pointer, by the rules of encoding/json
// with these differences:
//
//   - A name must be exact: neither case nor Unicode's case folding is ignored. A field without a
//     tag has its Go name in lower case.
//   - A name must not stand twice in an object, at any depth.
//   - An array of structs or of json.RawMessage has at most maxObjects.
//   - An integer may be written in any way that JSON has: 16, 16.0 and 1.6e1 are the same number.
//   - Errors are a *SyntaxError, a *TypeError with the whole path, a *TwinError, or what an
//     UnmarshalJSON method returns.
//
// A json.RawMessage holds the bytes as they stand in b, and shares them.
func Unmarshal(b []byte, v any) error { return UnmarshalAt("", b, v) }

// UnmarshalAt is Unmarshal for a value that was kept raw of a longer text, where it stands at the
// path given. The paths of errors begin with it.
func UnmarshalAt(path string, b []byte, v any) error {
	d := decoder{b: b, base: path}
	d.space()
	if err := d.value(reflect.ValueOf(v).Elem()); err != nil {
		return err
	}
	d.space()
	if d.at < len(b) {
		return d.unexpected("after top-level value")
	}
	return nil
}

// A decoder reads the value that begins at b[at].
type decoder struct {
	b     []byte
	at    int
	base  string // where b stands in the text that errors speak of; "": b is that text
	depth int
	path  []step
	names [][]byte // of the objects that are open, the innermost last
}

// A step leads from a value to one within it: to a name of an object or to an index of an array.
type step struct {
	name  []byte // nil: index counts
	index int
}

func (d *decoder) where() string {
	b := []byte(d.base)
	for _, s := range d.path {
		switch {
		case s.name == nil:
			b = append(strconv.AppendInt(append(b, '['), int64(s.index), 10), ']')
		case len(b) > 0:
			b = append(append(b, '.'), s.name...)
		default:
			b = append(b, s.name...)
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func (d *decoder) space() {
	for d.at < len(d.b) {
		switch d.b[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

// unexpected returns the error for what stands at d.at. where says what was read before or was
// looked for.
func (d *decoder) unexpected(where string) error {
	if d.at >= len(d.b) {
		return &SyntaxError{Offset: d.at, Message: "unexpected end of JSON input"}
	}
	r, _ := utf8.DecodeRune(d.b[d.at:])
	return &SyntaxError{Offset: d.at + 1, Message: fmt.Sprintf("invalid character %q %s", r, where)}
}

var (
	rawType      = reflect.TypeFor[json.RawMessage]()
	decodingType = reflect.TypeFor[json.Unmarshaler]()
)

// value reads the value at d.at into v.
func (d *decoder) value(v reflect.Value) error {
	if v.Type() == rawType || v.CanAddr() && v.Addr().Type().Implements(decodingType) {
		from := d.at
		if err := d.skip(); err != nil {
			return err
		}
		raw := d.b[from:d.at:d.at]
		if v.Type() == rawType {
			v.SetBytes(raw)
			return nil
		}
		return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw)
	}
	if d.at < len(d.b) && d.b[d.at] == 'n' {
		if err := d.literal("null"); err != nil {
			return err
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			v.SetZero()
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem())
	case reflect.Struct:
		return d.structure(v)
	case reflect.Map:
		return d.mapping(v)
	case reflect.Slice:
		return d.array(v)
	default:
		return d.scalar(v)
	}
}

// structure reads an object into the fields of a struct. What has no field is skipped.
func (d *decoder) structure(v reflect.Value) error {
	if d.at >= len(d.b) || d.b[d.at] != '{' {
		return d.mismatch("an object")
	}
	fields := fieldsOf(v.Type())
	return d.object(func(name []byte) error {
		if index, ok := fields[string(name)]; ok {
			return d.value(v.FieldByIndex(index))
		}
		return d.skip()
	})
}

// mapping reads an object into a map with strings as keys.
func (d *decoder) mapping(v reflect.Value) error {
	if d.at >= len(d.b) || d.b[d.at] != '{' {
		return d.mismatch("an object")
	}
	v.Set(reflect.MakeMap(v.Type()))
	return d.object(func(name []byte) error {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(item); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(string(name)).Convert(v.Type().Key()), item)
		return nil
	})
}

func (d *decoder) array(v reflect.Value) error {
	if d.at >= len(d.b) || d.b[d.at] != '[' {
		return d.mismatch("an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	elem := v.Type().Elem()
	objects := elem.Kind() == reflect.Struct || elem == rawType
	return d.elements(func() error {
		n := v.Len()
		if objects && n == maxObjects {
			return d.typeError(fmt.Sprintf("at most %d values", n), "more")
		}
		v.Grow(1)
		v.SetLen(n + 1)
		return d.value(v.Index(n))
	})
}

// mismatch returns the error for the value at d.at, in whose place a value of another type is
// wanted.
func (d *decoder) mismatch(want string) error {
	from := d.at
	if d.at < len(d.b) && (d.b[d.at] == '{' || d.b[d.at] == '[') {
		d.at++ // what is in it does not matter
	} else if err := d.skip(); err != nil {
		return err
	}
	var got string
	switch c := d.b[from]; c {
	case '{':
		got = "object"
	case '[':
		got = "array"
	case '"':
		got = "string"
	case 't', 'f':
		got = "bool"
	default:
		got = "number"
		if want != "an object" && want != "an array" && want != "a string" {
			got += " " + string(d.b[from:d.at])
		}
	}
	return d.typeError(want, got)
}

// typeError returns the error for the value that ends at d.at.
func (d *decoder) typeError(want, got string) error {
	e := &TypeError{Path: d.where(), Want: want, Got: got}
	if d.base == "" {
		e.Offset = d.at
	}
	return e
}

func (d *decoder) scalar(v reflect.Value) error {
	if d.at >= len(d.b) {
		return d.unexpected("looking for beginning of value")
	}
	from, c := d.at, d.b[d.at]
	number := c == '-' || '0' <= c && c <= '9'
	switch v.Kind() {
	case reflect.String:
		if c != '"' {
			return d.mismatch("a string")
		}
		raw, err := d.stringLiteral()
		if err != nil {
			return err
		}
		v.SetString(text(raw))
	case reflect.Bool:
		if c != 't' && c != 'f' {
			return d.mismatch("a boolean")
		}
		if err := d.skip(); err != nil {
			return err
		}
		v.SetBool(c == 't')
	case reflect.Int, reflect.Int64:
		if !number {
			return d.mismatch("an integer")
		}
		if err := d.number(); err != nil {
			return err
		}
		n, ok := integer(d.b[from:d.at])
		if !ok {
			d.at = from
			return d.mismatch("an integer")
		}
		v.SetInt(n)
	case reflect.Float64:
		if !number {
			return d.mismatch("a number")
		}
		if err := d.number(); err != nil {
			return err
		}
		f, err := strconv.ParseFloat(string(d.b[from:d.at]), 64)
		if err != nil {
			d.at = from
			return d.mismatch("a number")
		}
		v.SetFloat(f)
	default:
		panic("wire: Unmarshal into a " + v.Type().String())
	}
	return nil
}

// skip passes over a value of any type.
func (d *decoder) skip() error {
	if d.at >= len(d.b) {
		return d.unexpected("looking for beginning of value")
	}
	switch c := d.b[d.at]; {
	case c == '{':
		return d.object(func([]byte) error { return d.skip() })
	case c == '[':
		return d.elements(d.skip)
	case c == '"':
		_, err := d.stringLiteral()
		return err
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case c == 't':
		return d.literal("true")
	case c == 'f':
		return d.literal("false")
	case c == 'n':
		return d.literal("null")
	}
	return d.unexpected("looking for beginning of value")
}

// object reads an object and calls member with each name; member reads the value.
func (d *decoder) object(member func(name []byte) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	open := len(d.names)
	var seen map[string]bool // where there are many names
	for first := true; ; first = false {
		d.space()
		if d.at < len(d.b) && d.b[d.at] == '}' && first {
			break
		}
		if d.at >= len(d.b) || d.b[d.at] != '"' {
			return d.unexpected("looking for beginning of object key string")
		}
		raw, err := d.stringLiteral()
		if err != nil {
			return err
		}
		name := raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			name = []byte(text(raw))
		}
		d.path = append(d.path, step{name: name})
		if d.isTwin(open, name, &seen) {
			return &TwinError{Path: d.where()}
		}
		if d.space(); d.at >= len(d.b) || d.b[d.at] != ':' {
			return d.unexpected("after object key")
		}
		d.at++
		d.space()
		if err := member(name); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		d.space()
		if d.at < len(d.b) && d.b[d.at] == ',' {
			d.at++
			continue
		}
		if d.at >= len(d.b) || d.b[d.at] != '}' {
			return d.unexpected("after object key:value pair")
		}
		break
	}
	d.at++
	d.names = d.names[:open]
	d.depth--
	return nil
}

// isTwin notes a name of the innermost object, whose names are d.names[open:], and reports whether
// it was there before.
func (d *decoder) isTwin(open int, name []byte, seen *map[string]bool) bool {
	const few = 16
	if *seen != nil {
		twin := (*seen)[string(name)]
		(*seen)[string(name)] = true
		return twin
	}
	for _, n := range d.names[open:] {
		if bytes.Equal(n, name) {
			return true
		}
	}
	d.names = append(d.names, name)
	if len(d.names)-open > few {
		*seen = make(map[string]bool)
		for _, n := range d.names[open:] {
			(*seen)[string(n)] = true
		}
	}
	return false
}

// elements reads an array and calls element for each of its elements, which reads it.
func (d *decoder) elements(element func() error) error {
	if err := d.enter(); err != nil {
		return err
	}
	d.path = append(d.path, step{})
	for i := 0; ; i++ {
		d.space()
		if d.at < len(d.b) && d.b[d.at] == ']' && i == 0 {
			break
		}
		d.path[len(d.path)-1].index = i
		if err := element(); err != nil {
			return err
		}
		d.space()
		if d.at < len(d.b) && d.b[d.at] == ',' {
			d.at++
			continue
		}
		if d.at >= len(d.b) || d.b[d.at] != ']' {
			return d.unexpected("after array element")
		}
		break
	}
	d.at++
	d.path = d.path[:len(d.path)-1]
	d.depth--
	return nil
}

// enter begins an object or an array.
func (d *decoder) enter() error {
	if d.depth++; d.depth > maxDepth {
		return &SyntaxError{Offset: d.at, Message: "exceeded max depth"}
	}
	d.at++
	return nil
}

var fieldTables sync.Map // from reflect.Type to map[string][]int

// fieldsOf returns the index of each name's field. The fields of an embedded struct are those of
// the struct around it.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fieldTables.Load(t); ok {
		return known.(map[string][]int)
	}
	fields := make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "", !f.IsExported(), tag == "-":
		case tag != "":
			fields[tag] = f.Index
		default:
			fields[strings.ToLower(f.Name)] = f.Index
		}
	}
	fieldTables.Store(t, fields)
	return fields
}
