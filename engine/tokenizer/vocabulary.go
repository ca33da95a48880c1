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

// Nine tenths of a tokenizer.json are its vocabulary and its merges: 14 MB of Gemma's file.
// encoding/json, which uses reflection, takes most of a second for them. So they are cut out and
// read here, and encoding/json reads the rest, with null in their places.

// vocabulary is the tokens of a model.
type vocabulary struct {
	tokens []string         // in the order of the file
	ids    []int32          // in the same order
	byText map[string]int32 // ids by token
}

// mergeList is the merges, in the order of their ranks, as the file writes them: "a b" up to 2024,
// ["a","b"] since.
type mergeList struct{ cursor }

// cutModel finds the vocabulary and the merges in a tokenizer.json. rest is the file with null in
// their places.
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

// readVocabulary reads the object of tokens and ids.
func readVocabulary(c cursor) (vocabulary, error) {
	v := vocabulary{}
	if c.null() {
		return v, nil
	}
	var text strings.Builder // the text of all tokens: one allocation, not one for each token
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

// each calls use with the two sides of every merge. They are valid until use returns.
func (m mergeList) each(use func(left, right []byte) error) error {
	c := m.cursor
	if c.null() {
		return nil
	}
	rank := -1
	err := c.list('[', ']', func() error {
		rank++
		left, right, err := c.merge()
		if err != nil {
			return err
		}
		return use(left, right)
	})
	if err != nil {
		return fmt.Errorf("merge %d: %w", max(0, rank), err)
	}
	return nil
}

// merge takes one merge, in either form.
func (c *cursor) merge() (left, right []byte, err error) {
	if c.peek() != '[' {
		line, err := c.text()
		if err != nil {
			return nil, nil, err
		}
		left, right, ok := bytes.Cut(line, []byte(" "))
		if !ok || bytes.IndexByte(right, ' ') >= 0 {
			return nil, nil, fmt.Errorf("%q is not two tokens with a space between", line)
		}
		return left, right, nil
	}
	var sides [2][]byte
	n := 0
	err = c.list('[', ']', func() (err error) {
		if n == len(sides) {
			return errors.New("more than two tokens")
		}
		sides[n], err = c.text()
		n++
		return err
	})
	if err == nil && n < len(sides) {
		err = errors.New("fewer than two tokens")
	}
	return sides[0], sides[1], err
}

// cursor reads JSON from one place on. It is strict about the values that it takes; encoding/json
// checks those that it skips.
type cursor struct {
	data []byte
	at   int  // offset of the next byte
	raw  bool // all of data is UTF-8, so a string without escapes is its own text
}

// peek returns the next byte that is not white space, 0 at the end.
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

// take takes one byte, which must be want.
func (c *cursor) take(want byte) error {
	if c.peek() != want || c.at == len(c.data) {
		return fmt.Errorf("offset %d: want %q", c.at, want)
	}
	c.at++
	return nil
}

// null reports whether the rest of data is null or empty.
func (c *cursor) null() bool {
	return c.peek() == 0 || bytes.Equal(bytes.TrimRight(c.data[c.at:], " \t\r\n"), []byte("null"))
}

// list takes a list or an object that begins with open and ends with end; element takes one element
// of it.
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

// members calls use with the members of an object. The data of a value's cursor ends where the
// value ends.
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

// quoted takes a string and returns the bytes between its quotes. plain reports whether they are
// its text.
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

// id takes a token id, a whole number.
func (c *cursor) id() (int32, error) {
	c.peek()
	from := c.at
	for c.at < len(c.data) && (c.data[c.at] >= '0' && c.data[c.at] <= '9' ||
		c.data[c.at] == '-' && c.at == from) {
		c.at++
	}
	s := string(c.data[from:c.at])
	n, err := strconv.ParseInt(s, 10, 32)
	if digits := strings.TrimPrefix(s, "-"); err != nil || len(digits) > 1 && digits[0] == '0' {
		return 0, fmt.Errorf("offset %d: %q is not a token id", from, s)
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
