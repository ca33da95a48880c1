package client

import (
	"slices"
	"sync"
)

// fingerprints are the values of system_fingerprint in a server's answers, which stand for its
// model and settings: OpenAI's API has them so that a change shows.
type fingerprints struct {
	mu   sync.Mutex
	seen []string
}

// maxFingerprints bounds how many are kept, since a server may send another one each time, and
// maxFingerprint their length in bytes.
const maxFingerprints, maxFingerprint = 8, 128

func (f *fingerprints) add(one []byte) {
	if len(one) == 0 || len(one) > maxFingerprint {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	same := func(s string) bool { return s == string(one) }
	if len(f.seen) < maxFingerprints && !slices.ContainsFunc(f.seen, same) {
		f.seen = append(f.seen, string(one))
	}
}

// Fingerprints are the values of system_fingerprint that the server's answers had, at most eight,
// in the order in which they came; none where it sends none.
func (c *Client) Fingerprints() []string {
	c.fingerprints.mu.Lock()
	defer c.fingerprints.mu.Unlock()
	return slices.Clone(c.fingerprints.seen)
}
