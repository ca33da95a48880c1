package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// pattern finds the matches of a Split pre-tokenizer or a Replace normalizer. It uses one of its
// three fields: a literal, a scanner of scan.go for a well-known expression, or regexp2 for any
// other expression.
type pattern struct {
	literal string
	scan    scanner
	re      *regexp2.Regexp
}

func newPattern(j patternJSON) (*pattern, error) {
	switch {
	case j.String != nil:
		return &pattern{literal: *j.String}, nil
	case j.Regex == nil:
		return nil, errors.New("pattern is neither String nor Regex")
	}
	if s, ok := scanners[*j.Regex]; ok {
		return &pattern{scan: s}, nil
	}
	re, err := regexp2.Compile(*j.Regex, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", *j.Regex, err)
	}
	return &pattern{re: re}, nil
}

// span is a match or the text between two matches, as byte offsets.
type span struct {
	start, end int
	match      bool
}

// spans cuts all of s into matches and the text between them.
func (p *pattern) spans(dst []span, s string) []span {
	at := 0
	add := func(start, end int) {
		if start > at {
			dst = append(dst, span{at, start, false})
		}
		dst = append(dst, span{start, end, true})
		at = end
	}
	switch {
	case p.scan != nil:
		for i := 0; i < len(s); {
			n := p.scan(s[i:])
			if n > 0 {
				add(i, i+n)
			} else {
				_, n = utf8.DecodeRuneInString(s[i:])
			}
			i += n
		}
	case p.re != nil:
		p.regexpSpans(s, add)
	case p.literal != "":
		for {
			i := strings.Index(s[at:], p.literal)
			if i < 0 {
				break
			}
			add(at+i, at+i+len(p.literal))
		}
	}
	if at < len(s) {
		dst = append(dst, span{at, len(s), false})
	}
	return dst
}

// regexpSpans calls add with every match that is not empty. regexp2 counts in runes, which advance
// turns into bytes.
func (p *pattern) regexpSpans(s string, add func(start, end int)) {
	runes, offset := 0, 0
	advance := func(to int) int {
		for ; runes < to; runes++ {
			_, n := utf8.DecodeRuneInString(s[offset:])
			offset += n
		}
		return offset
	}
	// Neither call can fail: the only error is a time-out, and no time limit is set.
	for m, err := p.re.FindStringMatch(s); err == nil && m != nil; m, err = p.re.FindNextMatch(m) {
		if m.Length > 0 {
			start := advance(m.Index)
			add(start, advance(m.Index+m.Length))
		}
	}
}

// replace replaces every match by with.
func (p *pattern) replace(s, with string) string {
	if p.literal != "" {
		return strings.ReplaceAll(s, p.literal, with)
	}
	var b strings.Builder
	for _, sp := range p.spans(nil, s) {
		if sp.match {
			b.WriteString(with)
		} else {
			b.WriteString(s[sp.start:sp.end])
		}
	}
	return b.String()
}
