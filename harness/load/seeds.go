package load

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
)

// Seeds are the random choices of a load, each with a seed of its own, so that one can be varied
// while all others stay. The same seeds make the same load, whatever the server does and however
// long it takes.
type Seeds struct {
	Text     uint64 // the words of prompts, and the agents' secrets
	Length   uint64 // tokens of prompts and answers, turns of an agent, parallel requests
	Order    uint64 // which agent gets which system prompt and which written prompt
	Schedule uint64 // when agents arrive
	Think    uint64 // pauses between turns
	Cancel   uint64 // which requests are cancelled or read slowly, and when
}

// OneSeed is all seeds from one number.
func OneSeed(seed uint64) Seeds { return Seeds{seed, seed, seed, seed, seed, seed} }

// draw is the generator of one choice: a function of its seed, what is chosen, and the numbers that
// tell whose choice it is. No choice moves because another was added or left out.
func draw(seed uint64, what string, of ...int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, Derive(seed, what, of...)))
}

// Derive makes a seed for one thing out of the seed of many.
func Derive(seed uint64, what string, of ...int) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	h.Write(b[:])
	h.Write([]byte(what))
	for _, i := range of {
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		h.Write(b[:])
	}
	return h.Sum64()
}
