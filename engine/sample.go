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

// draw picks a token from a row of logits, which it may change; false if there is none to pick. The urn's memory is reused.
func (s *sampler) draw(logits []float32, u *urn) (int32, bool) {
	raw := logits
	if s.top > 0 && s.adjusts() {
		s.raw = append(s.raw[:0], logits...)
		raw = s.raw
	}
	s.adjust(logits)
	token, ok := s.pick(logits, u)
	if s.top > 0 && ok {
		s.logprobs = logprobs(raw, token, s.top, u)
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

// adjusts reports whether logits are changed before a token is drawn.
func (s *sampler) adjusts() bool { return len(s.how.Bias) > 0 || s.how.penalizes() || s.mask != nil }

// greedy reports whether a token is the likeliest and nothing else is asked of its row of logits.
func (s *sampler) greedy() bool { return s.how.Temperature == 0 && !s.adjusts() && s.top == 0 }

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

// impossible is how far below the largest a logit's share in the softmax is 0 to a float64.
const impossible = 745

// logprobs is the log-probability of a token and those of the n likeliest that are possible at all.
func logprobs(logits []float32, token int32, n int, u *urn) []Logprob {
	best := u.fill(logits)
	if best < 0 {
		return nil
	}
	high, of := float64(logits[best]), math.Log(u.weigh(1))
	out := make([]Logprob, 0, n+1)
	out = append(out, Logprob{token, float64(logits[token]) - high - of})
	likely := u.likeliest(n, math.Float32bits(impossible))
	slices.SortFunc(likely, func(a, b choice) int { return cmp.Compare(a.key, b.key) })
	for _, c := range likely {
		out = append(out, Logprob{c.id(), float64(logits[c.id()]) - high - of})
	}
	return out
}

// pick draws from logits that nothing more is done to.
func (s *sampler) pick(logits []float32, u *urn) (int32, bool) {
	best := u.fill(logits)
	if best < 0 || s.how.Temperature == 0 {
		return best, best >= 0
	}
	r := float64(s.rand.Uint64()>>11) / (1 << 53)
	if !s.how.limits(len(logits)) {
		if id := u.at(r * u.weigh(s.how.Temperature)); id >= 0 {
			return id, true
		}
		return best, true // rounding ate the last of it
	}
	choices := s.how.choices(u)
	var sum float64
	for _, c := range choices {
		sum += c.weight
	}
	// As in at, the first that comes to more than r of the sum.
	return choices[reach(choices, math.Nextafter(r*sum, math.Inf(1)))-1].id(), true
}

// limits reports whether some of n tokens are not to be drawn.
func (s Sampling) limits(n int) bool { return s.limitsK(n) || s.limitsP() || s.MinP > 0 }

func (s Sampling) limitsK(n int) bool { return s.TopK > 0 && s.TopK < n }

func (s Sampling) limitsP() bool { return s.TopP > 0 && s.TopP < 1 }

// choices applies temperature, then TopK, TopP and MinP, the order Hugging Face transformers uses, and returns what is left
// of a row, in no order.
func (s Sampling) choices(u *urn) []choice {
	var c []choice
	var sum float64
	switch {
	case s.limitsK(len(u.logits)):
		u.scale = newScale(u.scale.high, s.Temperature)
		c = u.likeliest(s.TopK, u.scale.most)
		for _, x := range c {
			sum += x.weight
		}
	case s.limitsP():
		// Tokens below this floor have less than 1-TopP together, so those above reach TopP without them.
		sum = u.weigh(s.Temperature)
		c = u.gather(u.scale.within((1 - s.TopP) * sum / float64(len(u.logits))))
	default:
		u.scale = newScale(u.scale.high, s.Temperature)
		c = u.gather(u.scale.within(s.MinP))
	}
	if s.limitsP() {
		c = c[:reach(c, s.TopP*sum)]
	}
	if s.MinP > 0 { // the likeliest has the weight 1
		c = slices.DeleteFunc(c, func(x choice) bool { return x.weight < s.MinP })
	}
	return c
}
