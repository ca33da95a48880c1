package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

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
