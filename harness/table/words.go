package table

import (
	"strconv"
	"strings"
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

// OneLine puts a text on one line: text from outside must not begin a line of its own.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Clip cuts a text after n characters.
func Clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
