package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a piece of text s into smaller ones, which it may also change, and appends them to
// dst. first says that s is the beginning of the whole text.
type splitter func(dst []string, s string, first bool) []string

// newSplitters flattens the pre-tokenizer into steps. byteLevel reports that the last step of
// tokenizer.json maps bytes to characters. The steps here do not, because the model takes the bytes
// as they are.
func newSplitters(c *component) (steps []splitter, byteLevel bool, err error) {
	if c == nil {
		return nil, false, nil
	}
	if c.Type == "Sequence" {
		for i := range c.Pretokenizers {
			if byteLevel {
				return nil, false, fmt.Errorf("pre_tokenizer %s after ByteLevel is not supported",
					c.Pretokenizers[i].Type)
			}
			s, b, err := newSplitters(&c.Pretokenizers[i])
			if err != nil {
				return nil, false, err
			}
			steps, byteLevel = append(steps, s...), b
		}
		return steps, byteLevel, nil
	}
	switch c.Type {
	case "ByteLevel":
		if orTrue(c.AddPrefixSpace) {
			steps = append(steps, prefixSpace)
		}
		if orTrue(c.UseRegex) {
			p := &pattern{scan: scanGPT2}
			steps = append(steps, splitBy(p, isolated))
		}
		return steps, true, nil
	case "Digits":
		split := func(dst []string, s string, _ bool) []string {
			return splitDigits(dst, s, c.IndividualDigits)
		}
		return []splitter{split}, false, nil
	case "Split":
		p, err := newPattern(c.Pattern)
		if err != nil {
			return nil, false, fmt.Errorf("pre_tokenizer Split: %w", err)
		}
		b, err := newBehavior(c.Behavior, c.Invert)
		if err != nil {
			return nil, false, err
		}
		return []splitter{splitBy(p, b)}, false, nil
	case "Metaspace":
		return []splitter{metaspace(c)}, false, nil
	}
	return nil, false, fmt.Errorf("pre_tokenizer type %q is not supported", c.Type)
}

// prefixSpace puts a space in front of a piece that has none.
func prefixSpace(dst []string, s string, _ bool) []string {
	if !strings.HasPrefix(s, " ") {
		s = " " + s
	}
	return append(dst, s)
}

// splitDigits cuts between numbers and other characters, and with individual around each number.
func splitDigits(dst []string, s string, individual bool) []string {
	start, was := 0, false
	for i, r := range s {
		is := unicode.IsNumber(r)
		if i > start && (is != was || is && individual) {
			dst = append(dst, s[start:i])
			start = i
		}
		was = is
	}
	return append(dst, s[start:])
}

// behavior joins the spans of a pattern, which cover a text, into pieces. It changes spans in
// place.
type behavior func(spans []span) []span

// splitBy splits by a pattern.
func splitBy(p *pattern, b behavior) splitter {
	return func(dst []string, s string, _ bool) []string {
		var room [64]span
		for _, sp := range b(p.spans(room[:0], s)) {
			if sp.end > sp.start {
				dst = append(dst, s[sp.start:sp.end])
			}
		}
		return dst
	}
}

// newBehavior returns the behavior of that name; invert makes it treat the text between matches as
// matches.
func newBehavior(name string, invert bool) (behavior, error) {
	var b behavior
	switch name {
	case "Isolated":
		b = isolated
	case "Removed":
		b = removed
	case "MergedWithPrevious":
		b = mergedWithPrevious
	case "MergedWithNext":
		b = mergedWithNext
	case "Contiguous":
		b = contiguous
	default:
		return nil, fmt.Errorf("pre_tokenizer Split: behavior %q is not supported", name)
	}
	if !invert {
		return b, nil
	}
	return func(spans []span) []span {
		for i := range spans {
			spans[i].match = !spans[i].match
		}
		return b(spans)
	}, nil
}

// isolated makes each span a piece.
func isolated(spans []span) []span { return spans }

// removed drops the matches.
func removed(spans []span) []span {
	kept := spans[:0]
	for _, sp := range spans {
		if !sp.match {
			kept = append(kept, sp)
		}
	}
	return kept
}

// mergedWithPrevious joins a match to the text before it; a match right after another one is a
// piece by itself.
func mergedWithPrevious(spans []span) []span {
	out, was := spans[:0], false
	for _, sp := range spans {
		match := sp.match
		if match && !was && len(out) > 0 {
			out[len(out)-1].end = sp.end
		} else {
			out = append(out, sp)
		}
		was = match
	}
	return out
}

// mergedWithNext joins a match to the text after it; a match right before another one is a piece by
// itself.
func mergedWithNext(spans []span) []span {
	at, was := len(spans), false
	for i := len(spans) - 1; i >= 0; i-- {
		sp := spans[i]
		if sp.match && !was && at < len(spans) {
			spans[at].start = sp.start
		} else {
			at--
			spans[at] = sp
		}
		was = sp.match
	}
	return spans[at:]
}

// contiguous joins neighbouring matches.
func contiguous(spans []span) []span {
	out, was := spans[:0], false
	for i, sp := range spans {
		match := sp.match
		if i > 0 && match == was {
			out[len(out)-1].end = sp.end
		} else {
			out = append(out, sp)
		}
		was = match
	}
	return out
}

// metaspace replaces spaces, as a rule by "▁", and begins a new piece at each.
func metaspace(c *component) splitter {
	mark := c.Replacement
	if mark == "" {
		mark = "▁"
	}
	scheme := c.PrependScheme
	if scheme == "" {
		scheme = "always"
		if !orTrue(c.AddPrefixSpace) {
			scheme = "never"
		}
	}
	return func(dst []string, s string, first bool) []string {
		s = strings.ReplaceAll(s, " ", mark)
		if (scheme == "always" || scheme == "first" && first) && !strings.HasPrefix(s, mark) {
			s = mark + s
		}
		if !orTrue(c.Split) {
			return append(dst, s)
		}
		return splitBefore(dst, s, mark)
	}
}

// splitBefore begins a new piece at each mark.
func splitBefore(dst []string, s, mark string) []string {
	for s != "" {
		_, skip := utf8.DecodeRuneInString(s)
		i := strings.Index(s[skip:], mark)
		if i < 0 {
			return append(dst, s)
		}
		dst = append(dst, s[:skip+i])
		s = s[skip+i:]
	}
	return dst
}
