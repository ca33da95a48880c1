package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Nine tenths of a tokenizer.json are its vocabulary and its merges, 14 MB of Gemma's, and encoding/json with reflection
// takes most of a second for them. They are cut out and read here; the rest, with null in their places, is encoding/json's.

// vocabulary is the tokens of a model: text and id, as the file lists them, and the id by text.
type vocabulary struct {
	tokens []string
	ids    []int32
	byText map[string]int32
}

// mergeList is the merges in order of rank, as written in the file: up to 2024 "a b", later ["a","b"].
type mergeList struct{ cursor }

// cutModel finds the vocabulary and the merges in a tokenizer.json; rest is the file without them.
func cutModel(data []byte) (vocab, merges cursor, rest []byte, err error) {
	c := cursor{data: data, raw: utf8.Valid(data)}
	at := 0
	cut := func(value cursor) cursor {
		rest = append(append(rest, data[at:value.at]...), "null"...)
		at = len(value.data)
		return value
	}
	err = c.members(func(key string, value cursor) error {
		if key != "model" {
			return nil
		}
		model := value
		return model.members(func(key string, value cursor) error {
			switch key {
			case "vocab":
				vocab = cut(value)
			case "merges":
				merges = cut(value)
			}
			return nil
		})
	})
	return vocab, merges, append(rest, data[at:]...), err
}

func readVocabulary(c cursor) (vocabulary, error) {
	v := vocabulary{}
	if c.null() {
		return v, nil
	}
	var text strings.Builder // of all tokens: one allocation, not one for each
	text.Grow((len(c.data) - c.at) / 2)
	var ends []int
	err := c.list('{', '}', func() error {
		token, err := c.text()
		if err != nil {
			return err
		}
		if err := c.take(':'); err != nil {
			return err
		}
		id, err := c.id()
		text.Write(token)
		ends, v.ids = append(ends, text.Len()), append(v.ids, id)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("model vocab: %w", err)
	}
	v.tokens, v.byText = make([]string, len(ends)), make(map[string]int32, len(ends))
	from := 0
	for i, end := range ends {
		v.tokens[i] = text.String()[from:end]
		v.byText[v.tokens[i]] = v.ids[i]
		from = end
	}
	return v, nil
}

// each calls use with the two sides of every merge, which are its own until the next call.
func (m mergeList) each(use func(left, right []byte) error) error {
	c := m.cursor
	if c.null() {
		return nil
	}
	rank, sides := -1, [2][]byte{}
	err := c.list('[', ']', func() error {
		rank++
		if c.peek() == '[' {
			i := 0
			err := c.list('[', ']', func() (err error) {
				if i == len(sides) {
					return errors.New("more than two tokens")
				}
				sides[i], err = c.text()
				i++
				return err
			})
			if err == nil && i < len(sides) {
				err = errors.New("fewer than two tokens")
			}
			if err != nil {
				return err
			}
			return use(sides[0], sides[1])
		}
		line, err := c.text()
		if err != nil {
			return err
		}
		left, right, ok := bytes.Cut(line, []byte(" "))
		if !ok || bytes.IndexByte(right, ' ') >= 0 {
			return fmt.Errorf("%q is not two tokens with a space between", line)
		}
		return use(left, right)
	})
	if err != nil {
		return fmt.Errorf("merge %d: %w", max(0, rank), err)
	}
	return nil
}

// cursor reads JSON from one place on. It is strict where it takes values; what it skips is for encoding/json to check.
type cursor struct {
	data []byte
	at   int
	raw  bool // all of data is UTF-8: strings without escapes are their own text
}

// peek returns the next byte that is no white space, 0 at the end.
func (c *cursor) peek() byte {
	for ; c.at < len(c.data); c.at++ {
		switch b := c.data[c.at]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

func (c *cursor) take(want byte) error {
	if c.peek() != want || c.at == len(c.data) {
		return fmt.Errorf("offset %d: want %q", c.at, want)
	}
	c.at++
	return nil
}

// null reports whether the value is null, or there is none.
func (c *cursor) null() bool {
	return c.peek() == 0 || bytes.Equal(bytes.TrimRight(c.data[c.at:], " \t\r\n"), []byte("null"))
}

// list takes what stands between open and end, element by element.
func (c *cursor) list(open, end byte, element func() error) error {
	if err := c.take(open); err != nil {
		return err
	}
	if c.peek() == end {
		c.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.peek() == end {
			c.at++
			return nil
		}
		if err := c.take(','); err != nil {
			return err
		}
	}
}

// members calls use with the members of an object; a value's data ends where the value does.
func (c *cursor) members(use func(key string, value cursor) error) error {
	return c.list('{', '}', func() error {
		key, err := c.text()
		if err != nil {
			return err
		}
		name := string(key)
		if err := c.take(':'); err != nil {
			return err
		}
		c.peek()
		from := c.at
		if err := c.skip(); err != nil {
			return err
		}
		return use(name, cursor{data: c.data[:c.at], at: from, raw: c.raw})
	})
}

// text takes a string. The result is valid until the data changes.
func (c *cursor) text() ([]byte, error) {
	from := c.at
	s, plain, err := c.quoted()
	if err != nil || plain {
		return s, err
	}
	var text string
	if err := json.Unmarshal(c.data[from:c.at], &text); err != nil {
		return nil, fmt.Errorf("offset %d: %w", from, err)
	}
	return []byte(text), nil
}

// quoted takes a string and returns what is between its quotes, and whether that is its text.
func (c *cursor) quoted() (s []byte, plain bool, err error) {
	if err := c.take('"'); err != nil {
		return nil, false, err
	}
	plain = c.raw
	for i := c.at; i < len(c.data); i++ {
		switch b := c.data[i]; {
		case b == '"':
			s, c.at = c.data[c.at:i], i+1
			return s, plain, nil
		case b == '\\':
			plain = false
			i++
		case b < ' ':
			plain = false
		}
	}
	return nil, false, errors.New("a string without an end")
}

// id takes a whole number.
func (c *cursor) id() (int32, error) {
	c.peek()
	from := c.at
	for c.at < len(c.data) && (c.data[c.at] >= '0' && c.data[c.at] <= '9' || c.data[c.at] == '-' && c.at == from) {
		c.at++
	}
	s := string(c.data[from:c.at])
	n, err := strconv.ParseInt(s, 10, 32)
	if digits := strings.TrimPrefix(s, "-"); err != nil || len(digits) > 1 && digits[0] == '0' {
		return 0, fmt.Errorf("offset %d: %q is no token id", from, s)
	}
	return int32(n), nil
}

// skip takes any value.
func (c *cursor) skip() error {
	depth := 0
	for {
		switch b := c.peek(); b {
		case 0:
			return errors.New("a value without an end")
		case '"':
			if _, _, err := c.quoted(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			c.at++
		case '}', ']':
			if depth == 0 {
				return fmt.Errorf("offset %d: no value", c.at)
			}
			depth--
			c.at++
		case ',', ':':
			if depth == 0 {
				return fmt.Errorf("offset %d: no value", c.at)
			}
			c.at++
			continue
		default: // a number or a word
			for c.at < len(c.data) && !strings.ContainsRune(" \t\r\n,:{}[]\"", rune(c.data[c.at])) {
				c.at++
			}
		}
		if depth == 0 {
			return nil
		}
	}
}
