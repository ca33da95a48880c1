package jinja

import (
	"math"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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

// wordCount counts the runs of letters, digits and underscores.
func wordCount(s string) (n int) {
	in := false
	for _, r := range s {
		word := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
		if word && !in {
			n++
		}
		in = word
	}
	return n
}

// escapeHTML makes a Markup of text.
func escapeHTML(t Text) any { return markup(t) }

// joinMarkup is a + b where one is a Markup, which escapes the other.
func joinMarkup(a, b Text) Text {
	t := concat(markup(a), markup(b))
	t.html = true
	return t
}

func markup(t Text) Text {
	if t.html {
		return t
	}
	s := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").
		Replace(t.s)
	r := t.derived(s)
	r.html = true
	return r
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

func batch(s *state, v any, a *args) any {
	b := a.bind("batch", "linecount", "fill_with?")
	n := b.int(0, 0)
	var rows []any
	var row List
	for _, e := range elements(s, v) {
		if len(row) == n {
			rows = append(rows, row)
			row = List{}
		}
		row = append(row, e)
	}
	if len(row) > 0 {
		for b.given(1) && len(row) < n {
			s.spend(valueSteps)
			row = append(row, b[1])
		}
		rows = append(rows, row)
	}
	return &generator{iterate(s, List(rows))}
}

func slices(s *state, v any, a *args) any {
	b := a.bind("slice", "slices", "fill_with?")
	list := elements(s, v)
	n := b.int(0, 0)
	if n == 0 {
		fail("integer division or modulo by zero")
	}
	var columns []any
	at := 0
	for i := range max(n, 0) {
		s.spend(valueSteps)
		size := len(list) / n
		extra := i < len(list)%n
		if extra {
			size++
		}
		column := append(List{}, list[at:at+size]...)
		at += size
		if b.given(1) && !extra {
			column = append(column, b[1])
		}
		columns = append(columns, column)
	}
	return &generator{iterate(s, List(columns))}
}

func center(s *state, v any, a *args) any {
	width := a.bind("center", "width?").int(0, 80)
	return pad(s.str(v), "center", &args{pos: []any{width}})
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

// ignoreCase returns text in lower case and other values as they are.
func ignoreCase(v any) any {
	if t, ok := v.(Text); ok {
		return Text{s: changeCase(t.s, "lower")}
	}
	return v
}

// sorted sorts list by keys, which it changes too.
func sorted(s *state, list, keys []any, reverse bool) List {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool {
		if reverse {
			return s.less(keys[order[j]], keys[order[i]])
		}
		return s.less(keys[order[i]], keys[order[j]])
	})
	result := make(List, len(list))
	for i, o := range order {
		result[i] = list[o]
	}
	return result
}

func dictSort(s *state, v any, a *args) any {
	b := a.bind("dictsort", "case_sensitive?", "by?", "reverse?")
	d, ok := defined(v).(*Dict)
	if !ok {
		fail("'%s' object has no attribute 'items'", typeName(v))
	}
	var keys []any
	switch b.text(1, "key").s {
	case "key":
		keys = append(keys, d.keys...)
	case "value":
		keys = append(keys, d.values...)
	default:
		fail(`You can only sort by either "key" or "value"`)
	}
	for i := range keys {
		if !b.bool(0, false) {
			keys[i] = ignoreCase(keys[i])
		}
	}
	return sorted(s, d.pairs(), keys, b.bool(2, false))
}

// getter returns a function that gets an attribute such as a.b.0 of an element; nil gets the
// element itself.
func getter(s *state, attribute any, fallback any) func(any) any {
	var path []any
	switch a := attribute.(type) {
	case nil:
		return func(v any) any { return v }
	case Text:
		for _, p := range strings.Split(a.s, ".") {
			if i, err := strconv.Atoi(p); err == nil && p[0] != '-' && p[0] != '+' {
				path = append(path, i)
			} else {
				path = append(path, Text{s: p})
			}
		}
	default:
		path = append(path, a)
	}
	return func(v any) any {
		s.spend(1 + len(path))
		for _, p := range path {
			v = getItem(s, v, p)
			if _, ok := v.(*undefined); ok && fallback != nil {
				v = fallback
			}
		}
		return v
	}
}

// keys returns what get says of each element.
func keys(s *state, list []any, get func(any) any, caseSensitive bool) []any {
	result := make([]any, len(list))
	for i, e := range list {
		if result[i] = get(e); !caseSensitive {
			s.spend(2 * size(result[i]))
			result[i] = ignoreCase(result[i])
		}
	}
	return result
}

func sortFilter(s *state, v any, a *args) any {
	b := a.bind("sort", "reverse?", "case_sensitive?", "attribute?")
	list := elements(s, v)
	sensitive := b.bool(1, false)
	attribute := b.value(2, nil)
	by := make([]any, len(list))
	if t, ok := attribute.(Text); ok { // several attributes, with commas between them
		for i := range by {
			var key List
			for _, part := range strings.Split(t.s, ",") {
				key = append(key, keys(s, list[i:i+1], getter(s, Text{s: part}, nil), sensitive)...)
			}
			by[i] = key
		}
	} else {
		by = keys(s, list, getter(s, attribute, nil), sensitive)
	}
	return sorted(s, list, by, b.bool(0, false))
}

func unique(s *state, v any, a *args) any {
	b := a.bind("unique", "case_sensitive?", "attribute?")
	next := iterate(s, v)
	get := getter(s, b.value(1, nil), nil)
	seen := new(Dict)
	return &generator{func() (any, bool) {
		for e, ok := next(); ok; e, ok = next() {
			k := keys(s, []any{e}, get, b.bool(0, false))[0]
			if !s.hashable(k) {
				fail("unhashable type: '%s'", typeName(k))
			}
			if _, ok := seen.get(s, k); !ok {
				seen.set(s, k, nil)
				return e, true
			}
		}
		return nil, false
	}}
}

func minFilter(s *state, v any, a *args) any { return extreme(s, "min", v, a, 1) }

func maxFilter(s *state, v any, a *args) any { return extreme(s, "max", v, a, -1) }

func extreme(s *state, name string, v any, a *args, sign float64) any {
	b := a.bind(name, "case_sensitive?", "attribute?")
	list := elements(s, v)
	if len(list) == 0 {
		return &undefined{hint: "No aggregated item, sequence was empty."}
	}
	by := keys(s, list, getter(s, b.value(1, nil), nil), b.bool(0, false))
	best := 0
	for i := range by {
		if i > 0 && sign*s.order("<", by[i], by[best]) < 0 {
			best = i
		}
	}
	return list[best]
}

func groupBy(s *state, v any, a *args) any {
	b := a.bind("groupby", "attribute", "default?", "case_sensitive?")
	get := getter(s, b[0], b.value(1, nil))
	list := elements(s, v)
	by := keys(s, list, get, b.bool(2, false))
	list = sorted(s, list, by, false)
	by = keys(s, list, get, b.bool(2, false))
	groups := List{}
	for i, e := range list {
		if i == 0 || !s.equal(by[i], by[i-1]) {
			groups = append(groups, group{grouper: get(e)})
		}
		g := groups[len(groups)-1].(group)
		g.list = append(g.list, e)
		groups[len(groups)-1] = g
	}
	return groups
}

func fileSize(s *state, v any, a *args) any {
	b := a.bind("filesizeformat", "binary?")
	bytes, ok := number(toFloat(v))
	if !ok {
		fail("could not convert to float: %s", s.repr(v))
	}
	base, suffix := 1000.0, "B"
	if b.bool(0, false) {
		base, suffix = 1024, "iB"
	}
	switch {
	case bytes == 1:
		return Text{s: "1 Byte"}
	case bytes < base:
		return Text{s: strconv.Itoa(int(bytes)) + " Bytes"}
	}
	unit, prefix := base, byte(0)
	for _, p := range []byte("kMGTPEZY") {
		prefix = p
		if unit *= base; bytes < unit {
			break
		}
	}
	if suffix == "iB" && prefix == 'k' {
		prefix = 'K'
	}
	return Text{s: strconv.FormatFloat(base*bytes/unit, 'f', 1, 64) + " " + string(prefix) + suffix}
}

func first(s *state, v any, a *args) any {
	a.bind("first")
	if e, ok := iterate(s, v)(); ok {
		return e
	}
	return &undefined{hint: "No first item, sequence was empty."}
}

func last(s *state, v any, a *args) any {
	a.bind("last")
	list := reversible(s, v)
	if len(list) == 0 {
		return &undefined{hint: "No last item, sequence was empty."}
	}
	return list[len(list)-1]
}

// reversible returns the elements of a value of which Python can take the last.
func reversible(s *state, v any) []any {
	if _, ok := v.(*generator); ok {
		fail("'generator' object is not reversible")
	}
	return elements(s, v)
}

func reverse(s *state, v any, a *args) any {
	a.bind("reverse")
	if t, ok := v.(Text); ok {
		return slice(t, nil, nil, -1)
	}
	list := elements(s, v)
	turned := make(List, len(list))
	for i, e := range list {
		turned[len(list)-1-i] = e
	}
	if _, ok := v.(*generator); ok {
		return turned
	}
	return &generator{iterate(s, turned)}
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

func formatFilter(s *state, v any, a *args) any {
	if len(a.kw) == 0 {
		return percent(s, s.str(v), Tuple(a.pos))
	}
	if len(a.pos) > 0 {
		fail("can't handle positional and keyword arguments at the same time")
	}
	d := new(Dict)
	for _, k := range a.kw {
		d.set(s, Text{s: k.name}, k.value)
	}
	return percent(s, s.str(v), d)
}

func indent(s *state, v any, a *args) any {
	b := a.bind("indent", "width?", "first?", "blank?")
	t, ok := defined(v).(Text)
	if !ok {
		fail("unsupported operand type(s) for +=: '%s' and 'str'", typeName(v))
	}
	by, ok := b.value(0, 4).(Text)
	if !ok {
		by = Text{s: strings.Repeat(" ", checkWidth(max(b.int(0, 4), 0)))}
	}
	var out builder
	if b.bool(1, false) {
		out.text(by)
	}
	for i, line := range concat(t, Text{s: "\n"}).lines(false) {
		line := line.(Text)
		if i > 0 {
			out.str("\n")
			if line.s != "" || b.bool(2, false) {
				out.text(by)
			}
		}
		out.text(line)
	}
	r := out.result()
	r.html = t.html
	return r
}

func itemsFilter(s *state, v any, a *args) any {
	a.bind("items")
	d, ok := v.(*Dict)
	if _, none := v.(*undefined); !ok && !none {
		fail("Can only get item pairs from a mapping.")
	}
	var pairs List
	if ok {
		pairs = d.pairs()
	}
	return &generator{iterate(s, pairs)}
}

func joinFilter(s *state, v any, a *args) any {
	b := a.bind("join", "d?", "attribute?")
	list := elements(s, v)
	get := getter(s, b.value(1, nil), nil)
	parts := make([]any, len(list))
	for i, e := range list {
		parts[i] = get(e)
	}
	return join(s, s.str(b.value(0, Text{})), parts, true)
}

func listFilter(s *state, v any, a *args) any {
	a.bind("list")
	return append(List{}, elements(s, v)...)
}

func mapFilter(s *state, v any, a *args) any {
	get := func(e any) any { return e }
	if len(a.pos) == 0 {
		b := a.bind("map", "attribute", "default?")
		get = getter(s, b[0], b.value(1, nil))
	} else {
		name := s.str(a.pos[0]).s
		f := filters[name]
		if f == nil {
			fail("No filter named '%s'.", name)
		}
		rest := args{a.pos[1:], a.kw}
		get = func(e any) any { return s.filter(f, e, &args{rest.pos, rest.kw}) }
	}
	return lazy(s, v, func(next func() (any, bool)) (any, bool) {
		e, ok := next()
		if !ok {
			return nil, false
		}
		return get(e), true
	})
}

// lazy returns a generator over v that is empty if v is false.
func lazy(s *state, v any, step func(next func() (any, bool)) (any, bool)) *generator {
	var next func() (any, bool)
	return &generator{func() (any, bool) {
		if next == nil {
			if !truth(v) {
				return nil, false
			}
			next = iterate(s, v)
		}
		return step(next)
	}}
}

// selectFilter is select, reject, selectattr and rejectattr.
func selectFilter(name string, ofAttribute, keep bool) filter {
	return func(s *state, v any, a *args) any {
		rest := a.pos
		get := func(e any) any { return e }
		if ofAttribute {
			if len(rest) == 0 {
				fail("Missing parameter for attribute name")
			}
			get = getter(s, rest[0], nil)
			rest = rest[1:]
		}
		holds := truth
		if len(rest) > 0 {
			name := s.str(rest[0]).s
			f := tests[name]
			if f == nil {
				fail("No test named '%s'.", name)
			}
			rest = rest[1:]
			holds = func(e any) bool { return s.test(f, e, &args{rest, a.kw}) }
		}
		return lazy(s, v, func(next func() (any, bool)) (any, bool) {
			for e, ok := next(); ok; e, ok = next() {
				if holds(get(e)) == keep {
					return e, true
				}
			}
			return nil, false
		})
	}
}

func replaceFilter(s *state, v any, a *args) any {
	b := a.bind("replace", "old", "new", "count?")
	count := -1
	if b.given(2) {
		count = b.int(2, -1)
	}
	t := s.str(v)
	t.html = false
	return t.replace(s.str(b[0]), s.str(b[1]), count)
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

func sum(s *state, v any, a *args) any {
	b := a.bind("sum", "attribute?", "start?")
	get := getter(s, b.value(0, nil), nil)
	total := b.value(1, 0)
	if _, ok := total.(Text); ok {
		fail("sum() can't sum strings [use ''.join(seq) instead]")
	}
	for _, e := range elements(s, v) {
		total = arithmetic(s, "+", total, get(e))
	}
	return total
}

func trim(s *state, v any, a *args) any {
	b := a.bind("trim", "chars?")
	var chars *string
	if b.given(0) {
		c := b.text(0, "").s
		chars = &c
	}
	return s.str(v).strip(true, true, chars)
}

// titleWords is the filter title, which begins words elsewhere than str.title.
func titleWords(s string) string {
	var b strings.Builder
	word := func(w string) {
		if w != "" {
			_, n := utf8.DecodeRuneInString(w)
			b.WriteString(changeCase(w[:n], "upper") + changeCase(w[n:], "lower"))
		}
	}
	start := 0
	for i, r := range s {
		if Space(r) || strings.ContainsRune("-({[<", r) {
			word(s[start:i])
			b.WriteRune(r)
			start = i + utf8.RuneLen(r)
		}
	}
	word(s[start:])
	return b.String()
}

func truncateFilter(_ *state, v any, a *args) any {
	b := a.bind("truncate", "length?", "killwords?", "end?", "leeway?")
	n, end := b.int(0, 255), b.text(2, "...")
	leeway := 5
	if b.given(3) {
		leeway = b.int(3, 5)
	}
	t, ok := v.(Text)
	if !ok {
		if length(v) <= n+leeway {
			return v
		}
		fail("can only truncate str, not %s", typeName(v))
	}
	if n < end.length() || leeway < 0 {
		fail("expected length >= %d, got %d", end.length(), n)
	}
	if t.length() <= n+leeway {
		return t
	}
	short := t.sub(0, t.offset(n-end.length()))
	if !b.bool(1, false) {
		short = short.split(" ", 1, true)[0].(Text)
	}
	r, _ := add(short, end)
	return r
}

// urlencode quotes text, or makes a query of a dict or a list of pairs.
func urlencode(s *state, v any, a *args) any {
	a.bind("urlencode")
	quote := func(v any, query bool) string {
		s := strings.ReplaceAll(url.QueryEscape(s.str(v).s), "%7E", "~")
		if query {
			return s
		}
		return strings.ReplaceAll(strings.ReplaceAll(s, "+", "%20"), "%2F", "/")
	}
	var pairs []any
	switch v := v.(type) {
	case *Dict:
		pairs = v.pairs()
	case Text:
		return v.derived(quote(v, false))
	default:
		list, ok := iterable(s, v)
		if !ok {
			return Text{s: quote(v, false)}
		}
		pairs = list
	}
	var b builder
	for i, p := range pairs {
		pair := elements(s, p)
		if len(pair) != 2 {
			fail("urlencode needs pairs")
		}
		if i > 0 {
			b.str("&")
		}
		b.str(quote(pair[0], true) + "=" + quote(pair[1], true))
	}
	if len(b.buf) > 0 {
		b.taint(0)
	}
	return b.result()
}
