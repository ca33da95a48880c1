package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before anything else looks at it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // and after it
	Normalized bool   `json:"normalized"`  // looked for in the normalized text
	Special    bool   `json:"special"`     // a control token
}

// trie finds the longest added token at a position. Tokens are never longer than what the vocabulary holds, so a search
// over a text is linear in it.
type trie struct {
	next   map[uint64]int32 // node<<8 | byte
	tokens []*addedToken    // by node; nil where none ends
	first  [256]bool        // the bytes that some token begins with
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

// guard says where in a text control tokens may be made.
type guard struct {
	plain    bool  // nowhere
	barriers []int // not across these offsets, which ascend and count from -base
	base     int
}

// within returns the guard of the part [start, end) of the text.
func (g guard) within(start, end int) guard {
	start, end = start+g.base, end+g.base
	from, _ := slices.BinarySearch(g.barriers, start)
	to, _ := slices.BinarySearch(g.barriers, end+1)
	return guard{plain: g.plain, barriers: g.barriers[from:to], base: start}
}

// allows reports whether a control token may be made of [start, end).
func (g guard) allows(start, end int) bool {
	start, end = start+g.base, end+g.base
	i, _ := slices.BinarySearch(g.barriers, start+1)
	return !g.plain && (i == len(g.barriers) || g.barriers[i] >= end)
}

// piece is a part of a text: an added token, or text in which none was found.
type piece struct {
	start, end int
	token      *addedToken
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

func wordBefore(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && wordChar(r)
}

func wordAfter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && wordChar(r)
}

// wordChar is \w of Unicode regular expressions.
func wordChar(r rune) bool {
	return unicode.IsLetter(r) || unicode.Is(unicode.M, r) || unicode.Is(unicode.Nd, r) || unicode.Is(unicode.Nl, r) ||
		unicode.Is(unicode.Pc, r) || unicode.Is(unicode.Other_Alphabetic, r) || r == '\u200c' || r == '\u200d'
}

// starts reports whether s begins with a token.
func (t *trie) starts(s string) bool {
	token, _ := t.at(s)
	return token != nil
}
