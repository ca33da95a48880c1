package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

func (s Sampling) validate(vocab int) error {
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
		return fmt.Errorf("the penalties are %v and %v: they must be finite", s.Presence, s.Frequency)
	}
	for id, b := range s.Bias {
		if id < 0 || int(id) >= vocab || !finite(b) {
			return fmt.Errorf("the bias of token %d is %v: it must be finite, and the model's vocabulary is 0..%d", id, b, vocab-1)
		}
	}
	return nil
}

func (s Sampling) penalizes() bool { return s.Presence != 0 || s.Frequency != 0 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// errLogits ends a request whose row of logits has nothing to choose from.
var errLogits = errors.New("there is no token to choose: the model's logits hold no finite number, which means damage to its weights or KV, or the request's mask rules all of them out")

// A sampler draws the tokens of one request. It has its own source of randomness and uses exactly one number a token,
// so what it draws depends on the seed and the logits alone, never on the batch.
type sampler struct {
	how  Sampling
	rand *rand.PCG
	mask func(answer []int32, logits []float32)
	top  int // log-probabilities to note

	answer   []int32       // what was drawn, where a mask wants it
	counts   map[int32]int // how often each token was drawn, where the penalties want it
	raw      []float32     // the row as it came, where log-probabilities are asked for
	logprobs []Logprob     // of the token drawn last, made anew for each
}

func newSampler(how Sampling) sampler {
	// The second half of PCG's seed is a constant of no meaning (the digits of the golden ratio).
	return sampler{how: how, rand: rand.NewPCG(how.Seed, 0x9e3779b97f4a7c15)}
}

// greedy reports whether a token is the likeliest and nothing else is asked of its row of logits.
func (s *sampler) greedy() bool {
	return s.how.Temperature == 0 && len(s.how.Bias) == 0 && !s.how.penalizes() && s.mask == nil && s.top == 0
}

// A choice is a token that may be drawn.
type choice struct {
	id     int32
	weight float64 // probability times a constant
}

// draw picks a token from a row of logits; false if there is none to pick. scratch is reused between calls.
func (s *sampler) draw(logits []float32, scratch *[]choice) (int32, bool) {
	if s.top > 0 {
		s.raw = append(s.raw[:0], logits...)
	}
	s.adjust(logits)
	token, ok := s.pick(logits, scratch)
	if s.top > 0 && ok {
		s.logprobs = logprobs(s.raw, token, s.top, scratch)
	}
	if s.mask != nil {
		s.answer = append(s.answer, token)
	}
	if s.how.penalizes() {
		if s.counts == nil {
			s.counts = make(map[int32]int)
		}
		s.counts[token]++
	}
	return token, ok
}

// adjust applies what changes logits: bias, penalties, and at last the mask, which nothing may soften.
func (s *sampler) adjust(logits []float32) {
	for id, b := range s.how.Bias {
		logits[id] += float32(b)
	}
	for id, n := range s.counts {
		logits[id] -= float32(s.how.Presence + s.how.Frequency*float64(n))
	}
	if s.mask != nil {
		s.mask(s.answer, logits)
	}
}

// logprobs is the log-probability of a token and those of the n likeliest.
func logprobs(logits []float32, token int32, n int, scratch *[]choice) []Logprob {
	best := argmax(logits)
	if best < 0 {
		return nil
	}
	high := logits[best]
	all := Sampling{Temperature: 1}.choices(logits, high, (*scratch)[:0])
	*scratch = all
	var sum float64
	for _, c := range all {
		sum += c.weight
	}
	lse := float64(high) + math.Log(sum)
	out := make([]Logprob, 0, n+1)
	out = append(out, Logprob{token, float64(logits[token]) - lse})
	likely := likeliest(all, min(n, len(all)))
	slices.SortFunc(likely, likelier)
	for _, c := range likely {
		out = append(out, Logprob{c.id, float64(logits[c.id]) - lse})
	}
	return out
}

// pick draws from logits that nothing more is done to.
func (s *sampler) pick(logits []float32, scratch *[]choice) (int32, bool) {
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

// choices applies temperature, then TopK, TopP and MinP, the order Hugging Face transformers uses, and appends what is left
// to dst. high is the largest logit. With neither TopK nor TopP the order is by id, else likeliest first and ties by id.
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
				dst = dst[:i+1]
				break
			}
		}
	}
	if s.MinP > 0 { // the likeliest has the weight 1
		dst = slices.DeleteFunc(dst, func(c choice) bool { return c.weight < s.MinP })
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
