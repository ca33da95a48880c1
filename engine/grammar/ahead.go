package grammar

import (
	"bytes"
	"math/bits"
	"sort"
)

// maxSole bounds the text that Mask.Ahead looks ahead, in bytes.
const maxSole = 64

// Ahead says what follows an answer so far: at most n tokens. Each of the first sure ones is the
// only one that is allowed in its place; the last of them may also be one of several stop tokens,
// where nothing but the end is allowed. The others spell a text that has to follow, such as the
// rest of a property's name, in the longest tokens there are: a model is likely to write it so, and
// may write it otherwise.
func (k *Mask) Ahead(answer []int32, n int) (tokens []int32, sure int) {
	k.follow(answer)
	at := k.at
	for len(tokens) < n && at != dead {
		id, stops := k.sole(at)
		if id < 0 {
			break
		}
		tokens = append(tokens, id)
		if stops {
			return tokens, len(tokens)
		}
		at = k.m.run(at, k.textOf(id))
	}
	sure = len(tokens)
	return k.spell(tokens, k.soleText(at), n), sure
}

// sole returns the only token that is allowed in a state, -1 where there are none or several. Stop
// tokens count as one.
func (k *Mask) sole(at int32) (id int32, stops bool) {
	set, n := k.allowedAt(at), 0
	id = -1
	for i, word := range set {
		if word != 0 {
			if n += bits.OnesCount64(word); n > len(k.v.stops) && n > 1 {
				return -1, false
			}
			id = int32(i<<6 + bits.TrailingZeros64(word))
		}
	}
	ended := 0
	for _, stop := range k.v.stops {
		if set[stop>>6]>>(stop&63)&1 != 0 {
			ended++
		}
	}
	switch {
	case n > 0 && ended == n:
		return id, true
	case n == 1:
		return id, false
	}
	return -1, false
}

// soleText returns the bytes that have to follow a state, each the only one in its place, until the
// answer may end or there are maxSole.
func (k *Mask) soleText(at int32) (text []byte) {
	for at != dead && len(text) < maxSole && !k.m.states[at].accept {
		c, ok := k.m.soleByte(at)
		if !ok {
			break
		}
		text = append(text, c)
		at = k.m.step(at, c)
	}
	return text
}

// soleByte returns the only byte that may follow in a state, false where there are several.
func (m *machine) soleByte(at int32) (c byte, ok bool) {
	var all class
	for _, top := range m.states[at].tops {
		of := &m.g.classes[^m.g.code[m.stacks[top].at]]
		for i := range all {
			all[i] |= of[i]
		}
	}
	n := 0
	for i, word := range all {
		if word != 0 {
			n += bits.OnesCount64(word)
			c = byte(i<<6 + bits.TrailingZeros64(word))
		}
	}
	return c, n == 1
}

// spell appends the tokens of a text to dst, up to n, each the longest that there is. It leaves out
// the last, with which a token may begin that goes on behind the text.
func (k *Mask) spell(dst []int32, text []byte, n int) []int32 {
	for len(dst) < n {
		id, size := k.v.longest(text)
		if size == len(text) || size == 0 {
			break
		}
		dst = append(dst, id)
		text = text[size:]
	}
	return dst
}

// longest returns the longest token with which a text begins, and its length; 0 where there is
// none.
func (v *Vocabulary) longest(text []byte) (id int32, size int) {
	// Texts are sorted. The longest token is the last one that does not sort behind the text, if the
	// text begins with it. If not, the longest token is a beginning of what the two have in common.
	for text = text[:min(len(text), v.maxLen)]; len(text) > 0; {
		later := func(i int) bool { return bytes.Compare(v.texts[i], text) > 0 }
		i := sort.Search(len(v.texts), later) - 1
		if i < 0 {
			break
		}
		same := 0
		for same < min(len(text), len(v.texts[i])) && text[same] == v.texts[i][same] {
			same++
		}
		if same == len(v.texts[i]) {
			return v.ids[i], same
		}
		text = text[:same]
	}
	return -1, 0
}
