package jinja

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

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

func center(s *state, v any, a *args) any {
	width := a.bind("center", "width?").int(0, 80)
	return pad(s.str(v), "center", &args{pos: []any{width}})
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

func fileSize(s *state, v any, a *args) any {
	b := a.bind("filesizeformat", "binary?")
	bytes, ok := number(toFloat(v))
	if !ok {
		fail("could not convert to float: %s", s.repr(v).s)
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
