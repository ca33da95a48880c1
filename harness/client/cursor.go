package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// A cursor reads JSON (RFC 8259) from front to back without building values of it. The first error
// stays; after it every method returns at once.
type cursor struct {
	text  []byte
	at    int
	depth int
	err   error
}

// maxDepth bounds how deep values nest. Answers nest no deeper than ten.
const maxDepth = 100

func (c *cursor) fail(want string) {
	if c.err == nil {
		c.err = fmt.Errorf("byte %d of %d: want %s", c.at, len(c.text), want)
	}
}

func (c *cursor) blank() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// next is the first byte of the next value, or 0 at the end or after an error.
func (c *cursor) next() byte {
	c.blank()
	if c.err != nil || c.at == len(c.text) {
		return 0
	}
	return c.text[c.at]
}

// take consumes b if it is next.
func (c *cursor) take(b byte) bool {
	if c.next() != b {
		return false
	}
	c.at++
	return true
}

// null consumes a null if it is next. The other methods read a null as the zero value.
func (c *cursor) null() bool {
	if c.next() != 'n' {
		return false
	}
	c.word("null")
	return true
}

func (c *cursor) word(w string) {
	if len(c.text)-c.at < len(w) || string(c.text[c.at:c.at+len(w)]) != w {
		c.fail(w)
		return
	}
	c.at += len(w)
}

// object calls field with each key of an object; field consumes the value.
func (c *cursor) object(field func(key []byte)) {
	c.nested('{', '}', "an object", func() {
		key := c.quoted()
		if !c.take(':') {
			c.fail("a colon")
		}
		if c.err == nil {
			field(key)
		}
	})
}

// array calls element at each element of an array; element consumes it.
func (c *cursor) array(element func()) { c.nested('[', ']', "an array", element) }

func (c *cursor) nested(begin, end byte, what string, each func()) {
	if c.null() {
		return
	}
	if !c.take(begin) || c.depth == maxDepth {
		c.fail(what)
		return
	}
	c.depth++
	for first := true; c.err == nil; first = false {
		if first && c.take(end) {
			break
		}
		if each(); c.err != nil {
			return
		}
		if c.take(end) {
			break
		}
		if !c.take(',') {
			c.fail("a comma")
		}
	}
	c.depth--
}

// skip consumes any value.
func (c *cursor) skip() {
	switch b := c.next(); b {
	case '{':
		c.object(func([]byte) { c.skip() })
	case '[':
		c.array(c.skip)
	case '"':
		c.quoted()
	case 't':
		c.word("true")
	case 'f':
		c.word("false")
	case 'n':
		c.word("null")
	default:
		c.number()
	}
}

// value consumes any value and returns its text.
func (c *cursor) value() []byte {
	c.blank()
	begin := c.at
	if c.skip(); c.err != nil {
		return nil
	}
	return c.text[begin:c.at]
}

// quoted consumes a string and returns what is between its quotes, escapes and all.
func (c *cursor) quoted() []byte {
	if !c.take('"') {
		c.fail("a string")
		return nil
	}
	begin := c.at
	for c.at < len(c.text) {
		switch b := c.text[c.at]; {
		case b == '"':
			c.at++
			return c.text[begin : c.at-1]
		case b == '\\':
			c.at++
			if !c.escape() {
				c.fail("an escape")
				return nil
			}
		case b < ' ':
			c.fail("a string without control characters")
			return nil
		default:
			c.at++
		}
	}
	c.fail("the end of a string")
	return nil
}

// escape consumes what follows a backslash.
func (c *cursor) escape() bool {
	if c.at == len(c.text) {
		return false
	}
	b := c.text[c.at]
	c.at++
	switch b {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if c.at == len(c.text) || !isHex(c.text[c.at]) {
				return false
			}
			c.at++
		}
		return true
	}
	return false
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

// string consumes a string and appends its text to dst; a null appends nothing.
func (c *cursor) string(dst []byte) []byte {
	if c.null() {
		return dst
	}
	c.blank()
	begin := c.at
	raw := c.quoted()
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw...)
	}
	var s string
	if err := json.Unmarshal(c.text[begin:c.at], &s); err != nil {
		c.fail("a string")
	}
	return append(dst, s...)
}

// plain consumes any value and appends its text to dst: of a string what it means, of anything else
// how it is written. Nothing is appended for what is falsy.
func (c *cursor) plain(dst []byte) []byte {
	if c.next() == '"' {
		return c.string(dst)
	}
	if raw := c.value(); !falsy(raw) {
		dst = append(dst, raw...)
	}
	return dst
}

// float consumes a number; a null is 0.
func (c *cursor) float() float64 {
	if c.null() {
		return 0
	}
	v, err := strconv.ParseFloat(string(c.number()), 64)
	if err != nil {
		c.fail("a number")
	}
	return v
}

// number consumes a number and returns its text.
func (c *cursor) number() []byte {
	c.blank()
	begin := c.at
	digits := func() bool {
		begin := c.at
		for c.at < len(c.text) && '0' <= c.text[c.at] && c.text[c.at] <= '9' {
			c.at++
		}
		return c.at > begin
	}
	any := func(set string) bool {
		if c.at < len(c.text) && bytes.IndexByte([]byte(set), c.text[c.at]) >= 0 {
			c.at++
			return true
		}
		return false
	}
	any("-")
	ok := any("0") || digits()
	if any(".") {
		ok = ok && digits()
	}
	if any("eE") {
		any("+-")
		ok = ok && digits()
	}
	if !ok {
		c.fail("a value")
	}
	return c.text[begin:c.at]
}
