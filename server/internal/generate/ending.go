package generate

import (
	"math"
)

// A mask says what may come next in an answer; see engine.Request. The zero mask allows all.
type mask struct {
	rule  func(answer []int32, logits []float32) // engine.Request.Mask
	ahead func(answer []int32, n int) ([]int32, int)
}

// keepGoing returns a mask that also keeps an answer from ending by itself: for ever, or until it
// has minTokens. A token that would end the answer is then never drawn. Where the mask before
// leaves nothing but the end, because the answer has all of the form that was demanded, the answer
// ends: the form counts for more than the length. So where the mask before leaves one token, this
// one does.
func keepGoing(before mask, stops []int32, forEver bool, minTokens int) mask {
	impossible := float32(math.Inf(-1))
	ends := make([]float32, len(stops))
	return mask{ahead: before.ahead, rule: func(answer []int32, logits []float32) {
		if before.rule != nil {
			before.rule(answer, logits)
		}
		if !forEver && len(answer) >= minTokens {
			return
		}
		for i, id := range stops {
			ends[i] = logits[id]
			logits[id] = impossible
		}
		if before.rule == nil {
			return
		}
		for _, l := range logits {
			if l > impossible {
				return
			}
		}
		for i, id := range stops {
			logits[id] = ends[i]
		}
	}}
}
