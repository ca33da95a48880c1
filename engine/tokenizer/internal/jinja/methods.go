package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func set(names string) map[string]bool {
	m := make(map[string]bool)
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

// The methods of Python's types. Those of str that are left out make bytes or tables.
var (
	textMethods = set(`capitalize casefold center count endswith expandtabs find format format_map
		index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable
		isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace
		rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title
		upper zfill`)
	listMethods  = set(`append clear copy count extend index insert pop remove reverse sort`)
	tupleMethods = set(`count index`)
	dictMethods  = set(`clear copy get items keys pop popitem setdefault update values`)
	// mutators are the methods that Jinja's ImmutableSandboxedEnvironment refuses.
	mutators = set(`append clear extend insert pop popitem remove reverse setdefault sort update`)

	// markupMethods are the methods of str that do for a Markup what they do for text.
	markupMethods = set(`capitalize casefold count endswith find index lower lstrip removeprefix
		removesuffix replace rfind rindex rsplit rstrip split splitlines startswith strip swapcase title
		upper isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable
		isspace istitle isupper`)

	floatMethods  = set(`is_integer`)
	intMethods    = set(`bit_length`)
	cyclerMethods = set(`next reset`)
	loopMethods   = set(`cycle changed`)
)

// methodNames are the methods of all types.
var methodNames = []map[string]bool{textMethods, listMethods, tupleMethods, dictMethods,
	floatMethods, intMethods, cyclerMethods, loopMethods}

// methodsOf returns the names of the methods of a value.
func methodsOf(v any) map[string]bool {
	switch v.(type) {
	case Text:
		return textMethods
	case List:
		return listMethods
	case Tuple, group, *rangeValue:
		return tupleMethods
	case *Dict:
		return dictMethods
	case int, bool:
		return intMethods
	case float64:
		return floatMethods
	case *cycler:
		return cyclerMethods
	case *loop:
		return loopMethods
	}
	return nil
}

// callMethod calls a method that methodsOf has.
func callMethod(s *state, of any, name string, a *args) any {
	s.spend(size(of) + a.size())
	v := methodValue(s, of, name, a)
	s.spend(size(v))
	return v
}

// methodValue returns what a method gives.
func methodValue(s *state, of any, name string, a *args) any {
	switch of := of.(type) {
	case Text:
		return textMethod(s, of, name, a)
	case *Dict:
		return dictMethod(s, of, name, a)
	case *loop:
		return of.method(s, name, a)
	case *cycler:
		a.bind(name)
		if name == "reset" {
			of.at = 0
			return nil
		}
		v := of.items[of.at]
		of.at = (of.at + 1) % len(of.items)
		return v
	case float64:
		a.bind(name)
		return of == float64(int(of))
	}
	if i, ok := integer(of); ok {
		a.bind(name)
		n := 0
		for u := magnitude(i); u > 0; u >>= 1 {
			n++
		}
		return n
	}
	return listMethod(s, of, name, a)
}

func listMethod(s *state, of any, name string, a *args) any {
	list := elements(s, of)
	switch name {
	case "copy":
		a.bind(name)
		return of
	case "count":
		v := a.bind(name, "/value")[0]
		n := 0
		for _, e := range list {
			if s.equal(e, v) {
				n++
			}
		}
		return n
	}
	b := a.bind(name, "/value", "/start?", "/stop?")
	n := len(list)
	for i := clamp(b.int(1, 0), n); i < clamp(b.int(2, n), n); i++ {
		if s.equal(list[i], b[0]) {
			return i
		}
	}
	fail("%s is not in list", s.repr(b[0]))
	return nil
}

// clamp returns a bound of a slice of n elements.
func clamp(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

func dictMethod(s *state, d *Dict, name string, a *args) any {
	switch name {
	case "get":
		b := a.bind(name, "/key", "/default?")
		if !s.hashable(b[0]) {
			fail("unhashable type: '%s'", typeName(b[0]))
		}
		if v, ok := d.get(s, b[0]); ok {
			return v
		}
		return b.value(1, nil)
	case "items":
		a.bind(name)
		return &view{name, d.pairs()}
	case "keys":
		a.bind(name)
		return &view{name, d.keys}
	case "values":
		a.bind(name)
		return &view{name, d.values}
	}
	a.bind(name)
	return d.copy(s)
}

func textMethod(s *state, t Text, name string, a *args) any {
	if t.html && !markupMethods[name] {
		fail("the method %s of text behind the filter safe or escape is not supported", name)
	}
	switch name {
	case "strip", "lstrip", "rstrip":
		var chars *string
		if b := a.bind(name, "/chars?"); b.given(0) {
			c := b.text(0, "").s
			chars = &c
		}
		return t.strip(name != "rstrip", name != "lstrip", chars)
	case "split", "rsplit":
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
	case "replace":
		b := a.bind(name, "/old", "/new", "/count?")
		by := b.text(1, "")
		if t.html {
			by = markup(b[1].(Text))
		}
		r := t.replace(b.text(0, ""), by, b.int(2, -1))
		r.html = t.html
		return r
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
		d, ok := a.bind(name, "/mapping")[0].(*Dict)
		if !ok {
			fail("format_map() needs a dict")
		}
		var kw []keyword
		for i, k := range d.keys {
			kw = append(kw, keyword{s.str(k).s, d.values[i]})
		}
		return format(s, t, nil, kw)
	}
	a.bind(name)
	if strings.HasPrefix(name, "is") {
		return isKind(t.s, name)
	}
	return t.derived(changeCase(t.s, name))
}

// changeCase returns s with other letters: lower, upper, title, capitalize, swapcase, casefold.
func changeCase(s, name string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	lower := func(s string) string {
		if ascii {
			return strings.ToLower(s)
		}
		return cases.Lower(language.Und, cases.HandleFinalSigma(true)).String(s)
	}
	upper := func(s string) string {
		if ascii {
			return strings.ToUpper(s)
		}
		return cases.Upper(language.Und).String(s)
	}
	switch name {
	case "lower":
		return lower(s)
	case "upper":
		return upper(s)
	case "casefold":
		if ascii {
			return strings.ToLower(s)
		}
		return cases.Fold().String(s)
	case "capitalize":
		if s == "" {
			return s
		}
		_, n := utf8.DecodeRuneInString(s)
		return titleRune(s[:n]) + lower(s)[len(lower(s[:n])):]
	}
	var b strings.Builder
	cased := false // the character before is a letter with case
	for i, r := range s {
		c := s[i : i+utf8.RuneLen(r)]
		switch {
		case name == "swapcase" && unicode.IsUpper(r):
			c = lower(c)
		case name == "swapcase" && unicode.IsLower(r):
			c = upper(c)
		case name == "title" && cased:
			c = lower(c)
		case name == "title":
			c = titleRune(c)
		}
		b.WriteString(c)
		cased = isCased(r)
	}
	return b.String()
}

// titleRune returns a character as it begins a title.
func titleRune(c string) string {
	r, n := utf8.DecodeRuneInString(c)
	if n == 1 {
		return strings.ToUpper(c)
	}
	if t := unicode.ToTitle(r); t != r {
		return string(t)
	}
	return cases.Title(language.Und).String(c) // one of several characters: ß, ŉ, ligatures
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
}

// digits are the characters beside the decimal ones of which str.isdigit says yes.
var digits = &unicode.RangeTable{R16: []unicode.Range16{
	{0xb2, 0xb3, 1}, {0xb9, 0xb9, 1}, {0x1369, 0x1371, 1}, {0x19da, 0x19da, 1}, {0x2070, 0x2070, 1},
	{0x2074, 0x2079, 1}, {0x2080, 0x2089, 1}, {0x2460, 0x2468, 1}, {0x2474, 0x247c, 1},
	{0x2488, 0x2490, 1}, {0x24ea, 0x24ea, 1}, {0x24f5, 0x24fd, 1}, {0x24ff, 0x24ff, 1},
	{0x2776, 0x277e, 1}, {0x2780, 0x2788, 1}, {0x278a, 0x2792, 1},
}, LatinOffset: 2}

// isKind is str.isalpha and the like.
func isKind(s, name string) bool {
	all := func(is func(r rune) bool) bool {
		for _, r := range s {
			if !is(r) {
				return false
			}
		}
		return s != ""
	}
	digit := func(r rune) bool { return unicode.IsDigit(r) || unicode.Is(digits, r) }
	numeric := func(r rune) bool {
		return unicode.IsNumber(r) || strings.ContainsRune("零〇一二三四五六七八九十百千万億兆", r)
	}
	switch name {
	case "isascii":
		return s == "" || all(func(r rune) bool { return r < utf8.RuneSelf })
	case "isprintable":
		return s == "" || all(unicode.IsPrint)
	case "isalpha":
		return all(unicode.IsLetter)
	case "isdecimal":
		return all(unicode.IsDigit)
	case "isdigit":
		return all(digit)
	case "isnumeric":
		return all(numeric)
	case "isalnum":
		return all(func(r rune) bool { return unicode.IsLetter(r) || numeric(r) })
	case "isspace":
		return all(Space)
	case "isidentifier":
		return isIdentifier(s)
	case "istitle":
		return isTitle(s)
	}
	cased := false
	for _, r := range s {
		cased = cased || isCased(r)
		if name == "islower" && (unicode.IsUpper(r) || unicode.IsTitle(r)) ||
			name == "isupper" && (unicode.IsLower(r) || unicode.IsTitle(r)) {
			return false
		}
	}
	return cased
}

func isTitle(s string) bool {
	before, any := false, false
	for _, r := range s {
		upper := unicode.IsUpper(r) || unicode.IsTitle(r)
		if upper && before || unicode.IsLower(r) && !before {
			return false
		}
		before = isCased(r)
		any = any || before
	}
	return any
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && !unicode.Is(unicode.Nl, r) &&
			(i == 0 || !unicode.IsDigit(r) && !unicode.IsMark(r)) {
			return false
		}
	}
	return s != ""
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
