package jinja

import (
	"math"
	"strconv"
	"strings"
)

// filter is a filter of Jinja: value | name(args).
type filter func(s *state, v any, a *args) any

// filters are the filters of Jinja that this package has, with transformers' own tojson.
var filters map[string]filter

// missing are Jinja's other filters: they make HTML, or print what differs from run to run.
var missing = set(`pprint random striptags urlize xmlattr wordwrap`)

// textFilter is a filter of s.str(v) without arguments.
func textFilter(name string, of func(t Text) any) filter {
	return func(s *state, v any, a *args) any {
		a.bind(name)
		return of(s.str(v))
	}
}

// methodFilter is a filter that is a method of str.
func methodFilter(name string) filter {
	return textFilter(name, func(t Text) any { return t.derived(changeCase(t.s, name)) })
}

func init() {
	escape := textFilter("escape", escapeHTML)
	filters = map[string]filter{
		"abs": absFilter, "attr": attrFilter, "batch": batch, "center": center,
		"count": lengthFilter, "d": defaultFilter, "default": defaultFilter, "dictsort": dictSort,
		"e": escape, "escape": escape, "forceescape": escape, "filesizeformat": fileSize,
		"first": first, "float": floatFilter, "format": formatFilter, "groupby": groupBy,
		"indent": indent, "int": intFilter, "items": itemsFilter, "join": joinFilter, "last": last,
		"length": lengthFilter, "list": listFilter, "map": mapFilter, "max": maxFilter,
		"min": minFilter, "replace": replaceFilter, "reverse": reverse, "round": round,
		"slice": slices, "sort": sortFilter, "sum": sum, "tojson": tojson, "trim": trim,
		"truncate": truncateFilter, "unique": unique, "urlencode": urlencode,
		"lower": methodFilter("lower"), "upper": methodFilter("upper"),
		"capitalize": methodFilter("capitalize"),
		"title":      textFilter("title", func(t Text) any { return t.derived(titleWords(t.s)) }),
		"string":     textFilter("string", func(t Text) any { return t }),
		"safe": textFilter("safe", func(t Text) any {
			t.html = true
			return t
		}),
		"wordcount":  textFilter("wordcount", func(t Text) any { return wordCount(t.s) }),
		"select":     selectFilter("select", false, true),
		"reject":     selectFilter("reject", false, false),
		"selectattr": selectFilter("selectattr", true, true),
		"rejectattr": selectFilter("rejectattr", true, false),
	}
}

func absFilter(_ *state, v any, a *args) any {
	a.bind("abs")
	if f, ok := defined(v).(float64); ok {
		return math.Abs(f)
	}
	i, ok := integer(v)
	if !ok {
		fail("bad operand type for abs(): '%s'", typeName(v))
	}
	return max(i, sub(0, i))
}

func attrFilter(_ *state, v any, a *args) any {
	name := a.bind("attr", "name").text(0, "").s
	defined(v)
	if d, ok := v.(*Dict); ok {
		if m, ok := dictAttribute(d, name); ok {
			return m
		}
	} else if m, ok := attribute(v, name); ok {
		return m
	}
	return &undefined{of: v, has: true, name: Text{s: name}}
}

func lengthFilter(_ *state, v any, a *args) any {
	a.bind("length")
	return length(v)
}

func defaultFilter(_ *state, v any, a *args) any {
	b := a.bind("default", "default_value?", "boolean?")
	if _, ok := v.(*undefined); ok || b.bool(1, false) && !truth(v) {
		return b.value(0, Text{})
	}
	return v
}

// toFloat returns Python's float(v), or nil if v is not a number.
func toFloat(v any) any {
	defined(v)
	if t, ok := v.(Text); ok {
		s := strings.ToLower(strings.ReplaceAll(strings.TrimFunc(t.s, Space), "_", ""))
		if strings.ContainsAny(s, "xp") {
			return nil
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil
		}
		return f
	}
	if f, ok := number(v); ok {
		return f
	}
	return nil
}

func floatFilter(_ *state, v any, a *args) any {
	b := a.bind("float", "default?")
	if f := toFloat(v); f != nil {
		return f
	}
	return b.value(0, 0.0)
}

func intFilter(_ *state, v any, a *args) any {
	b := a.bind("int", "default?", "base?")
	defined(v)
	if t, ok := v.(Text); ok {
		s := strings.TrimFunc(t.s, Space)
		base := b.int(1, 10)
		plain := strings.ReplaceAll(s, "_", "")
		if base == 16 || base == 8 || base == 2 {
			sign := ""
			if plain != "" && (plain[0] == '-' || plain[0] == '+') {
				sign, plain = plain[:1], plain[1:]
			}
			prefix := map[int]string{16: "0x", 8: "0o", 2: "0b"}[base]
			plain = sign + strings.TrimPrefix(strings.ToLower(plain), prefix)
		}
		i, err := strconv.ParseInt(plain, base, 64)
		if err == nil {
			return int(i)
		}
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			fail("the integer %s is too large", s)
		}
	} else if i, ok := integer(v); ok {
		return i
	}
	f, ok := toFloat(v).(float64)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return b.value(0, 0)
	}
	return truncate(f)
}

// maxDecimals is more digits than any float64 has behind its point.
const maxDecimals = 1100

func round(_ *state, v any, a *args) any {
	b := a.bind("round", "precision?", "method?")
	places := b.int(0, 0)
	x, ok := number(defined(v))
	if !ok {
		fail("type %s doesn't define __round__ method", typeName(v))
	}
	scale := math.Pow(10, float64(places))
	switch b.text(1, "common").s {
	case "ceil", "floor":
		f := math.Ceil
		if b.text(1, "").s == "floor" {
			f = math.Floor
		}
		if i, isInt := integer(v); isInt && places >= 0 {
			return float64(i)
		}
		return f(x*scale)/scale + 0 // not -0.0
	case "common":
	default:
		fail("method must be common, ceil or floor")
	}
	if i, isInt := integer(v); isInt {
		if places >= 0 {
			return i
		}
		return int(math.RoundToEven(x/math.Pow(10, float64(-places))) * math.Pow(10, float64(-places)))
	}
	if places >= 0 { // decimal digits, exactly, as Python rounds
		f, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', min(places, maxDecimals), 64), 64)
		return f
	}
	return math.RoundToEven(x*scale) / scale
}
