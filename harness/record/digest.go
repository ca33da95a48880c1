package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// A Digest stands for texts that a file of records does not have: the first 16 bytes of a SHA-256,
// in hexadecimal digits. Whoever guesses a text can test the guess with its digest; nothing else of
// the text is in it.
type Digest string

// NewDigest is the digest of texts, in their order. Where one ends and the next begins is part of
// it.
func NewDigest(texts ...string) Digest {
	h := sha256.New()
	var n [8]byte
	for _, text := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(text)))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	return Digest(hex.EncodeToString(h.Sum(nil)[:16]))
}

// answerDigest is that of all that the model said; "" where it said nothing.
func (r *Record) answerDigest() Digest {
	if r.Answer == "" && r.Thought == "" && r.Calls == "" {
		return ""
	}
	return NewDigest(r.Answer, r.Thought, r.Calls)
}

// Seal sets AnswerDigest by the texts of the answer.
func (r *Record) Seal() { r.AnswerDigest = r.answerDigest() }

// Sealed reports whether AnswerDigest is that of the texts of the answer, where the record has
// them.
func (r *Record) Sealed() bool {
	digest := r.answerDigest()
	return digest == "" || digest == r.AnswerDigest
}
