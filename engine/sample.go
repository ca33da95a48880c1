package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

func (s Sampling) validate() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1):
		return fmt.Errorf("temperature is %v: it must be 0 or a positive number", s.Temperature)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top_p is %v: it must lie in 0..1", s.TopP)
	case s.TopK < 0:
		return fmt.Errorf("top_k is %d: it must be 0 or more", s.TopK)
	}
	return nil
}

// errLogits ends a request whose row of logits has nothing to choose from.
var errLogits = errors.New("the model's logits hold no finite number; its weights or its KV are damaged")

// A sampler draws the tokens of one request. It has its own source of randomness and uses exactly one number a token,
// so what it draws depends on the seed and the logits alone, never on the batch.
type sampler struct {
	how  Sampling
	rand *rand.PCG
}

func newSampler(how Sampling) sampler {
	// The second half of PCG's seed is a constant of no meaning (the digits of the golden ratio).
	return sampler{how: how, rand: rand.NewPCG(how.Seed, 0x9e3779b97f4a7c15)}
}

// A choice is a token that may be drawn.
type choice struct {
	id     int32
	weight float64 // probability times a constant
}

// draw picks a token from a row of logits; false if there is none to pick. scratch is reused between calls.
func (s *sampler) draw(logits []float32, scratch *[]choice) (int32, bool) {
	best := argmax(logits)
	if best < 0 {
		return 0, false
	}
	if s.how.Temperature == 0 {
		return best, true
	}
	choices := s.how.choices(logits, logits[best], (*scratch)[:0])
	*scratch = choices

	var sum float64
	for _, c := range choices {
		sum += c.weight
	}
	u := float64(s.rand.Uint64()>>11) / (1 << 53) * sum
	for _, c := range choices {
		if u -= c.weight; u < 0 {
			return c.id, true
		}
	}
	return best, true // rounding ate the last of u
}

// choices applies temperature, then TopK, then TopP, the order Hugging Face transformers uses, and appends what is left
// to dst. high is the largest logit. With neither limit the order is by id, else likeliest first and ties by id.
func (s Sampling) choices(logits []float32, high float32, dst []choice) []choice {
	var sum float64
	for id, l := range logits {
		if l > high {
			continue // +Inf is damage, not a likely token
		}
		// NaN fails this comparison too and is left out.
		if w := math.Exp(float64(l-high) / s.Temperature); w > 0 {
			dst = append(dst, choice{int32(id), w})
			sum += w
		}
	}
	limitK := s.TopK > 0 && s.TopK < len(dst)
	limitP := s.TopP > 0 && s.TopP < 1
	if limitP && !limitK {
		// Sorting a vocabulary of 262144 at each token would cost more than a small model's step. Tokens below this
		// floor have less than 1-TopP together, so those above reach TopP without them: the result is the same.
		floor := (1 - s.TopP) * sum / float64(len(dst))
		dst = slices.DeleteFunc(dst, func(c choice) bool { return c.weight < floor })
	}
	if limitK {
		dst = likeliest(dst, s.TopK)
		sum = 0
		for _, c := range dst {
			sum += c.weight
		}
	}
	if limitK || limitP {
		slices.SortFunc(dst, likelier)
	}
	if limitP {
		var reach float64
		for i, c := range dst {
			if reach += c.weight; reach >= s.TopP*sum {
				return dst[:i+1]
			}
		}
	}
	return dst
}

// likelier orders choices by falling weight, ties by id.
func likelier(a, b choice) int {
	return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.id, b.id))
}

// likeliest moves the k first choices by likelier to the front, in no order, and returns them: a heap of k whose root is
// the one to lose next. 1 <= k <= len(c).
func likeliest(c []choice, k int) []choice {
	heap := c[:k]
	for i := k/2 - 1; i >= 0; i-- {
		sink(heap, i)
	}
	for _, x := range c[k:] {
		if likelier(x, heap[0]) < 0 {
			heap[0] = x
			sink(heap, 0)
		}
	}
	return heap
}

// sink restores the heap below i, where every parent is less likely than its children.
func sink(heap []choice, i int) {
	for {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if likelier(heap[child], heap[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		heap[i], heap[worst] = heap[worst], heap[i]
		i = worst
	}
}

// argmax is the index of the largest finite logit, the first of equals, or -1 when there is none.
func argmax(logits []float32) int32 {
	best := int32(-1)
	high := float32(math.Inf(-1))
	for i, l := range logits {
		if l > high && l <= math.MaxFloat32 {
			best, high = int32(i), l
		}
	}
	return best
}
