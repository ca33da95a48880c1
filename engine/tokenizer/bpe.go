package tokenizer

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// bpe is the byte-pair encoding model (Sennrich et al., arXiv 1508.07909). A word begins as one
// symbol for each character, or for each byte in byte-level vocabularies. Then the pair of
// neighbours with the lowest rank is merged, the leftmost of equals, until no pair has a merge.
//
// It is safe for concurrent use.
type bpe struct {
	vocab     map[string]int32 // ids, by raw bytes if byteLevel, else by text
	merges    pairTable        // pairs of tokens to the ranks of their merges
	merged    []int32          // by rank: the token that the merge makes
	byteLevel bool

	// Characters that some merge joins to a "▁" behind them. Gemma's merge for ">▁</" makes ">"
	// one.
	beforeMark map[rune]bool

	byteIDs  [256]int32 // tokens of single bytes, of the alphabet or <0xHH>; -1 if there is none
	fallback bool       // a character without a token becomes the tokens of its bytes
	whole    bool       // a word that is a token becomes that token, whatever the merges are
	unk      int32      // the token for unknown characters; -1 if they are dropped
	fuseUnk  bool       // neighbouring unknown characters become one unk
	longest  int        // bytes of the longest token; 0: text without tokens is not known by its bytes

	seed    maphash.Seed
	cache   []atomic.Pointer[cachedWord]
	scratch sync.Pool // of *merger
}

// Words of up to cacheableWord bytes are kept in a table, where a newer word may overwrite an older
// one. The same few thousand words make up most of any text. 2^14 entries take about 2 MB or less.
const (
	cacheSize     = 1 << 14
	cacheableWord = 32
)

type cachedWord struct {
	word string
	ids  []int32
}

// append appends the ids of one word, a piece of text over whose ends no merge may reach.
func (b *bpe) append(dst []int32, word string) []int32 {
	if len(word) > cacheableWord {
		return b.appendUncached(dst, word)
	}
	slot := &b.cache[maphash.String(b.seed, word)%cacheSize]
	if c := slot.Load(); c != nil && c.word == word {
		return append(dst, c.ids...)
	}
	n := len(dst)
	dst = b.appendUncached(dst, word)
	// The cache holds clones: word is a part of a whole prompt, which must not live as long as the
	// cache.
	slot.Store(&cachedWord{word: strings.Clone(word), ids: append([]int32(nil), dst[n:]...)})
	return dst
}

// appendUncached is append without the cache.
func (b *bpe) appendUncached(dst []int32, word string) []int32 {
	if b.whole {
		if id, ok := b.vocab[word]; ok {
			return append(dst, id)
		}
	}
	m := b.scratch.Get().(*merger)
	m.symbols = b.symbols(m.symbols[:0], word)
	dst = m.merge(dst, b)
	b.scratch.Put(m)
	return dst
}

// symbols appends the characters, or bytes, of word as symbols.
func (b *bpe) symbols(dst []symbol, word string) []symbol {
	if b.byteLevel {
		for i := range len(word) {
			dst = b.appendSymbol(dst, b.byteIDs[word[i]])
		}
		return dst
	}
	for len(word) > 0 {
		_, n := utf8.DecodeRuneInString(word)
		id, ok := b.vocab[word[:n]]
		switch {
		case ok:
			dst = append(dst, symbol{id: id})
		case b.fallback && b.hasBytes(word[:n]):
			for i := range n {
				dst = append(dst, symbol{id: b.byteIDs[word[i]]})
			}
		default:
			dst = b.appendSymbol(dst, -1)
		}
		word = word[n:]
	}
	return dst
}

// hasBytes reports whether every byte of char has a token.
func (b *bpe) hasBytes(char string) bool {
	for i := range len(char) {
		if b.byteIDs[char[i]] < 0 {
			return false
		}
	}
	return true
}

// appendSymbol appends a symbol, or the one for unknown characters if id is -1.
func (b *bpe) appendSymbol(dst []symbol, id int32) []symbol {
	if id >= 0 {
		return append(dst, symbol{id: id})
	}
	if b.unk < 0 || b.fuseUnk && len(dst) > 0 && dst[len(dst)-1].id == b.unk {
		return dst
	}
	return append(dst, symbol{id: b.unk})
}

// newBPE builds the model. byteLevel says that the vocabulary writes bytes as the characters of
// alphabet.
func newBPE(j *modelJSON, byteLevel bool) (*bpe, error) {
	b := &bpe{
		byteLevel: byteLevel,
		fallback:  j.ByteFallback,
		whole:     j.IgnoreMerges,
		fuseUnk:   j.FuseUnk,
		unk:       -1,
		seed:      maphash.MakeSeed(),
		cache:     make([]atomic.Pointer[cachedWord], cacheSize),
	}
	b.scratch.New = func() any { return new(merger) }
	if j.UnkToken != "" {
		id, ok := j.vocab.byText[j.UnkToken]
		if !ok {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary", j.UnkToken)
		}
		b.unk = id
	}
	for c := range 256 {
		name := fmt.Sprintf("<0x%02X>", c)
		if byteLevel {
			name = string(alphabet[c])
		}
		b.byteIDs[c] = -1
		if id, ok := j.vocab.byText[name]; ok {
			b.byteIDs[c] = id
		}
	}
	if err := b.addMerges(j); err != nil {
		return nil, err
	}
	b.vocab = j.vocab.byText
	defer b.setLongest()
	if byteLevel {
		b.vocab = make(map[string]int32, len(j.vocab.ids))
		for i, token := range j.vocab.tokens {
			if raw, ok := alphabetBytes(nil, token); ok {
				b.vocab[string(raw)] = j.vocab.ids[i]
			}
		}
	}
	return b, nil
}

// setLongest sets longest, where a byte that has a token is in one of its word's tokens.
func (b *bpe) setLongest() {
	if !b.byteLevel && (!b.fallback || slices.Contains(b.byteIDs[:], -1)) {
		return
	}
	for token := range b.vocab {
		b.longest = max(b.longest, len(token))
	}
}

// beginning returns the beginning of a text that is certain to have more than n tokens by itself,
// or the whole text. Without it, a word of some megabytes would be encoded to its end.
func (b *bpe) beginning(s string, n int) string {
	left := (n + 1) * b.longest // bytes that have a token
	if left == 0 || left >= len(s) {
		return s
	}
	for i := range len(s) {
		if left <= 0 && utf8.RuneStart(s[i]) {
			return s[:i]
		}
		if b.byteIDs[s[i]] >= 0 {
			left--
		}
	}
	return s
}

// addMerges reads the merges, and from them the characters that may be joined to a "▁".
func (b *bpe) addMerges(j *modelJSON) error {
	b.beforeMark = map[rune]bool{'▁': true}
	vocab := &j.vocab
	find := func(token []byte) (int32, error) {
		id, ok := vocab.byText[string(token)]
		if !ok {
			return 0, fmt.Errorf("%q is not in the vocabulary", token)
		}
		return id, nil
	}
	var pairs [][2]int32
	var joined []byte
	made := 0 // index in the vocabulary of the last merge's token
	err := j.merges.each(func(left, right []byte) error {
		l, err := find(left)
		if err != nil {
			return err
		}
		r, err := find(right)
		if err != nil {
			return err
		}
		// Files list merges in the order of the tokens that they make, so this merge makes the same
		// token or the next one. If not, find looks it up.
		joined = append(append(joined[:0], left...), right...)
		if vocab.tokens[made] != string(joined) && made+1 < len(vocab.tokens) {
			made++
		}
		id := vocab.ids[made]
		if vocab.tokens[made] != string(joined) {
			if id, err = find(joined); err != nil {
				return err
			}
		}
		pairs, b.merged = append(pairs, [2]int32{l, r}), append(b.merged, id)
		if bytes.HasPrefix(right, []byte("▁")) {
			last, _ := utf8.DecodeLastRune(left)
			b.beforeMark[last] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.merges = newPairTable(len(pairs))
	for rank, p := range pairs {
		b.merges.set(p[0], p[1], uint32(rank))
	}
	return nil
}
