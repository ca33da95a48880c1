package generate

import (
	"math"
)

// within returns a mask that ends the reasoning of an answer after budget tokens: from then on
// only the tokens of the form's end may come. open says that the prompt already has the form's
// beginning.
func (g *Generator) within(before mask, open bool, budget int) mask {
	impossible := float32(math.Inf(-1))
	r, a := newReasoner(g.thinking, open), assembly{}
	var scratch []byte
	done, thought, forced := 0, 0, 0
	return func(answer []int32, logits []float32) {
		for _, id := range answer[done:] {
			scratch = g.appendToken(scratch[:0], id)
			was := r.state
			r.push(scratch, &a)
			if was == inThinking {
				thought++
			}
			a.take()
		}
		done = len(answer)
		if r.state == inThinking && thought >= budget {
			want := g.closing[min(forced, len(g.closing)-1)]
			forced++
			kept := logits[want]
			for i := range logits {
				logits[i] = impossible
			}
			// A penalty or a bias may have ruled it out already.
			logits[want] = max(kept, -1e4)
		}
		if before != nil {
			before(answer, logits)
		}
	}
}
