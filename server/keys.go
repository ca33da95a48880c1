package server

import (
	"crypto/sha256"
	"crypto/subtle"
)

// keys are the digests of a server's API keys. So a comparison takes the same time whatever a
// client sends, and nothing that is printed by accident is a key.
type keys [][sha256.Size]byte

func newKeys(plain []string) keys {
	var k keys
	for _, p := range plain {
		k = append(k, sha256.Sum256([]byte(p)))
	}
	return k
}

// has says whether key is one of the keys. It always compares with every one of them.
func (k keys) has(key string) bool {
	digest, found := sha256.Sum256([]byte(key)), 0
	for i := range k {
		found |= subtle.ConstantTimeCompare(digest[:], k[i][:])
	}
	return found == 1
}
