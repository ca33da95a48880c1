package table

import (
	"strconv"
	"strings"
	"unicode"
)

// List joins words as prose does: "a", "a and b", "a, b and c".
func List(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// Plural prints a number with its noun: "1 request", "2 requests".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// OneLine puts a text on one line: text from outside must not begin a line of its own. It is Plain.
func OneLine(s string) string { return strings.Join(strings.Fields(Plain(s)), " ") }

// Plain is a text without what a terminal obeys: of the control characters (C0, DEL and C1) it
// keeps line ends and tabs alone, and it drops those that turn the direction of writing, with which
// a text can pass for another. Bytes that are not UTF-8 become U+FFFD, since some terminals take
// the bytes 0x80 to 0x9f for controls.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\v' || r == '\f' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return '\n'
		case unicode.IsControl(r), '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069',
			r == '\u200e', r == '\u200f', r == '\u061c':
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// Clip cuts a text after n characters.
func Clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
