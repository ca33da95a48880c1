package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before the rest of the text is encoded.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // it is found only where no word character is beside it
	LStrip     bool   `json:"lstrip"`      // it includes the white space before it
	RStrip     bool   `json:"rstrip"`      // it includes the white space after it
	Normalized bool   `json:"normalized"`  // it is looked for in the normalized text
	Special    bool   `json:"special"`     // it is a control token
}

// trie finds the longest added token at a position. The length of tokens is bounded, so a search
// over a text takes time linear in the text's length.
type trie struct {
	next   map[uint64]int32 // node<<8 | byte
	tokens []*addedToken    // by node: the token that ends there, or nil
	first  [256]bool        // by byte: some token begins with it
}

func (t *trie) add(content string, token *addedToken) {
	if content == "" {
		return
	}
	if t.next == nil {
		t.next = make(map[uint64]int32)
		t.tokens = []*addedToken{nil}
	}
	t.first[content[0]] = true
	node := int32(0)
	for i := range len(content) {
		key := uint64(node)<<8 | uint64(content[i])
		child, ok := t.next[key]
		if !ok {
			child = int32(len(t.tokens))
			t.next[key] = child
			t.tokens = append(t.tokens, nil)
		}
		node = child
	}
	t.tokens[node] = token
}

// at returns the longest token that s begins with.
func (t *trie) at(s string) (token *addedToken, length int) {
	if !t.first[s[0]] {
		return nil, 0
	}
	node := int32(0)
	for i := range len(s) {
		child, ok := t.next[uint64(node)<<8|uint64(s[i])]
		if !ok {
			break
		}
		if node = child; t.tokens[node] != nil {
			token, length = t.tokens[node], i+1
		}
	}
	return token, length
}

// guard says which places of a text may become control tokens.
type guard struct {
	plain   bool       // none
	foreign []interval // none that has a byte of these in it, which ascend and do not overlap
	base    int        // offset of the guarded part in the text of which these are intervals
}

// interval is bytes [start, end) of a text.
type interval struct{ start, end int }

// within returns the guard of bytes [start, end) of the text.
func (g guard) within(start, end int) guard {
	start, end = start+g.base, end+g.base
	from := g.after(start)
	to := from
	for to < len(g.foreign) && g.foreign[to].start < end {
		to++
	}
	return guard{plain: g.plain, foreign: g.foreign[from:to], base: start}
}

// after returns the index of the first interval that ends behind an offset.
func (g guard) after(offset int) int {
	i, _ := slices.BinarySearchFunc(g.foreign, offset, func(p interval, offset int) int {
		if p.end <= offset {
			return -1
		}
		return 1
	})
	return i
}

// allows reports whether bytes [start, end) of the text may become a control token.
func (g guard) allows(start, end int) bool {
	i := g.after(start + g.base)
	return !g.plain && (i == len(g.foreign) || g.foreign[i].start >= end+g.base)
}

// piece is a part of a text: an added token, or text without one.
type piece struct {
	start, end int
	token      *addedToken // nil for text
}

// split cuts s into added tokens and the text between them.
func (t *trie) split(s string, g guard) []piece {
	var pieces []piece
	at := 0
	for i := 0; i < len(s); {
		token, n := t.at(s[i:])
		if token == nil || token.Special && !g.allows(i, i+n) {
			i++
			continue
		}
		start, end := i, i+n
		i = end
		if token.SingleWord && (wordBefore(s[:start]) || wordAfter(s[end:])) {
			continue
		}
		if token.LStrip {
			start = max(at, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if token.RStrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		if start > at {
			pieces = append(pieces, piece{at, start, nil})
		}
		pieces = append(pieces, piece{start, end, token})
		at, i = end, max(i, end)
	}
	if at < len(s) {
		pieces = append(pieces, piece{at, len(s), nil})
	}
	return pieces
}

// wordBefore reports whether s ends with a word character.
func wordBefore(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && wordChar(r)
}

// wordAfter reports whether s begins with a word character.
func wordAfter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && wordChar(r)
}

// wordChar reports whether r matches \w of Unicode regular expressions.
func wordChar(r rune) bool {
	return unicode.IsLetter(r) || r == '\u200c' || r == '\u200d' ||
		unicode.In(r, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic)
}
