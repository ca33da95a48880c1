package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// decoder appends the bytes that a token stands for, whatever its place in a text. The one decoder
// of tokenizer.json that depends on the place is Strip, which drops the space before the first word
// of a text. An answer is not the beginning of a text, so Strip is left out.
type decoder func(dst []byte, token string) []byte

// newDecoder makes the decoder of tokenizer.json.
func newDecoder(c *component) (decoder, error) {
	if c == nil {
		return func(dst []byte, token string) []byte { return append(dst, token...) }, nil
	}
	if c.Type == "ByteLevel" {
		return func(dst []byte, token string) []byte {
			if dst, ok := alphabetBytes(dst, token); ok {
				return dst
			}
			return append(dst, token...)
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
				return nil, errors.New("decoder Replace: only a String pattern is supported")
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
	return func(dst []byte, token string) []byte {
		if b, ok := byteToken(token); ok && fallback {
			return append(dst, b)
		}
		for _, r := range replace {
			token = r.Replace(token)
		}
		return append(dst, token...)
	}, nil
}

// byteToken returns the byte of a token of the form <0xHH>.
func byteToken(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(b), err == nil
}
