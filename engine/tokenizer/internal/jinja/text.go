package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a Python str that knows which of its bytes come from outside of the template. All
// operations on a Text keep that knowledge beside the characters, so a template sees exactly the
// text that it was given.
type Text struct {
	s     string
	spans []Span // ascending and disjoint
	html  bool   // it is a Markup of markupsafe, which escapes what is joined to it
}

// Span says that bytes [Start, End) of a Text come from outside of the template. They are the bytes
// of the source with this number from offset From on, or, if Source is Derived, were computed from
// some source. A span may be empty: it keeps the place of a source of which nothing is left.
type Span struct{ Start, End, Source, From int }

// Derived is the Source of text that is not a part of a source, but was computed from one.
const Derived = -1

// String returns a Text of the template's own.
func String(s string) Text { return Text{s: s} }

// Mark returns a Text that is the whole of a source, whose number is at least 0.
func Mark(s string, source int) Text {
	return Text{s: s, spans: []Span{{0, len(s), source, 0}}}
}

// Foreign returns a Text from outside of the template that is no part of a source.
func Foreign(s string) Text {
	return Text{s: s, spans: []Span{{0, len(s), Derived, 0}}}
}

// String returns the characters.
func (t Text) String() string { return t.s }

// Spans returns the parts that come from outside of the template, in ascending order.
func (t Text) Spans() []Span { return t.spans }

// sub returns bytes [i, j) of t.
func (t Text) sub(i, j int) Text {
	r := Text{s: t.s[i:j], html: t.html}
	for _, p := range t.spans {
		start, end := max(p.Start, i), min(p.End, j)
		if start > end || start == end && i < j && p.Start < p.End {
			continue
		}
		r.spans = append(r.spans, Span{start - i, end - i, p.Source, p.From + start - p.Start})
	}
	return r
}

// trimmed returns bytes [i, j) of t like sub, but also keeps the places of spans outside of them.
func (t Text) trimmed(i, j int) Text {
	if i == 0 && j == len(t.s) {
		return t
	}
	r := Text{s: t.s[i:j], html: t.html}
	for _, p := range t.spans {
		start, end := min(max(p.Start, i), j), max(min(p.End, j), i)
		r.spans = append(r.spans, Span{start - i, end - i, p.Source, p.From + start - p.Start})
	}
	return r
}

// derived returns s as computed from t.
func (t Text) derived(s string) Text {
	fits(len(s))
	r := Text{s: s, html: t.html}
	switch {
	case s == t.s:
		r.spans = t.spans
	case len(t.spans) > 0:
		r.spans = []Span{{0, len(s), Derived, 0}}
	}
	return r
}

// builder joins texts.
type builder struct {
	state *state // whose steps it takes; nil: nobody's
	buf   []byte
	spans []Span
}

// str appends the template's own text.
func (b *builder) str(s string) {
	b.state.spend(len(s) / bytesOfStep)
	fits(len(b.buf) + len(s))
	b.buf = append(b.buf, s...)
}

// text appends a text with its spans.
func (b *builder) text(t Text) {
	b.state.spend(len(t.s)/bytesOfStep + len(t.spans))
	at := len(b.buf)
	fits(at + len(t.s))
	b.buf = append(b.buf, t.s...)
	for _, p := range t.spans {
		p.Start, p.End = p.Start+at, p.End+at
		if n := len(b.spans); n > 0 {
			last := &b.spans[n-1]
			next := p.From
			if p.Source == Derived {
				next = last.From + last.End - last.Start
			}
			if last.End == p.Start && last.Source == p.Source &&
				last.From+last.End-last.Start == next {
				last.End = p.End
				continue
			}
		}
		b.spans = append(b.spans, p)
	}
}

// taint marks everything from offset start on as computed from outside.
func (b *builder) taint(start int) {
	for len(b.spans) > 0 && b.spans[len(b.spans)-1].End > start {
		start = min(start, b.spans[len(b.spans)-1].Start)
		b.spans = b.spans[:len(b.spans)-1]
	}
	b.spans = append(b.spans, Span{start, len(b.buf), Derived, 0})
}

func (b *builder) result() Text { return Text{s: string(b.buf), spans: b.spans} }

// concat joins two texts.
func concat(a, c Text) Text {
	fits(len(a.s) + len(c.s))
	if len(a.spans) == 0 && len(c.spans) == 0 {
		return Text{s: a.s + c.s}
	}
	var b builder
	b.buf = make([]byte, 0, len(a.s)+len(c.s))
	b.text(a)
	b.text(c)
	return b.result()
}

// Space reports whether Python's str.isspace and str.strip take r for white space.
func Space(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// strip cuts characters off both ends, or one: those of chars, or white space if chars is nil.
func (t Text) strip(left, right bool, chars *string) Text {
	cut := Space
	if chars != nil {
		cut = func(r rune) bool { return strings.ContainsRune(*chars, r) }
	}
	i, j := 0, len(t.s)
	if left {
		i = j - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		j = i + len(strings.TrimRightFunc(t.s[i:], cut))
	}
	return t.trimmed(i, j)
}

// split cuts t at separators, at most limit times if limit is not negative, from the right end if
// fromRight says so.
func (t Text) split(sep string, limit int, fromRight bool) List {
	var cuts []int
	if fromRight {
		for end := len(t.s); limit != 0; limit-- {
			i := strings.LastIndex(t.s[:end], sep)
			if i < 0 {
				break
			}
			cuts = append(cuts, i)
			end = i
		}
		for i, j := 0, len(cuts)-1; i < j; i, j = i+1, j-1 {
			cuts[i], cuts[j] = cuts[j], cuts[i]
		}
	} else {
		for at := 0; limit != 0; limit-- {
			i := strings.Index(t.s[at:], sep)
			if i < 0 {
				break
			}
			cuts = append(cuts, at+i)
			at += i + len(sep)
		}
	}
	parts := make(List, 0, len(cuts)+1)
	at := 0
	for _, i := range cuts {
		parts = append(parts, t.sub(at, i))
		at = i + len(sep)
	}
	return append(parts, t.sub(at, len(t.s)))
}

// fields cuts t at runs of white Space, at most limit times if limit is not negative.
func (t Text) fields(limit int, fromRight bool) List {
	parts := List{}
	if fromRight {
		end := len(strings.TrimRightFunc(t.s, Space))
		for end > 0 {
			start := strings.LastIndexFunc(t.s[:end], Space)
			if start >= 0 {
				_, n := utf8.DecodeRuneInString(t.s[start:])
				start += n
			} else {
				start = 0
			}
			if limit == 0 {
				start = 0
			}
			parts = append(parts, t.sub(start, end))
			if limit == 0 {
				break
			}
			limit--
			end = len(strings.TrimRightFunc(t.s[:start], Space))
		}
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		return parts
	}
	for at := 0; ; {
		at = len(t.s) - len(strings.TrimLeftFunc(t.s[at:], Space))
		if at == len(t.s) {
			return parts
		}
		end := strings.IndexFunc(t.s[at:], Space)
		if end < 0 || limit == 0 {
			end = len(t.s) - at
		}
		parts = append(parts, t.sub(at, at+end))
		at += end
		limit--
	}
}

// replace replaces at most limit occurrences of old, or all if limit is negative.
func (t Text) replace(old, by Text, limit int) Text {
	if limit == 0 || old.s != "" && !strings.Contains(t.s, old.s) {
		return t
	}
	n := strings.Count(t.s, old.s)
	if limit >= 0 {
		n = min(n, limit)
	}
	if more := len(by.s) - len(old.s); more > 0 {
		fits(min(n, maxText)*min(more, maxText) + len(t.s))
	}
	if len(t.spans) == 0 && len(by.spans) == 0 {
		return Text{s: strings.Replace(t.s, old.s, by.s, limit)}
	}
	var b builder
	at := 0
	for i := 0; limit != 0; limit-- {
		if old.s == "" {
			b.text(t.sub(at, i))
			b.text(by)
			at = i
			if i == len(t.s) {
				break
			}
			_, n := utf8.DecodeRuneInString(t.s[i:])
			i += n
			continue
		}
		next := strings.Index(t.s[at:], old.s)
		if next < 0 {
			break
		}
		b.text(t.sub(at, at+next))
		b.text(by)
		at += next + len(old.s)
	}
	b.text(t.sub(at, len(t.s)))
	return b.result()
}

// lines cuts t as str.splitlines does.
func (t Text) lines(keepEnds bool) List {
	parts := List{}
	start := 0
	for i := 0; i < len(t.s); {
		r, n := utf8.DecodeRuneInString(t.s[i:])
		if !lineEnd(r) {
			i += n
			continue
		}
		end := i
		if i += n; r == '\r' && i < len(t.s) && t.s[i] == '\n' {
			i++
		}
		if keepEnds {
			end = i
		}
		parts = append(parts, t.sub(start, end))
		start = i
	}
	if start < len(t.s) {
		parts = append(parts, t.sub(start, len(t.s)))
	}
	return parts
}

// lineEnd reports whether str.splitlines ends a line at r.
func lineEnd(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

// length returns the number of characters.
func (t Text) length() int { return utf8.RuneCountInString(t.s) }

// offset returns the byte offset of character i, which is at most length().
func (t Text) offset(i int) int {
	at := 0
	for ; i > 0; i-- {
		_, n := utf8.DecodeRuneInString(t.s[at:])
		at += n
	}
	return at
}

// runes returns the characters, each as a Text.
func (t Text) runes() []any {
	var list []any
	for i := 0; i < len(t.s); {
		_, n := utf8.DecodeRuneInString(t.s[i:])
		c := t.sub(i, i+n)
		c.html = false
		list = append(list, c)
		i += n
	}
	return list
}
