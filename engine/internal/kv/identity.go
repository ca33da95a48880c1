package kv

import (
	"crypto/sha256"
	"encoding/binary"
)

// An Agent names a memory. The same name under two principals is two agents. An Agent without a
// name is anonymous: what it leaves is kept for every sequence that begins at the same Root.
type Agent struct {
	Principal string // an id, "" where there is only one principal
	Name      string
}

// Anonymous reports whether the agent has no name.
func (a Agent) Anonymous() bool { return a.Name == "" }

// A Root is where the prefix index begins for the sequences that may share blocks. Two sequences
// with different roots never have a block in common, whatever their tokens. The zero Root is that
// of an engine with one principal and no salts.
type Root [sha256.Size]byte

// NewRoot derives a root from what its sequences have in common. Each part stands behind its
// length, so that different lists of parts never make the same input of the hash.
func NewRoot(parts ...string) Root { return Root(Digest(parts...)) }

// Digest returns the SHA-256 of a list of strings: the number of them, then each behind its length
// in bytes, all numbers being little-endian uint64s.
func Digest(parts ...string) [sha256.Size]byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(parts)))
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// An Identity says whose a sequence is, and what it may find in the cache.
type Identity struct {
	Agent Agent
	Root  Root
	// Salt stands for what divides an agent's memories beyond its name: a memory that was left with
	// one salt is of no use to a request with another. "": none
	Salt string
	// Alone says that no other sequence has the root, so that an anonymous one leaves nothing.
	Alone bool
}
