package tokenizer

import (
	"slices"
	"strings"
)

// window cuts a text where all splitters cut it, whatever else it has, so that it is split and
// encoded part by part and not to the end where it is too long. The zero window cuts nothing.
type window struct {
	bytes int    // length of a part, at least
	space string // every text is cut before it, behind a letter
}

const windowBytes = 1 << 15

// newWindow returns the window for a pre-tokenizer whose splitters keep every byte and look no
// further than a word and the spaces around it, else the zero window.
func (t *tokenizer) newWindow(c *component) window {
	for _, space := range []string{" ", "▁"} {
		w := words{tokenizer: t}
		want := []string{"a", space + "a"}
		if c.near() && t.parted(space) && slices.Equal(w.split("a"+space+"a", true), want) {
			return window{windowBytes, space}
		}
	}
	return window{}
}

// parted reports whether no merge joins an ASCII letter to a space behind it.
func (t *tokenizer) parted(space string) bool {
	return space == " " || !strings.ContainsFunc("abcdefghijklmnopqrstuvwxyz", func(r rune) bool {
		return t.model.beforeMark[r]
	})
}

// near reports whether a pre-tokenizer is made of steps that keep every byte and look no further
// than a word and the spaces around it. Of an expression that is not well known nothing is known.
func (c *component) near() bool {
	switch {
	case c == nil:
		return true
	case c.Type == "Sequence":
		return !slices.ContainsFunc(c.Pretokenizers, func(c component) bool { return !c.near() })
	case c.Type == "Split":
		p, err := newPattern(c.Pattern)
		return err == nil && c.Behavior != "Removed" &&
			(p.literal == " " || p.scan != nil && c.Behavior == "Isolated" && !c.Invert)
	}
	return c.Type == "Digits" || c.Type == "ByteLevel"
}

// end returns where the part ends that s begins with.
func (w window) end(s string) int {
	if w.bytes == 0 || len(s) <= w.bytes {
		return len(s)
	}
	for at := w.bytes; ; at += len(w.space) {
		i := strings.Index(s[at:], w.space)
		if i < 0 {
			return len(s)
		}
		if at += i; 'a' <= s[at-1] && s[at-1] <= 'z' {
			return at
		}
	}
}
