package tokenizer

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a piece of text before it is split into words. The Unicode forms are those of
// x/text, which puts a U+034F into a run of more than 30 combining marks; Hugging Face tokenizers
// does not.
type normalizer func(string) string

// newNormalizers flattens the normalizer of tokenizer.json into steps.
func newNormalizers(c *component) ([]normalizer, error) {
	if c == nil {
		return nil, nil
	}
	switch c.Type {
	case "Sequence":
		var all []normalizer
		for i := range c.Normalizers {
			n, err := newNormalizers(&c.Normalizers[i])
			if err != nil {
				return nil, err
			}
			all = append(all, n...)
		}
		return all, nil
	case "Replace":
		p, err := newPattern(c.Pattern)
		if err != nil {
			return nil, fmt.Errorf("normalizer Replace: %w", err)
		}
		return []normalizer{func(s string) string { return p.replace(s, c.Content) }}, nil
	case "Prepend":
		return []normalizer{func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		}}, nil
	case "Lowercase":
		return []normalizer{lowercase}, nil
	case "Strip":
		return []normalizer{func(s string) string {
			if c.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if c.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}}, nil
	case "NFC":
		return []normalizer{norm.NFC.String}, nil
	case "NFD":
		return []normalizer{norm.NFD.String}, nil
	case "NFKC":
		return []normalizer{norm.NFKC.String}, nil
	case "NFKD":
		return []normalizer{norm.NFKD.String}, nil
	}
	return nil, fmt.Errorf("normalizer type %q is not supported", c.Type)
}

// lowercase maps each character by itself, as Hugging Face tokenizers does: there is no final
// sigma.
func lowercase(s string) string {
	s = strings.ReplaceAll(s, "İ", "i̇") // the one character whose lower case is two characters
	return strings.Map(unicode.ToLower, s)
}

// normalize applies normalizers one after the other.
func normalize(ns []normalizer, s string) string {
	for _, n := range ns {
		s = n(s)
	}
	return s
}
