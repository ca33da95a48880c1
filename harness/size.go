package harness

import (
	"math"
)

// warmUpWords are the sizes of the two questions that warm a server up: two points make a line.
var warmUpWords = [2]int{50, 200}

// promptSize tells how many tokens a server makes of an agent's first prompt of so many words:
// constant + perWord*words. The constant is what the chat template adds, such as a default system
// prompt, and the canary.
type promptSize struct{ constant, perWord float64 }

// fitPromptSize fits the line through two prompts. A server that does not count tokens, -1, is
// taken to speak English.
func fitPromptSize(words, tokens [2]int) promptSize {
	slope := float64(tokens[1]-tokens[0]) / float64(words[1]-words[0])
	if tokens[0] < 0 || tokens[1] < 0 || slope <= 0 {
		return promptSize{0, 4.0 / 3}
	}
	return promptSize{max(0, float64(tokens[0])-slope*float64(words[0])), slope}
}

// words is how many words make a first prompt of so many tokens, or as near as one word gets.
func (s promptSize) words(tokens int) int {
	return max(1, int(math.Round((float64(tokens)-s.constant)/s.perWord)))
}

// more is how many words add so many tokens to a prompt.
func (s promptSize) more(tokens int) int { return promptSize{0, s.perWord}.words(tokens) }

// tokens is how long a first prompt of so many words is.
func (s promptSize) tokens(words int) int {
	return int(math.Round(s.constant + s.perWord*float64(words)))
}
