package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// scanner returns the length of the match at the beginning of s, which is not empty; 0 if there is
// none, as only expressions have that leave some characters out.
type scanner func(s string) int

// gpt2Pattern is the expression built into the ByteLevel pre-tokenizer.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// beforeLlama3Digits is Llama 3's expression up to the group of digits, and afterLlama3Digits the
// rest of it. Qwen 2 and 3 have the same expression but for that group.
const (
	beforeLlama3Digits = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	afterLlama3Digits  = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// The expressions of other families, in their parts.
const (
	qwen35Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|` +
		` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	// A word in Tekken and o200k: its capital letters, then its small ones.
	smallWord = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*` +
		`[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	capitalWord = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+` +
		`[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	o200kContraction = `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
	afterWordDigits  = `| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	tekkenPattern    = smallWord + `|` + capitalWord + `|\p{N}` + afterWordDigits
	o200kPattern     = smallWord + o200kContraction + `|` + capitalWord + o200kContraction +
		`|\p{N}{1,3}` + afterWordDigits

	// DeepSeek cuts in three steps.
	threeDigits     = `\p{N}{1,3}`
	ideographs      = `[一-龥぀-ゟ゠-ヿ]+`
	deepSeekPattern = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" +
		`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|` +
		`\s+(?!\S)|\s+`
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
	qwen35Pattern: scanQwen35,
	tekkenPattern: func(s string) int { return scanCased(s, 1, false) },
	o200kPattern:  func(s string) int { return scanCased(s, 3, true) },
	threeDigits:   func(s string) int { return runUpTo(s, number, 3) },
	ideographs:    scanIdeographs,

	deepSeekPattern: scanDeepSeek,
}

// class is a class of characters that these expressions tell apart. Go 1.26 has the tables of
// Unicode 15, Hugging Face tokenizers 0.23 those of Unicode 16. The 5004 letters and numbers that
// 16 adds, of scripts such as Garay, are other here.
type class uint8

// A set of classes has a bit for each.
const (
	other    class = 1 << iota // none of the others
	capital                    // \p{Lu}, \p{Lt}
	small                      // \p{Ll}
	caseless                   // \p{Lm}, \p{Lo}
	mark                       // \p{M}
	number                     // \p{N}
	space                      // \s
	sign                       // \p{P}, \p{S}

	end class = 0 // the end of the text, which has no character

	letter = capital | small | caseless
)

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		t[r] = classify(r)
	}
	return t
}()

func classify(r rune) class {
	switch {
	case unicode.IsLower(r):
		return small
	case unicode.IsUpper(r), unicode.IsTitle(r):
		return capital
	case unicode.IsLetter(r):
		return caseless
	case unicode.IsSpace(r):
		return space
	case unicode.IsNumber(r):
		return number
	case unicode.IsMark(r):
		return mark
	case unicode.IsPunct(r), unicode.IsSymbol(r):
		return sign
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

// run returns the end of the longest run of characters of a set that begins at i.
func run(s string, i int, set class) int {
	for {
		c, n := classAt(s, i)
		if c&set == 0 {
			return i
		}
		i += n
	}
}

// runUpTo returns the length of the run of characters of a set with which s begins, of so many
// characters at most.
func runUpTo(s string, set class, most int) (n int) {
	for range most {
		c, m := classAt(s, n)
		if c&set == 0 {
			break
		}
		n += m
	}
	return n
}

// scanGPT2 matches gpt2Pattern.
func scanGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	first, n := classAt(s, 0)
	if s[0] == ' ' {
		if c, _ := classAt(s, 1); c != space && c != end {
			return run(s, 1, wordOf(c))
		}
	}
	if first != space {
		return run(s, n, wordOf(first))
	}
	return scanSpace(s)
}

// wordOf returns the set with which a word of GPT-2's goes on that begins with c.
func wordOf(c class) class {
	switch {
	case c&letter != 0:
		return letter
	case c == number:
		return number
	}
	return plain
}

// plain is the set [^\s\p{L}\p{N}].
const plain = other | mark | sign

// scanLlama3 matches Llama 3's expression with groups of up to digits digits.
func scanLlama3(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	first, n := classAt(s, 0)
	switch {
	case first&letter != 0:
		return run(s, n, letter)
	case first == number:
		return runUpTo(s, number, digits)
	}
	if c, _ := classAt(s, n); c&letter != 0 && !lineEnd(s, 0) {
		return run(s, n, letter)
	}
	return scanRest(s, plain, lineEnd)
}

// scanQwen35 matches Qwen 3.5's expression, in which marks are letters.
func scanQwen35(s string) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	first, n := classAt(s, 0)
	switch {
	case first&(letter|mark) != 0:
		return run(s, n, letter|mark)
	case first == number:
		return n
	}
	if c, _ := classAt(s, n); c&(letter|mark) != 0 && !lineEnd(s, 0) {
		return run(s, n, letter|mark)
	}
	return scanRest(s, other|sign, lineEnd)
}

// scanCased matches Tekken's expression, or with contractions that of o200k: words of capital
// letters and then small ones, of which caseless letters and marks may be either.
func scanCased(s string, digits int, contractions bool) int {
	first, n := classAt(s, 0)
	if first == number {
		return runUpTo(s, number, digits)
	}
	// A word may begin after one character that is neither letter nor number.
	led, bare := first&letter == 0 && !lineEnd(s, 0), first&(letter|mark) != 0
	for _, word := range [...]func(s string, i int) int{endOfSmallWord, endOfCapitalWord} {
		e := 0
		if led {
			if e = word(s, n); e == n {
				e = 0
			}
		}
		if e == 0 && bare {
			e = word(s, 0)
		}
		if e > 0 && e < len(s) && contractions {
			e += contraction(s[e:], true)
		}
		if e > 0 {
			return e
		}
	}
	return scanRest(s, plain, func(s string, i int) bool { return s[i] == '/' || lineEnd(s, i) })
}

const (
	capitals = capital | caseless | mark // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
	smalls   = small | caseless | mark   // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
)

// endOfSmallWord returns the end of the capitals and then at least one of smalls that begin at i,
// or i if there are none.
func endOfSmallWord(s string, i int) int {
	u := run(s, i, capitals)
	if e := run(s, u, smalls); e > u {
		return e
	}
	// The last of the run that may be small as well is, and ends the word.
	for u > i {
		r, n := utf8.DecodeLastRuneInString(s[i:u])
		if classify(r)&smalls != 0 {
			return u
		}
		u -= n
	}
	return i
}

// endOfCapitalWord returns the end of at least one of capitals and then any number of smalls that
// begin at i, or i if there are none.
func endOfCapitalWord(s string, i int) int {
	u := run(s, i, capitals)
	if u == i {
		return i
	}
	return run(s, u, smalls)
}

// scanIdeographs matches DeepSeek's range of ideographs and kana.
func scanIdeographs(s string) int {
	for i, r := range s {
		if (r < '一' || r > '龥') && (r < '\u3040' || r > '\u30FF') {
			return i
		}
	}
	return len(s)
}

// scanDeepSeek matches DeepSeek's expression, which has no place for numbers that no letter
// follows, and for control characters.
func scanDeepSeek(s string) int {
	first, n := classAt(s, 0)
	if first == sign && s[0] < utf8.RuneSelf {
		e := 1
		for e < len(s) && ('A' <= s[e] && s[e] <= 'Z' || 'a' <= s[e] && s[e] <= 'z') {
			e++
		}
		if e > 1 {
			return e
		}
	}
	if first&(letter|mark) != 0 {
		return run(s, n, letter|mark)
	}
	if c, _ := classAt(s, n); c&(letter|mark) != 0 && first != sign && !lineEnd(s, 0) {
		return run(s, n, letter|mark)
	}
	if first&(number|other) != 0 {
		return 0
	}
	return scanRest(s, sign, lineEnd)
}

func lineEnd(s string, i int) bool { return s[i] == '\r' || s[i] == '\n' }

// scanRest matches ` ?[SET]+[TAIL]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
func scanRest(s string, set class, tail func(s string, i int) bool) int {
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	if c, _ := classAt(s, start); c&set != 0 {
		i := run(s, start, set)
		for i < len(s) && tail(s, i) {
			i++
		}
		return i
	}
	// \s*[\r\n]+ matches up to the last line end of the white space.
	for i := run(s, 0, space); i > 0; i-- {
		if lineEnd(s, i-1) {
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
