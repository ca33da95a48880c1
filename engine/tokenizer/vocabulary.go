package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
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
