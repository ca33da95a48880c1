package sample

import (
	"fmt"
	"math"
	"slices"
)

// Sampling says how a token is drawn from logits. The zero value is greedy.
type Sampling struct {
	Temperature float64 // 0: greedy, whatever the other fields say
	TopP        float64 // keep the likeliest tokens that together reach this share; 0 or 1: off
	TopK        int     // keep this many of the likeliest tokens; 0: off
	MinP        float64 // keep tokens at least this likely relative to the likeliest one; 0: off

	// These change the logits before anything else does, greedy or not. Presence and Frequency are
	// subtracted from the logits of tokens that the answer has already: Presence once, Frequency
	// once for each occurrence. Repetition is for tokens that the prompt or the answer has: it
	// divides a logit above 0 and multiplies one below (Keskar et al., arXiv 1909.05858, section
	// 4.1, as vLLM and transformers do); 0 or 1: off.
	Presence, Frequency, Repetition float64
	Bias                            map[int32]float64 // added to the logits, by token id

	// Seed decides the draws: equal requests with equal seeds get equal answers, whatever else is
	// in the batch. No value is special; a caller that wants variety draws a seed.
	Seed uint64
}

// Validate returns an error that names the first field with an unusable value. The vocabulary is
// 0..vocab-1.
func (s Sampling) Validate(vocab int) error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1):
		return fmt.Errorf("temperature is %v: it must be 0 or a positive number", s.Temperature)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top_p is %v: it must lie in 0..1", s.TopP)
	case s.TopK < 0:
		return fmt.Errorf("top_k is %d: it must be 0 or more", s.TopK)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("min_p is %v: it must lie in 0..1", s.MinP)
	case !finite(s.Presence) || !finite(s.Frequency):
		return fmt.Errorf("the penalties are %v and %v: they must be finite",
			s.Presence, s.Frequency)
	case !(s.Repetition >= 0) || math.IsInf(s.Repetition, 1):
		return fmt.Errorf("repetition_penalty is %v: it must be a positive number, or 0 for none",
			s.Repetition)
	}
	for id, b := range s.Bias {
		if id < 0 || int(id) >= vocab || !finite(b) {
			return fmt.Errorf("the bias of token %d is %v: it must be finite, "+
				"and the model's vocabulary is 0..%d", id, b, vocab-1)
		}
	}
	return nil
}

func (s Sampling) penalizes() bool { return s.Presence != 0 || s.Frequency != 0 }

// scales reports whether the logits of tokens that were there before are divided or multiplied.
func (s Sampling) scales() bool { return s.Repetition != 0 && s.Repetition != 1 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// limits reports whether some of n tokens are excluded from the draw.
func (s Sampling) limits(n int) bool { return s.limitsK(n) || s.limitsP() || s.MinP > 0 }

func (s Sampling) limitsK(n int) bool { return s.TopK > 0 && s.TopK < n }

func (s Sampling) limitsP() bool { return s.TopP > 0 && s.TopP < 1 }

// choices applies temperature, then TopK, TopP and MinP, in the order that Hugging Face
// transformers uses, and returns the tokens that are left of a row, in no order.
func (s Sampling) choices(d *Distribution) []choice {
	var c []choice
	var sum float64
	switch {
	case s.limitsK(len(d.logits)):
		d.scale = newScale(d.scale.high, s.Temperature)
		c = d.likeliest(s.TopK, d.scale.maxDistance)
		for _, x := range c {
			sum += x.weight
		}
	case s.limitsP():
		// Tokens of less than this weight have less than 1-TopP together, so the others reach TopP
		// without them.
		sum = d.weigh(s.Temperature)
		c = d.gather(d.scale.within((1 - s.TopP) * sum / float64(len(d.logits))))
	default:
		d.scale = newScale(d.scale.high, s.Temperature)
		c = d.gather(d.scale.within(s.MinP))
	}
	if s.limitsP() {
		c = c[:reach(c, s.TopP*sum)]
	}
	if s.MinP > 0 { // the likeliest token has the weight 1
		c = slices.DeleteFunc(c, func(x choice) bool { return x.weight < s.MinP })
	}
	return c
}
