package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// scanner returns the length of the match at the beginning of s, which is not empty. Each scanner
// matches at least one character of any text, so matches cover a text without gaps.
type scanner func(s string) int

// gpt2Pattern is the expression built into the ByteLevel pre-tokenizer.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// beforeLlama3Digits is Llama 3's expression up to the group of digits, and afterLlama3Digits the
// rest of it. Qwen 2 and 3 have the same expression but for that group.
const (
	beforeLlama3Digits = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	afterLlama3Digits  = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanners has a hand-written scanner for each expression of the models that people run: they scan
// 250 MB/s of English, regexp2 4 MB/s. A fuzz test compares the two.
var scanners = map[string]scanner{
	gpt2Pattern: scanGPT2,
	// Llama 3 groups up to three digits.
	beforeLlama3Digits + `\p{N}{1,3}` + afterLlama3Digits: func(s string) int {
		return scanLlama3(s, 3)
	},
	// Qwen 2 and 3 take digits one by one.
	beforeLlama3Digits + `\p{N}` + afterLlama3Digits: func(s string) int {
		return scanLlama3(s, 1)
	},
}

// class is a class of characters that these expressions tell apart: \p{L}, \p{N}, \s, and the rest.
// Go 1.26 has the tables of Unicode 15, Hugging Face tokenizers 0.23 those of Unicode 16. The 5004
// letters and numbers that 16 adds, of scripts such as Garay, are other here.
type class uint8

const (
	other class = iota
	letter
	number
	space
	end // the end of the text, which has no character
)

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		t[r] = classify(r)
	}
	return t
}()

func classify(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsSpace(r):
		return space
	case unicode.IsNumber(r):
		return number
	}
	return other
}

// classAt returns the class and the length in bytes of s's character at offset i.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return end, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classify(r), n
}

// run returns the end of the longest run of characters of class c that begins at i.
func run(s string, i int, c class) int {
	for {
		d, n := classAt(s, i)
		if d != c {
			return i
		}
		i += n
	}
}

// scanGPT2 matches gpt2Pattern.
func scanGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	first, n := classAt(s, 0)
	if s[0] == ' ' {
		if c, _ := classAt(s, 1); c != space && c != end {
			return run(s, 1, c)
		}
	}
	if first != space {
		return run(s, n, first)
	}
	return scanSpace(s)
}

// scanLlama3 matches Llama 3's expression with groups of up to digits digits.
func scanLlama3(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	first, n := classAt(s, 0)
	switch {
	case first == letter:
		return run(s, n, letter)
	case first == number:
		for i := 1; i < digits; i++ {
			c, m := classAt(s, n)
			if c != number {
				break
			}
			n += m
		}
		return n
	}
	if c, _ := classAt(s, n); c == letter && s[0] != '\r' && s[0] != '\n' {
		return run(s, n, letter)
	}
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	if c, _ := classAt(s, start); c == other {
		i := run(s, start, other)
		for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
			i++
		}
		return i
	}
	// \s*[\r\n]+ matches up to the last line end of the white space.
	for i := run(s, 0, space); i > 0; i-- {
		if s[i-1] == '\r' || s[i-1] == '\n' {
			return i
		}
	}
	return scanSpace(s)
}

// scanSpace matches \s+(?!\S)|\s+ at white space. The last character of a run belongs to the word
// after it, unless the run has only one character.
func scanSpace(s string) int {
	e := run(s, 0, space)
	if e == len(s) {
		return e
	}
	_, last := utf8.DecodeLastRuneInString(s[:e])
	if e > last {
		return e - last
	}
	return e
}

// contraction matches 's|'t|'re|'ve|'m|'ll|'d, with anyCase in upper case as well. It returns 0 if
// there is no match.
func contraction(s string, anyCase bool) int {
	if s[0] != '\'' || len(s) < 2 {
		return 0
	}
	at := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if anyCase && 'A' <= s[i] && s[i] <= 'Z' {
			return s[i] + 'a' - 'A'
		}
		return s[i]
	}
	switch at(1) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if at(2) == 'e' {
			return 3
		}
	case 'l':
		if at(2) == 'l' {
			return 3
		}
	}
	// Case folding makes the long s an s.
	if anyCase && len(s) >= 3 && s[1:3] == "ſ" {
		return 3
	}
	return 0
}
