// Package sample draws tokens from rows of logits: greedily, or at random within the limits that a
// request sets.
//
// A Sampler holds what belongs to one request: its settings, its source of randomness, and what it
// has drawn so far. A Distribution is one row of logits seen as a categorical distribution; its
// memory is reused from row to row, so an engine has one for all its requests.
package sample

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how a token is drawn from logits. The zero value is greedy.
type Sampling struct {
	Temperature float64 // 0: greedy, whatever the other fields say
	TopP        float64 // keep the likeliest tokens that together reach this share; 0 or 1: off
	TopK        int     // keep this many of the likeliest tokens; 0: off
	MinP        float64 // keep tokens at least this likely relative to the likeliest one; 0: off

	// These change the logits before anything else does, greedy or not. The penalties are
	// subtracted from the logits of tokens that the answer has already: Presence once, Frequency
	// once for each occurrence.
	Presence, Frequency float64
	Bias                map[int32]float64 // added to the logits, by token id

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

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// A Mask rules tokens out: it gets the answer so far and the row of logits, and sets the logits of
// the tokens it forbids to -Inf. It must not keep the slices.
type Mask func(answer []int32, logits []float32)

// A Logprob says how likely a token was for the model: the natural logarithm of its share in the
// softmax of the logits, as they were before a Mask and Sampling changed them.
type Logprob struct {
	ID      int32
	Logprob float64
}

// ErrNoToken says that a row of logits left nothing to draw.
var ErrNoToken = errors.New("there is no token to choose: the model's logits hold no finite " +
	"number, which means damage to its weights or KV, or the request's mask rules all of them out")

// A Sampler draws the tokens of one request. It has its own source of randomness and uses exactly
// one number of it per token, so what it draws depends on the seed and the logits alone, never on
// the batch.
type Sampler struct {
	how  Sampling
	rand *rand.PCG
	mask Mask
	top  int // log-probabilities to note with each token

	answer   []int32       // the tokens drawn; kept only for a mask
	counts   map[int32]int // how often each token was drawn; kept only for the penalties
	raw      []float32     // the row as it came; kept only for log-probabilities
	logprobs []Logprob     // of the token drawn last, made anew for each
}

// New returns the sampler of a request. mask may be nil. With top above 0 each draw notes the
// log-probabilities of its token and of the top likeliest ones.
func New(how Sampling, mask Mask, top int) Sampler {
	// The second half of PCG's seed is an arbitrary constant (the digits of the golden ratio).
	return Sampler{how: how, rand: rand.NewPCG(how.Seed, 0x9e3779b97f4a7c15), mask: mask, top: top}
}

// Draw picks a token from a row of logits, one per token of the vocabulary, which it may change. It
// returns false if the row leaves nothing to pick. d's memory is reused.
func (s *Sampler) Draw(logits []float32, d *Distribution) (int32, bool) {
	raw := logits
	if s.top > 0 && s.adjusts() {
		s.raw = append(s.raw[:0], logits...)
		raw = s.raw
	}
	s.adjust(logits)
	token, ok := s.pick(logits, d)
	if s.top > 0 && ok {
		s.logprobs = logprobs(raw, token, s.top, d)
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

// Logprobs returns the log-probabilities of the last draw: that of its token first, then those of
// the likeliest ones, likeliest first. It is nil unless New asked for them. The caller may keep it.
func (s *Sampler) Logprobs() []Logprob { return s.logprobs }

// Greedy reports whether each token is simply the likeliest one of its row and nothing else is
// wanted of that row. Then the model may pick it, and Draw need not be called.
func (s *Sampler) Greedy() bool { return s.how.Temperature == 0 && !s.adjusts() && s.top == 0 }

// adjusts reports whether logits are changed before a token is drawn.
func (s *Sampler) adjusts() bool {
	return len(s.how.Bias) > 0 || s.how.penalizes() || s.mask != nil
}

// adjust applies everything that changes logits: bias, penalties, and at last the mask, so that
// neither of the first two can bring back a token that the mask rules out.
func (s *Sampler) adjust(logits []float32) {
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

// impossible is a distance from the largest logit at which a token's share in the softmax is 0 as a
// float64.
const impossible = 745

// logprobs returns the log-probability of a token and those of the n likeliest ones, leaving out
// tokens whose share is 0.
func logprobs(logits []float32, token int32, n int, d *Distribution) []Logprob {
	best := d.fill(logits)
	if best < 0 {
		return nil
	}
	high, of := float64(logits[best]), math.Log(d.weigh(1))
	out := make([]Logprob, 0, n+1)
	out = append(out, Logprob{token, float64(logits[token]) - high - of})
	likely := d.likeliest(n, math.Float32bits(impossible))
	slices.SortFunc(likely, func(a, b choice) int { return cmp.Compare(a.key, b.key) })
	for _, c := range likely {
		out = append(out, Logprob{c.id(), float64(logits[c.id()]) - high - of})
	}
	return out
}

// pick draws from logits that are adjusted already.
func (s *Sampler) pick(logits []float32, d *Distribution) (int32, bool) {
	best := d.fill(logits)
	if best < 0 || s.how.Temperature == 0 {
		return best, best >= 0
	}
	r := float64(s.rand.Uint64()>>11) / (1 << 53)
	if !s.how.limits(len(logits)) {
		if id := d.at(r * d.weigh(s.how.Temperature)); id >= 0 {
			return id, true
		}
		return best, true // rounding has lost the last weight
	}
	choices := s.how.choices(d)
	var sum float64
	for _, c := range choices {
		sum += c.weight
	}
	// As in at: the first choice at which the running sum exceeds r of the whole.
	return choices[reach(choices, math.Nextafter(r*sum, math.Inf(1)))-1].id(), true
}

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
