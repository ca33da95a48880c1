package harness

import (
	"testing"

	"gotest.tools/v3/assert"
)

func TestPromptSize(t *testing.T) {
	for _, tc := range []struct {
		name          string
		tokens        [2]int // of 50 and of 200 words
		want          promptSize
		words, ofMore int // for 64 tokens in a first prompt, and for 8 more
		tokensOf10    int
	}{
		{"a template's constant", [2]int{130, 430}, promptSize{30, 2}, 17, 4, 50},
		{"a word is a token", [2]int{50, 200}, promptSize{0, 1}, 64, 8, 10},
		{"longer than asked for already", [2]int{150, 300}, promptSize{100, 1}, 1, 8, 110},
		{"no usage", [2]int{-1, -1}, promptSize{0, 4.0 / 3}, 48, 6, 13},
		{"usage that means nothing", [2]int{7, 7}, promptSize{0, 4.0 / 3}, 48, 6, 13},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := fitPromptSize(warmUpWords, tc.tokens)
			assert.Equal(t, got, tc.want)
			assert.Equal(t, got.words(64), tc.words)
			assert.Equal(t, got.more(8), tc.ofMore)
			assert.Equal(t, got.tokens(10), tc.tokensOf10)
		})
	}
}
