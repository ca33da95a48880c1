package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// A mask writes lines of a recording and replaces every key in them that a request had in a header
// or its address.
type mask struct {
	to    io.Writer
	keys  [][]byte
	seen  map[string]bool
	found int // number of replacements
}

// masked replaces a key.
const masked = "[key]"

// minKey is the minimum length of a key: shorter texts would be found within other words.
const minKey = 8

// add adds keys to those that are replaced.
func (m *mask) add(keys []string) {
	for _, key := range keys {
		if len(key) < minKey || m.seen[key] {
			continue
		}
		if m.seen == nil {
			m.seen = map[string]bool{}
		}
		m.seen[key] = true
		quoted, _ := json.Marshal(key)
		m.keys = append(m.keys, []byte(key))
		if quoted = quoted[1 : len(quoted)-1]; string(quoted) != key {
			m.keys = append(m.keys, quoted)
		}
	}
}

// Write writes a line without keys.
func (m *mask) Write(line []byte) (int, error) {
	for _, key := range m.keys {
		if n := bytes.Count(line, key); n > 0 {
			m.found += n
			line = bytes.ReplaceAll(line, key, []byte(masked))
		}
	}
	n, err := m.to.Write(line)
	return n, err
}

// keyHeaders lists the headers whose values are keys.
var keyHeaders = []string{"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key",
	"X-Goog-Api-Key", "Openai-Api-Key", "Ocp-Apim-Subscription-Key", "X-Auth-Token",
	"X-Amz-Security-Token"}

// keysOf returns the keys in a request's headers, cookies and address.
func keysOf(r *http.Request) (keys []string) {
	for _, name := range keyHeaders {
		for _, value := range r.Header.Values(name) {
			// Bearer KEY, Basic KEY, or the key alone.
			words := strings.Fields(value)
			if len(words) > 0 {
				keys = append(keys, words[len(words)-1])
			}
		}
	}
	if _, password, ok := r.BasicAuth(); ok {
		keys = append(keys, password)
	}
	for _, c := range r.Cookies() {
		keys = append(keys, c.Value)
	}
	for name, values := range r.URL.Query() {
		name = strings.ToLower(name)
		if strings.Contains(name, "key") || strings.Contains(name, "token") ||
			strings.Contains(name, "sig") || strings.Contains(name, "secret") {
			keys = append(keys, values...)
		}
	}
	return keys
}
