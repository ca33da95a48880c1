package jinja

import (
	"strings"
	"unicode/utf8"
)

// textMethod calls a method of str.
func textMethod(s *state, t Text, name string, a *args) any {
	if t.html && !markupMethods[name] {
		fail("the method %s of text behind the filter safe or escape is not supported", name)
	}
	switch name {
	case "strip", "lstrip", "rstrip":
		return strip(t, name, a)
	case "split", "rsplit":
		return split(s, t, name, a)
	case "replace":
		return replace(t, name, a)
	case "startswith", "endswith":
		return affix(t, name, a)
	case "find", "rfind", "index", "rindex", "count":
		return find(t, name, a)
	case "join":
		return join(s, t, elements(s, a.bind(name, "/iterable")[0]), false)
	case "partition", "rpartition":
		return partition(t, name, a.bind(name, "/sep").text(0, "").s)
	case "splitlines":
		s.spend(runeSteps * len(t.s) / 8)
		return t.lines(a.bind(name, "keepends?").bool(0, false))
	case "removeprefix":
		if p := a.bind(name, "/prefix").text(0, "").s; strings.HasPrefix(t.s, p) {
			return t.sub(len(p), len(t.s))
		}
		return t
	case "removesuffix":
		if p := a.bind(name, "/suffix").text(0, "").s; strings.HasSuffix(t.s, p) {
			return t.sub(0, len(t.s)-len(p))
		}
		return t
	case "center", "ljust", "rjust", "zfill":
		return pad(t, name, a)
	case "expandtabs":
		return expandTabs(t, a.bind(name, "tabsize?").int(0, 8))
	case "format":
		return format(s, t, a.pos, a.kw)
	case "format_map":
		return formatMap(s, t, a.bind(name, "/mapping")[0])
	}
	a.bind(name)
	if strings.HasPrefix(name, "is") {
		return isKind(t.s, name)
	}
	return t.derived(changeCase(t.s, name))
}

// strip is strip, lstrip and rstrip.
func strip(t Text, name string, a *args) Text {
	var chars *string
	if b := a.bind(name, "/chars?"); b.given(0) {
		c := b.text(0, "").s
		chars = &c
	}
	return t.strip(name != "rstrip", name != "lstrip", chars)
}

// split is split and rsplit.
func split(s *state, t Text, name string, a *args) List {
	b := a.bind(name, "sep?", "maxsplit?")
	limit := b.int(1, -1)
	if !b.given(0) {
		s.spend(runeSteps * len(t.s) / 2)
		return t.fields(limit, name == "rsplit")
	}
	sep := b.text(0, "")
	if sep.s == "" {
		fail("empty separator")
	}
	s.spend(runeSteps * strings.Count(t.s, sep.s))
	return t.split(sep.s, limit, name == "rsplit")
}

func replace(t Text, name string, a *args) Text {
	b := a.bind(name, "/old", "/new", "/count?")
	by := b.text(1, "")
	if t.html {
		by = markup(b[1].(Text))
	}
	r := t.replace(b.text(0, ""), by, b.int(2, -1))
	r.html = t.html
	return r
}

// formatMap is t.format_map(mapping).
func formatMap(s *state, t Text, mapping any) Text {
	d, ok := mapping.(*Dict)
	if !ok {
		fail("format_map() needs a dict")
	}
	var kw []keyword
	for i, k := range d.keys {
		kw = append(kw, keyword{s.str(k).s, d.values[i]})
	}
	return format(s, t, nil, kw)
}

// part returns the bytes of t between the characters that arguments i and i+1 give.
func part(t Text, b bound, i int) (start, end int, ok bool) {
	if !b.given(i) && !b.given(i+1) {
		return 0, len(t.s), true
	}
	n := t.length()
	from, to := 0, n
	if b.given(i) {
		from = b.int(i, 0)
		if from < 0 {
			from = max(0, from+n)
		}
	}
	if b.given(i + 1) {
		to = clamp(b.int(i+1, n), n)
	}
	if from > n || from > to {
		return 0, 0, false
	}
	start = t.offset(from)
	return start, start + t.sub(start, len(t.s)).offset(to-from), true
}

// affix is startswith and endswith.
func affix(t Text, name string, a *args) any {
	b := a.bind(name, "/prefix", "/start?", "/end?")
	has := strings.HasPrefix
	if name == "endswith" {
		has = strings.HasSuffix
	}
	start, end, ok := part(t, b, 1)
	options := []any{b[0]}
	if list, isTuple := b[0].(Tuple); isTuple {
		options = list
	}
	for _, o := range options {
		p, isText := o.(Text)
		if !isText {
			fail("%s first arg must be str or a tuple of str, not %s", name, typeName(o))
		}
		if ok && has(t.s[start:end], p.s) {
			return true
		}
	}
	return false
}

// find is find, rfind, index, rindex and count.
func find(t Text, name string, a *args) any {
	b := a.bind(name, "/sub", "/start?", "/end?")
	what := b.text(0, "").s
	start, end, ok := part(t, b, 1)
	if name == "count" {
		if !ok {
			return 0
		}
		return strings.Count(t.s[start:end], what)
	}
	i := -1
	if ok {
		if strings.HasPrefix(name, "r") {
			i = strings.LastIndex(t.s[start:end], what)
		} else {
			i = strings.Index(t.s[start:end], what)
		}
	}
	if i >= 0 {
		return utf8.RuneCountInString(t.s[:start+i])
	}
	if strings.HasSuffix(name, "index") {
		fail("substring not found")
	}
	return -1
}

// join is sep.join(items). convert makes text of items that are not.
func join(s *state, sep Text, items []any, convert bool) any {
	b := builder{state: s}
	for i, e := range items {
		if i > 0 {
			b.text(sep)
		}
		t, ok := e.(Text)
		if !ok {
			if !convert {
				fail("sequence item %d: expected str instance, %s found", i, typeName(e))
			}
			t = s.str(e)
		}
		b.text(t)
	}
	return b.result()
}

func partition(t Text, name, sep string) any {
	if sep == "" {
		fail("empty separator")
	}
	i := strings.Index(t.s, sep)
	if name == "rpartition" {
		i = strings.LastIndex(t.s, sep)
	}
	switch {
	case i >= 0:
		return Tuple{t.sub(0, i), t.sub(i, i+len(sep)), t.sub(i+len(sep), len(t.s))}
	case name == "partition":
		return Tuple{t, Text{}, Text{}}
	}
	return Tuple{Text{}, Text{}, t}
}

// pad is center, ljust, rjust and zfill.
func pad(t Text, name string, a *args) Text {
	fill := "0"
	var b bound
	if name == "zfill" {
		b = a.bind(name, "/width")
	} else {
		b = a.bind(name, "/width", "/fillchar?")
		if fill = b.text(1, " ").s; utf8.RuneCountInString(fill) != 1 {
			fail("the fill character must be exactly one character long")
		}
	}
	width := b.int(0, 0)
	checkWidth(max(width, 0))
	n := max(0, width-t.length())
	left := 0
	switch name {
	case "center":
		left = n/2 + n&width&1
	case "rjust", "zfill":
		left = n
	}
	many := func(n int) Text {
		v, _ := repeat(Text{s: fill}, n)
		return v.(Text)
	}
	if name == "zfill" && t.s != "" && (t.s[0] == '-' || t.s[0] == '+') {
		return concat(concat(t.sub(0, 1), many(n)), t.sub(1, len(t.s)))
	}
	return concat(concat(many(left), t), many(n-left))
}

func expandTabs(t Text, size int) Text {
	if !strings.Contains(t.s, "\t") {
		return t
	}
	var b builder
	column := 0
	for i, r := range t.s {
		switch {
		case r == '\t' && size > 0:
			n := checkWidth(size) - column%size
			b.str(strings.Repeat(" ", n))
			column += n
		case r == '\t':
		default:
			b.text(t.sub(i, i+utf8.RuneLen(r)))
			if column++; r == '\n' || r == '\r' {
				column = 0
			}
		}
	}
	return b.result()
}
