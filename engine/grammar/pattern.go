package grammar

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errPattern is the reason why a pattern cannot be held.
type errPattern string

func (e errPattern) Error() string { return string(e) }

// maxRepeat bounds the numbers in the braces of a pattern.
const maxRepeat = 100_000

// A pat is a part of a regular expression of ECMA-262, which is the language of the keyword
// pattern.
type pat struct {
	op        byte
	set       runes  // of patChar
	subs      []*pat // of patConcat and patOr; else the one thing that is repeated or looked at
	low, high int    // of patRepeat; high is -1 for no limit
	negative  bool   // of patLook and patBehind
	index     int    // of patBehind: its place in patternReader.behind
}

const (
	patChar byte = iota
	patConcat
	patOr
	patRepeat
	patLook   // (?=x) and (?!x)
	patBehind // (?<=x) and (?<!x)
	patStart  // ^
	patEnd    // $
)

// asserts reports whether a part looks at what is around it.
func (p *pat) asserts() bool {
	return p.op >= patLook || slices.ContainsFunc(p.subs, (*pat).asserts)
}

// nullable reports whether a part may match no characters.
func (p *pat) nullable() bool {
	switch p.op {
	case patChar:
		return false
	case patConcat:
		return !slices.ContainsFunc(p.subs, func(s *pat) bool { return !s.nullable() })
	case patOr:
		return slices.ContainsFunc(p.subs, (*pat).nullable)
	case patRepeat:
		return p.low == 0 || p.subs[0].nullable()
	}
	return true
}

// A patternReader reads a regular expression.
type patternReader struct {
	rest    string
	depth   int
	behind  []*pat   // what is looked for behind
	sources []string // their texts
}

// take removes a prefix if it is there.
func (r *patternReader) take(prefix string) bool {
	rest, ok := strings.CutPrefix(r.rest, prefix)
	r.rest = rest
	return ok
}

// or reads alternatives, up to a closing parenthesis or the end.
func (r *patternReader) or() (*pat, error) {
	if r.depth++; r.depth > 200 {
		return nil, errPattern("nests too deeply")
	}
	defer func() { r.depth-- }()
	p := &pat{op: patOr}
	for {
		s, err := r.concat()
		if err != nil {
			return nil, err
		}
		p.subs = append(p.subs, s)
		if !r.take("|") {
			return p, nil
		}
	}
}

func (r *patternReader) concat() (*pat, error) {
	p := &pat{op: patConcat}
	for r.rest != "" && r.rest[0] != '|' && r.rest[0] != ')' {
		s, err := r.atom()
		if err != nil {
			return nil, err
		}
		if s, err = r.quantifier(s); err != nil {
			return nil, err
		}
		p.subs = append(p.subs, s)
	}
	return p, nil
}

// quantifier reads what may follow an atom. A lazy quantifier matches the same strings.
func (r *patternReader) quantifier(s *pat) (*pat, error) {
	low, high := 0, -1
	switch {
	case r.take("*"):
	case r.take("+"):
		low = 1
	case r.take("?"):
		high = 1
	case strings.HasPrefix(r.rest, "{"):
		body, after, ok := strings.Cut(r.rest[1:], "}")
		from, to, comma := strings.Cut(body, ",")
		var err, err2 error
		low, err = strconv.Atoi(from)
		if high = low; comma {
			if high = -1; to != "" {
				high, err2 = strconv.Atoi(to)
			}
		}
		if !ok || err != nil || err2 != nil || high >= 0 && high < low {
			return nil, errPattern("has a brace that does not count anything")
		}
		if low > maxRepeat || high > maxRepeat {
			return nil, errPattern("repeats more than " + strconv.Itoa(maxRepeat) + " times")
		}
		r.rest = after
	default:
		return s, nil
	}
	r.take("?")
	if r.rest != "" && strings.ContainsRune("*+?{", rune(r.rest[0])) {
		return nil, errPattern("repeats a repetition, which is not supported")
	}
	return &pat{op: patRepeat, subs: []*pat{s}, low: low, high: high}, nil
}

// lineEnds are the characters that a dot does not match.
var lineEnds = runes{'\n', '\n', '\r', '\r', '\u2028', '\u2029'}

func (r *patternReader) atom() (*pat, error) {
	c, size := utf8.DecodeRuneInString(r.rest)
	switch c {
	case '^', '$', '.':
		r.rest = r.rest[1:]
		return map[rune]*pat{'^': {op: patStart}, '$': {op: patEnd},
			'.': {op: patChar, set: lineEnds.not()}}[c], nil
	case '(':
		return r.group()
	case '[':
		r.rest = r.rest[1:]
		set, err := r.class()
		return &pat{op: patChar, set: set}, err
	case '*', '+', '?':
		return nil, errPattern("repeats nothing")
	case '\\':
		if r.take(`\b`) {
			return r.boundary(false)
		}
		if r.take(`\B`) {
			return r.boundary(true)
		}
		set, err := r.escape(false)
		return &pat{op: patChar, set: set}, err
	}
	r.rest = r.rest[size:]
	return &pat{op: patChar, set: runes{c, c}}, nil
}

func (r *patternReader) group() (*pat, error) {
	p := &pat{op: patConcat}
	switch {
	case r.take("(?:"):
	case r.take("(?="):
		p = &pat{op: patLook}
	case r.take("(?!"):
		p = &pat{op: patLook, negative: true}
	case r.take("(?<="):
		return r.lookBehind(false)
	case r.take("(?<!"):
		return r.lookBehind(true)
	case r.take("(?<") || r.take("(?P<"):
		_, after, ok := strings.Cut(r.rest, ">")
		if !ok {
			return nil, errPattern("has a group whose name does not end")
		}
		r.rest = after
	case strings.HasPrefix(r.rest, "(?"):
		return nil, errPattern("has a group of a kind that is not supported")
	default:
		r.take("(")
	}
	inner, err := r.or()
	if err == nil && !r.take(")") {
		err = errPattern("has a group that does not end")
	}
	p.subs = []*pat{inner}
	return p, err
}

// lookBehind reads a group that looks behind, after its beginning.
func (r *patternReader) lookBehind(negative bool) (*pat, error) {
	source := r.rest
	inner, err := r.or()
	if err == nil && !r.take(")") {
		err = errPattern("has a group that does not end")
	}
	source = source[:len(source)-len(r.rest)]
	p := &pat{op: patBehind, negative: negative, index: slices.Index(r.sources, source)}
	if p.index < 0 {
		p.index = len(r.behind)
		r.behind, r.sources = append(r.behind, inner), append(r.sources, source)
	}
	return p, err
}

// boundary returns the boundary of a word, or, if inside is set, any other place.
func (r *patternReader) boundary(inside bool) (*pat, error) {
	source := `(?<=\w)(?!\w)|(?<!\w)(?=\w)`
	if inside {
		source = `(?<=\w)(?=\w)|(?<!\w)(?!\w)`
	}
	rest := r.rest
	r.rest = source
	p, err := r.or()
	r.rest = rest
	return p, err
}

// class reads a class of characters after its opening bracket.
func (r *patternReader) class() (runes, error) {
	negative := r.take("^")
	var set runes
	for !r.take("]") {
		from, err := r.classAtom()
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(r.rest, "-") && !strings.HasPrefix(r.rest, "-]") &&
			len(from) == 2 && from[0] == from[1] {
			r.rest = r.rest[1:]
			to, err := r.classAtom()
			if err != nil {
				return nil, err
			}
			if len(to) != 2 || to[0] != to[1] || to[0] < from[0] {
				return nil, errPattern("has a class with a range out of order")
			}
			from = runes{from[0], to[0]}
		}
		set = append(set, from...)
	}
	if set = set.normal(); negative {
		set = set.not()
	}
	return set, nil
}

func (r *patternReader) classAtom() (runes, error) {
	if r.rest == "" {
		return nil, errPattern("has a class that does not end")
	}
	c, size := utf8.DecodeRuneInString(r.rest)
	if c == '\\' {
		return r.escape(true)
	}
	r.rest = r.rest[size:]
	return runes{c, c}, nil
}

// The classes of ECMA-262.
var (
	digitRunes = runes{'0', '9'}
	wordRunes  = runes{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	spaceRunes = runes{'\t', '\r', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028,
		0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff}
)

// namedClasses are the escape sequences of one letter that mean the same everywhere.
var namedClasses = map[rune]runes{
	'd': digitRunes, 'D': digitRunes.not(),
	'w': wordRunes, 'W': wordRunes.not(),
	's': spaceRunes, 'S': spaceRunes.not(),
	't': {'\t', '\t'}, 'n': {'\n', '\n'}, 'r': {'\r', '\r'}, 'f': {'\f', '\f'}, 'v': {'\v', '\v'},
}

// escape reads an escape sequence.
func (r *patternReader) escape(inClass bool) (runes, error) {
	if len(r.rest) < 2 {
		return nil, errPattern("ends in a backslash")
	}
	c, size := utf8.DecodeRuneInString(r.rest[1:])
	r.rest = r.rest[1+size:]
	if set, ok := namedClasses[c]; ok {
		return set, nil
	}
	one := func(c rune) (runes, error) { return runes{c, c}, nil }
	switch c {
	case 'x':
		return r.hex(2)
	case 'u':
		return r.codePoint()
	case 'p', 'P':
		return r.property(c == 'P')
	case '0':
		if r.rest == "" || r.rest[0] < '0' || r.rest[0] > '9' {
			return one(0)
		}
	case 'b':
		if inClass {
			return one('\b')
		}
	default:
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return one(c)
		}
	}
	return nil, errPattern("has \\" + string(c) + ", which is not supported")
}

// codePoint reads the rest of \uXXXX or \u{X...}.
func (r *patternReader) codePoint() (runes, error) {
	if !r.take("{") {
		return r.hex(4)
	}
	digits, after, _ := strings.Cut(r.rest, "}")
	r.rest = digits
	set, err := r.hex(len(digits))
	r.rest = after
	return set, err
}

// hex reads a character of n hexadecimal digits.
func (r *patternReader) hex(n int) (runes, error) {
	c, err := strconv.ParseUint(r.rest[:min(n, len(r.rest))], 16, 32)
	if err != nil || n > len(r.rest) || c > utf8.MaxRune {
		return nil, errPattern("has a character code that is not one")
	}
	r.rest = r.rest[n:]
	return runes{rune(c), rune(c)}, nil
}

// property reads the rest of \p{...}: a general category or a script of Unicode.
func (r *patternReader) property(negative bool) (runes, error) {
	name, after, ok := strings.Cut(strings.TrimPrefix(r.rest, "{"), "}")
	for _, prefix := range []string{"Script=", "sc=", "Script_Extensions=", "scx=",
		"General_Category=", "gc="} {
		name = strings.TrimPrefix(name, prefix)
	}
	if long, isLong := map[string]string{"Letter": "L", "Uppercase_Letter": "Lu",
		"Lowercase_Letter": "Ll", "Number": "N", "Decimal_Number": "Nd", "Punctuation": "P",
		"Symbol": "S", "Mark": "M", "Separator": "Z"}[name]; isLong {
		name = long
	}
	table := unicode.Categories[name]
	if table == nil {
		table = unicode.Scripts[name]
	}
	if !ok || !strings.HasPrefix(r.rest, "{") || table == nil {
		return nil, errPattern("has a character property that is not supported")
	}
	r.rest = after
	var set runes
	for _, t := range table.R16 {
		for c := rune(t.Lo); c <= rune(t.Hi); c += rune(t.Stride) {
			set = append(set, c, c)
		}
	}
	for _, t := range table.R32 {
		for c := rune(t.Lo); c <= rune(t.Hi); c += rune(t.Stride) {
			set = append(set, c, c)
		}
	}
	if set = set.normal(); negative {
		set = set.not()
	}
	return set, nil
}
