package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// A mask writes lines of a recording in which no key is that an agent or the server's user has shown
// in a header or an address: where a text has one in it, it is replaced.
type mask struct {
	to    io.Writer
	keys  [][]byte
	seen  map[string]bool
	found int // how many were replaced
}

// masked is in the place of a key.
const masked = "[key]"

// shortKey is the length below which a text is no key: it would be found in other words.
const shortKey = 8

// add adds keys.
func (m *mask) add(keys []string) {
	for _, key := range keys {
		if len(key) < shortKey || m.seen[key] {
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

// Write writes a line.
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

// keyHeaders are the headers whose values are keys.
var keyHeaders = []string{"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key",
	"X-Goog-Api-Key", "Openai-Api-Key", "Ocp-Apim-Subscription-Key", "X-Auth-Token", "X-Amz-Security-Token"}

// keysOf are the keys that a request has in its headers, its cookies and its address.
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
	if user, password, ok := r.BasicAuth(); ok {
		keys = append(keys, password)
		_ = user
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
