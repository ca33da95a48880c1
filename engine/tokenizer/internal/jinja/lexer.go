package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind int

const (
	end kind = iota
	data
	variableBegin
	variableEnd
	blockBegin
	blockEnd
	name
	stringLiteral
	integerLiteral
	floatLiteral
	operator
)

// token is a part of a template. text is the text outside of tags, the name, the operator, or the
// unescaped string.
type token struct {
	kind kind
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end of the template"
	case data:
		return "text"
	case variableBegin:
		return "{{"
	case variableEnd:
		return "}}"
	case blockBegin:
		return "{%"
	case blockEnd:
		return "%}"
	}
	return strconv.Quote(t.text)
}

// lexer cuts a template into tokens with the settings of transformers: trim_blocks (the first line
// break behind a statement or a comment is dropped) and lstrip_blocks (so is the white space in
// front of it from the beginning of the line).
type lexer struct {
	source    string
	at        int
	line      int
	lineStart bool // what came before at ended with a line break, or there was nothing
	tokens    []token
}

// lex returns the tokens of a template. It panics with an *Error.
func lex(source string) []token {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{source: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	for l.at < len(l.source) {
		l.text()
	}
	l.add(end, "")
	return l.tokens
}

func (l *lexer) add(k kind, text string) { l.tokens = append(l.tokens, token{k, text, l.line}) }

func (l *lexer) fail(format string, args ...any) {
	panic(&Error{fmt.Sprintf("line %d: %s", l.line, fmt.Sprintf(format, args...)), nil})
}

// skip moves on by n bytes.
func (l *lexer) skip(n int) {
	part := l.source[l.at : l.at+n]
	l.line += strings.Count(part, "\n")
	if n > 0 {
		l.lineStart = strings.HasSuffix(part, "\n")
	}
	l.at += n
}

// skipSpace moves on over white space.
func (l *lexer) skipSpace() {
	rest := l.source[l.at:]
	l.skip(len(rest) - len(strings.TrimLeftFunc(rest, Space)))
}

// text reads text up to the next tag, and the tag.
func (l *lexer) text() {
	rest := l.source[l.at:]
	n := 0
	for ; ; n++ {
		i := strings.IndexByte(rest[n:], '{')
		if i < 0 || n+i+1 == len(rest) {
			l.add(data, rest)
			l.skip(len(rest))
			return
		}
		n += i
		if c := rest[n+1]; c == '{' || c == '%' || c == '#' {
			break
		}
	}
	text, tag := rest[:n], rest[n:n+2]
	after := rest[n+2:]
	sign := byte(0)
	if after != "" && (after[0] == '-' || after[0] == '+') {
		sign = after[0]
	}
	l.addText(l.before(text, sign, tag != "{{"))
	l.skip(n + 2)
	if sign != 0 {
		l.skip(1)
	}
	switch {
	case tag == "{#":
		l.comment()
	case tag == "{%" && rawBegin.MatchString(l.source[l.at:]):
		l.raw()
	case tag == "{%":
		l.add(blockBegin, "")
		l.expression("%}", blockEnd)
	default:
		l.add(variableBegin, "")
		l.expression("}}", variableEnd)
	}
}

func (l *lexer) addText(s string) {
	if s != "" {
		l.add(data, s)
	}
}

// before returns the text before a tag without the white space that the tag takes away.
func (l *lexer) before(text string, sign byte, statement bool) string {
	switch {
	case sign == '-':
		return strings.TrimRightFunc(text, Space)
	case sign == '+' || !statement:
		return text
	}
	start := strings.LastIndexByte(text, '\n') + 1
	if (start > 0 || l.lineStart) && strings.TrimFunc(text[start:], Space) == "" {
		return text[:start]
	}
	return text
}

// closing reads the end of a comment, a statement or an expression if it is here: its delimiter
// with - or +, and the white space that it takes away.
func (l *lexer) closing(delimiter string, statement bool) bool {
	rest := l.source[l.at:]
	switch {
	case strings.HasPrefix(rest, "-"+delimiter):
		l.skip(1 + len(delimiter))
		l.skipSpace()
	case statement && strings.HasPrefix(rest, "+"+delimiter):
		l.skip(1 + len(delimiter))
	case strings.HasPrefix(rest, delimiter):
		l.skip(len(delimiter))
		if statement && strings.HasPrefix(l.source[l.at:], "\n") {
			l.skip(1)
		}
	default:
		return false
	}
	return true
}

func (l *lexer) comment() {
	rest := l.source[l.at:]
	n := strings.Index(rest, "#}")
	if n < 0 {
		l.fail("a comment has no end: {# needs a #}")
	}
	if n > 0 && (rest[n-1] == '-' || rest[n-1] == '+') {
		n--
	}
	l.skip(n)
	l.closing("#}", true)
}

var (
	rawBegin = regexp.MustCompile(`^[\s\x1c-\x1f]*raw[\s\x1c-\x1f]*-?%}`)
	rawEnd   = regexp.MustCompile(`\{%[-+]?[\s\x1c-\x1f]*endraw[\s\x1c-\x1f]*[-+]?%}`)
)

// raw reads a raw block from behind its {%.
func (l *lexer) raw() {
	begin := rawBegin.FindString(l.source[l.at:])
	l.skip(len(begin))
	if strings.HasSuffix(begin, "-%}") {
		l.skipSpace()
	}
	rest := l.source[l.at:]
	m := rawEnd.FindStringIndex(rest)
	if m == nil {
		l.fail("a raw block has no end: {%% raw %%} needs a {%% endraw %%}")
	}
	tag := rest[m[0]:m[1]]
	sign := tag[2]
	l.addText(l.before(rest[:m[0]], sign, true))
	n := len("%}")
	if c := tag[len(tag)-3]; c == '-' || c == '+' {
		n++
	}
	l.skip(m[1] - n)
	l.closing("%}", true)
}

var (
	floatPattern = regexp.MustCompile(
		`^(?i:(\d+_)*\d+((\.(\d+_)*\d+)?e[+\-]?(\d+_)*\d+|\.(\d+_)*\d+))`)
	integerPattern = regexp.MustCompile(
		`^(?i:0b(_?[0-1])+|0o(_?[0-7])+|0x(_?[\da-f])+|[1-9](_?\d)*|0(_?0)*)`)
)

// operators are the operators of expressions, longer ones first.
var operators = []string{"//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

// expression reads tokens up to the delimiter that ends a tag.
func (l *lexer) expression(delimiter string, last kind) {
	var open []byte // the brackets that must close
	for {
		l.skipSpace()
		rest := l.source[l.at:]
		if rest == "" {
			l.fail("a tag has no end: it needs a %s", delimiter)
		}
		if len(open) == 0 {
			line := l.line
			if l.closing(delimiter, last == blockEnd) {
				l.tokens = append(l.tokens, token{last, "", line})
				return
			}
		}
		if l.literal(rest) {
			continue
		}
		op := ""
		for _, o := range operators {
			if strings.HasPrefix(rest, o) {
				op = o
				break
			}
		}
		switch op {
		case "":
			r, _ := utf8.DecodeRuneInString(rest)
			l.fail("unexpected character %q", r)
		case "(":
			open = append(open, ')')
		case "[":
			open = append(open, ']')
		case "{":
			open = append(open, '}')
		case ")", "]", "}":
			if len(open) == 0 {
				l.fail("unexpected %q", op)
			}
			if want := open[len(open)-1]; want != op[0] {
				l.fail("unexpected %q instead of %q", op, string(want))
			}
			open = open[:len(open)-1]
		}
		l.add(operator, op)
		l.skip(len(op))
	}
}

// literal reads a number, a name or a string if one is here.
func (l *lexer) literal(rest string) bool {
	c, _ := utf8.DecodeRuneInString(rest)
	switch {
	case c >= '0' && c <= '9':
		k, text := floatLiteral, ""
		if l.at == 0 || l.source[l.at-1] != '.' {
			text = floatPattern.FindString(rest)
		}
		if text == "" {
			k, text = integerLiteral, integerPattern.FindString(rest)
		}
		l.add(k, strings.ReplaceAll(text, "_", ""))
		l.skip(len(text))
	case c == '_' || unicode.IsLetter(c):
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.add(name, rest[:n])
		l.skip(n)
	case c == '"' || c == '\'':
		n := 1
		for ; n < len(rest) && rest[n] != byte(c); n++ {
			if rest[n] == '\\' {
				n++
			}
		}
		if n >= len(rest) {
			l.fail("a string has no end")
		}
		text, err := unescape(rest[1:n])
		if err != nil {
			l.fail("%v", err)
		}
		l.add(stringLiteral, text)
		l.skip(n + 1)
	default:
		return false
	}
	return true
}

// escapes are Python's escape sequences of one character.
var escapes = map[byte]string{'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b",
	'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// unescape replaces the escape sequences of a string literal.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		c := s[i+1]
		i += 2
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		switch plain, ok := escapes[c]; {
		case ok:
			b.WriteString(plain)
		case digits > 0:
			v, err := strconv.ParseUint(s[i:min(len(s), i+digits)], 16, 32)
			if err != nil || len(s) < i+digits || v > unicode.MaxRune {
				return "", fmt.Errorf(`the escape sequence \%c needs %d hexadecimal digits`, c, digits)
			}
			if v >= 0xd800 && v < 0xe000 {
				return "", fmt.Errorf(`the escape sequence \%c%s is half a character`, c, s[i:i+digits])
			}
			b.WriteRune(rune(v))
			i += digits
		case c >= '0' && c <= '7':
			v := rune(0)
			for n := i + 2; i-1 < len(s) && i <= n && s[i-1] >= '0' && s[i-1] <= '7'; i++ {
				v = v*8 + rune(s[i-1]-'0')
			}
			i--
			b.WriteRune(v)
		case c == 'N':
			return "", fmt.Errorf(`the escape sequence \N is not supported`)
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
