package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// changeCase returns s with other letters: lower, upper, title, capitalize, swapcase, casefold.
func changeCase(s, name string) string {
	switch name {
	case "lower":
		return lower(s)
	case "upper":
		return upper(s)
	case "casefold":
		if isASCII(s) {
			return strings.ToLower(s)
		}
		return cases.Fold().String(s)
	case "capitalize":
		if s == "" {
			return s
		}
		_, n := utf8.DecodeRuneInString(s)
		// The rest is lower in its context: a final sigma differs from others.
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

// lower is s.lower().
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und, cases.HandleFinalSigma(true)).String(s)
}

// upper is s.upper().
func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
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
		return isASCII(s)
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
