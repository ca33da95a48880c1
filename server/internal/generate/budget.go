package generate

import (
	"math"
)

// A budget bounds the reasoning of an answer. The answer that its methods are given only grows.
type budget struct {
	before  mask
	closing []int32 // the tokens of the form's end
	tokens  int     // that the reasoning may have

	bytesOf  func(dst []byte, id int32) []byte // the bytes of a token
	reasoner reasoner
	parts    assembly
	scratch  []byte
	done     int // tokens of the answer that were seen
	thought  int // those of them that are of the reasoning
}

// within returns a mask that ends the reasoning of an answer after n tokens: from then on only the
// tokens of the form's end may come. open says that the prompt already has the form's beginning.
func (g *Generator) within(before mask, open bool, n int) mask {
	b := &budget{before: before, closing: g.closing, tokens: n,
		bytesOf: g.appendToken, reasoner: newReasoner(g.thinking, open)}
	return mask{b.rule, b.ahead}
}

// follow takes in what is new of an answer. It returns the token that must come next, false where
// the reasoning may go on or is over.
func (b *budget) follow(answer []int32) (want int32, spent bool) {
	for _, id := range answer[b.done:] {
		b.scratch = b.bytesOf(b.scratch[:0], id)
		was := b.reasoner.state
		b.reasoner.push(b.scratch, &b.parts)
		if was == inThinking {
			b.thought++
		}
		b.parts.take()
	}
	b.done = len(answer)
	if b.reasoner.state != inThinking || b.thought < b.tokens {
		return 0, false
	}
	return b.closing[min(b.thought-b.tokens, len(b.closing)-1)], true
}

func (b *budget) rule(answer []int32, logits []float32) {
	if want, spent := b.follow(answer); spent {
		impossible := float32(math.Inf(-1))
		kept := logits[want]
		for i := range logits {
			logits[i] = impossible
		}
		// A penalty or a bias may have ruled it out already.
		logits[want] = max(kept, -1e4)
	}
	if b.before.rule != nil {
		b.before.rule(answer, logits)
	}
}

// ahead says what follows. The form's end is certain only where no other mask may rule it out.
func (b *budget) ahead(answer []int32, n int) (tokens []int32, sure int) {
	_, spent := b.follow(answer)
	switch {
	case spent:
		tokens = b.closing[min(b.thought-b.tokens, len(b.closing)-1):]
		if tokens = tokens[:min(n, len(tokens))]; b.before.rule == nil {
			sure = len(tokens)
		}
		return tokens, sure
	case b.reasoner.state == beforeThinking || b.before.ahead == nil:
		return nil, 0
	case b.reasoner.state == inThinking:
		n = min(n, b.tokens-b.thought)
	}
	return b.before.ahead(answer, n)
}
