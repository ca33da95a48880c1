package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// An Identity says what a load asks of a server: each key that decides it, by the name that
// scenario files have for it, with its value in words. Two measurements compare where their
// identities are equal.
//
// It has all that decides how many requests are sent, when, of what length and form, and what is
// done to them. It leaves out, on purpose:
//
//   - name and about: the name is in the benchmark's own, and a sentence asks nothing
//   - the seeds: other words of the same lengths are another sample of the same load, as other
//     arrivals of the same rate are, and cold caches even need other words each time
//   - the goodput objective: it asks nothing, and can be judged anew from the records; what
//     writes an identity down adds it with [Identity.With], since it decides what counts as good
//   - the pool: it is the server's, and reserve has the share of it
//
// A key at its default is left out as well, so that a key that a later version adds does not
// change the identity of the loads that do not use it.
type Identity []Aspect

// An Aspect is one key of an identity.
type Aspect struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Hash is the identity in 16 hexadecimal digits, "" of an unknown identity: the beginning of the
// SHA-256 of its keys and values.
func (id Identity) Hash() string {
	if len(id) == 0 {
		return ""
	}
	h := sha256.New()
	for _, a := range id {
		fmt.Fprintf(h, "%q=%q\n", a.Key, a.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// With is the identity with the value of a key, in place of the one that it had; "" takes the key
// out. An unknown identity stays unknown.
func (id Identity) With(key, value string) Identity {
	if len(id) == 0 {
		return nil
	}
	var changed Identity
	for _, a := range id {
		if a.Key != key {
			changed = append(changed, a)
		}
	}
	if value != "" {
		changed = append(changed, Aspect{key, value})
	}
	return changed
}

// Get is the value of a key, "" where the identity leaves it at its default.
func (id Identity) Get(key string) string {
	for _, a := range id {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// An Unlike is a key in which two identities differ, and what it is in each; "": at its default.
type Unlike struct{ Key, A, B string }

// Differences are the keys in which the identity differs from another one.
func (id Identity) Differences(other Identity) []Unlike {
	var all []Unlike
	for _, a := range id {
		if b := other.Get(a.Key); b != a.Value {
			all = append(all, Unlike{a.Key, a.Value, b})
		}
	}
	for _, b := range other {
		if id.Get(b.Key) == "" {
			all = append(all, Unlike{b.Key, "", b.Value})
		}
	}
	return all
}

// Text is the identity in one line: key="value", separated by blanks.
func (id Identity) Text() string {
	var parts []string
	for _, a := range id {
		parts = append(parts, a.Key+"="+strconv.Quote(a.Value))
	}
	return strings.Join(parts, " ")
}

// BenchLine is the line of files in the Go benchmark format that says which load a benchmark is of:
//
//	Load Serve/scenario=chat/agents=4 hash="5e88…" concurrency="4" requests="150" turns="4"
//
// The benchmark's name is without "Benchmark" and the number of processors. goodput, which may be
// "", is what a good answer must hold; it is no part of the hash. An unknown identity has no line.
func (id Identity) BenchLine(benchmark, goodput string) string {
	if len(id) == 0 {
		return ""
	}
	return fmt.Sprintf("Load %s hash=%q %s\n", benchmark, id.Hash(),
		id.With("goodput", goodput).Text())
}

// ParseIdentity reads what Text writes.
func ParseIdentity(text string) (Identity, error) {
	var id Identity
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		quoted, err := strconv.QuotedPrefix(rest)
		if !ok || key == "" || strings.ContainsAny(key, " \t\"") || err != nil {
			return nil, fmt.Errorf("%q is not of the form key=\"value\"", text)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		id, text = append(id, Aspect{key, value}), rest[len(quoted):]
	}
	return id, nil
}
