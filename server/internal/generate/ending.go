package generate

import (
	"math"
)

// A mask sets the logits of tokens that must not come next to -Inf; see engine.Request.Mask.
type mask = func(answer []int32, logits []float32)

// keepGoing returns a mask that also keeps an answer from ending by itself: for ever, or until it
// has minTokens. A token that would end the answer is then never drawn. Where the mask before,
// which may be nil, leaves nothing but the end, because the answer has all of the form that was
// demanded, the answer ends: the form counts for more than the length.
func keepGoing(before mask, stops []int32, forEver bool, minTokens int) mask {
	impossible := float32(math.Inf(-1))
	ends := make([]float32, len(stops))
	return func(answer []int32, logits []float32) {
		if before != nil {
			before(answer, logits)
		}
		if !forEver && len(answer) >= minTokens {
			return
		}
		for i, id := range stops {
			ends[i] = logits[id]
			logits[id] = impossible
		}
		if before == nil {
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
	}
}
