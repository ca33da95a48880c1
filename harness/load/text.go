package load

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
)

//go:embed words.txt
var wordList string

var words = strings.Fields(wordList)

// Text is n English words in sentences, a function of the seed. It means nothing, which is the
// point: a prompt that a model knows by heart, or that two agents happen to share, would measure
// something else.
func Text(seed uint64, n int) string {
	rng := rand.New(rand.NewPCG(seed, 0x74657874))
	var b strings.Builder
	left := 0 // words until the sentence ends
	for i := range n {
		w := words[rng.IntN(len(words))]
		if left == 0 {
			left = 6 + rng.IntN(9)
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(w)
		left--
		switch {
		case left == 0 || i == n-1:
			b.WriteString(". ")
			left = 0
		default:
			b.WriteByte(' ')
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// CanaryLength is the hexadecimal digits of a canary. At least one of them is a letter: of a server
// that answers in numbers, such as times, some agent's secret would sooner or later be a part.
const CanaryLength = 8

// Canary is a word of one agent's alone, a function of the seed.
func Canary(seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 0x63616e617279))
	word := fmt.Sprintf("%0*x", CanaryLength, rng.Uint32())
	if !strings.ContainsAny(word, "abcdef") {
		word = "a" + word[1:]
	}
	return word
}
