package text

import (
	"fmt"
	"strconv"
	"strings"
)

// decoder returns the bytes that a token stands for, wherever it stands. The one decoder that depends on the place is
// Strip, which drops the space before the first word of a text; an answer is no beginning of a text, so it is left out.
type decoder func(token string) []byte

func newDecoder(c *component) (decoder, error) {
	if c == nil {
		return func(token string) []byte { return []byte(token) }, nil
	}
	if c.Type == "ByteLevel" {
		return func(token string) []byte {
			if raw, ok := alphabetBytes(token); ok {
				return raw
			}
			return []byte(token)
		}, nil
	}
	var replace []*strings.Replacer
	fallback := false
	steps := c.Decoders
	if c.Type != "Sequence" {
		steps = []component{*c}
	}
	for _, s := range steps {
		switch s.Type {
		case "Replace":
			if s.Pattern.String == nil {
				return nil, fmt.Errorf("decoder Replace: only a String pattern is supported")
			}
			replace = append(replace, strings.NewReplacer(*s.Pattern.String, s.Content))
		case "Metaspace":
			mark := s.Replacement
			if mark == "" {
				mark = "▁"
			}
			replace = append(replace, strings.NewReplacer(mark, " "))
		case "ByteFallback":
			fallback = true
		case "Fuse", "Strip":
		default:
			return nil, fmt.Errorf("decoder type %q is not supported", s.Type)
		}
	}
	return func(token string) []byte {
		if b, ok := byteToken(token); ok && fallback {
			return []byte{b}
		}
		for _, r := range replace {
			token = r.Replace(token)
		}
		return []byte(token)
	}, nil
}

// byteToken parses <0xHH>.
func byteToken(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(b), err == nil
}
