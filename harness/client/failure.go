package client

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"loadstone/harness/table"
)

// maxMessage bounds what is kept of a server's message, in characters. A page of HTML for each of
// many requests would fill the memory, and nobody reads more.
const maxMessage = 1000

// message is a server's text as it may be shown and kept: without what a terminal obeys.
func message(text string) string {
	return table.Clip(table.Plain(text), maxMessage)
}

// excerpt is the beginning of something that a server sent, in one line.
func excerpt(text []byte) string {
	return table.Clip(table.OneLine(string(text[:min(len(text), 400)])), 60)
}

// falsy reports whether JSON stands for nothing: null, false, 0, or an empty text, list or object.
func falsy(raw []byte) bool {
	switch string(raw) {
	case "", "null", "false", `""`, "0":
		return true
	}
	switch raw[0] {
	case '{', '[':
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
	case '"', 't':
		return false
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && v == 0
}

// wholeNumber reads a count: 12, 12.0, 1.2e1 and "12" are the same. ok is false of anything that is
// none, such as -1 or 1.5.
func wholeNumber(raw []byte) (n int, ok bool) {
	const largest = 1 << 40
	for _, b := range raw {
		if ok = '0' <= b && b <= '9' && n < largest; !ok {
			break
		}
		n = 10*n + int(b-'0')
	}
	if ok {
		return n, n < largest
	}
	s := string(raw)
	if s != "" && s[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return 0, false
		}
		s = strings.TrimSpace(s)
		if s == "" || !strings.Contains("0123456789", s[:1]) { // no Inf
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v != math.Trunc(v) || !(v >= 0 && v < largest) {
		return 0, false
	}
	return int(v), true
}

// failureWords are the keys of an error's text, the most telling first.
var failureWords = []string{"message", "error", "detail", "details", "msg", "error_message",
	"errorMessage", "error_description", "description", "reason", "title", "errors", "cause"}

// failureText is what a server says of an error, whatever the shape: {"message":…},
// {"error":{"message":…}}, {"detail":[{"msg":…}]}, or a text. Where no text is found, it is the
// JSON.
func failureText(raw []byte) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return message(strings.TrimSpace(string(raw)))
	}
	if text := failureIn(v); text != "" {
		return message(text)
	}
	return message(string(raw))
}

func failureIn(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case []any:
		var texts []string
		for _, one := range v {
			if text := failureIn(one); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, "; ")
	case map[string]any:
		for _, key := range failureWords {
			if text := failureIn(v[key]); text != "" {
				return text
			}
		}
	}
	return ""
}
