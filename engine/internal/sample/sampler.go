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
	"math"
	"math/rand/v2"
	"slices"
)

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
	seen     seen          // tokens of the prompt and drawn ones; kept only for Repetition
	raw      []float32     // the row as it came; kept only for log-probabilities
	logprobs []Logprob     // of the token drawn last, made anew for each
}

// seen is a set of tokens, and a list of them, which is quicker to go through.
type seen struct {
	set  map[int32]bool
	list []int32
}

func (s *seen) add(token int32) {
	if s.set == nil {
		s.set = make(map[int32]bool)
	}
	if !s.set[token] {
		s.set[token] = true
		s.list = append(s.list, token)
	}
}

// New returns the sampler of a request, whose prompt it does not keep. mask may be nil. With top
// above 0 each draw notes the log-probabilities of its token and of the top likeliest ones.
func New(how Sampling, prompt []int32, mask Mask, top int) Sampler {
	// The second half of PCG's seed is an arbitrary constant (the digits of the golden ratio).
	s := Sampler{how: how, rand: rand.NewPCG(how.Seed, 0x9e3779b97f4a7c15), mask: mask, top: top}
	if how.scales() {
		for _, token := range prompt {
			s.seen.add(token)
		}
	}
	return s
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
	s.note(token)
	return token, ok
}

// Take takes a token that is the only one which the mask leaves, as if it had been drawn. It notes
// no log-probabilities.
func (s *Sampler) Take(token int32) {
	if s.how.Temperature > 0 {
		s.rand.Uint64()
	}
	s.note(token)
}

// note keeps what later draws must know of a token.
func (s *Sampler) note(token int32) {
	if s.mask != nil {
		s.answer = append(s.answer, token)
	}
	if s.how.penalizes() {
		if s.counts == nil {
			s.counts = make(map[int32]int)
		}
		s.counts[token]++
	}
	if s.how.scales() {
		s.seen.add(token)
	}
}

// Logprobs returns the log-probabilities of the last draw: that of its token first, then those of
// the likeliest ones, likeliest first. It is nil unless New asked for them. The caller may keep it.
func (s *Sampler) Logprobs() []Logprob { return s.logprobs }

// Notes reports whether log-probabilities are noted with each token.
func (s *Sampler) Notes() bool { return s.top > 0 }

// Greedy reports whether each token is simply the likeliest one of its row and nothing else is
// wanted of that row. Then the model may pick it, and Draw need not be called.
func (s *Sampler) Greedy() bool { return s.how.Temperature == 0 && !s.adjusts() && s.top == 0 }

// adjusts reports whether logits are changed before a token is drawn.
func (s *Sampler) adjusts() bool {
	return len(s.how.Bias) > 0 || s.how.penalizes() || s.how.scales() || s.mask != nil
}

// adjust applies everything that changes logits: bias, penalties in vLLM's order, and at last the
// mask, so that neither of the first two can bring back a token that the mask rules out.
func (s *Sampler) adjust(logits []float32) {
	for id, b := range s.how.Bias {
		logits[id] += float32(b)
	}
	for _, id := range s.seen.list {
		if logits[id] > 0 {
			logits[id] /= float32(s.how.Repetition)
		} else {
			logits[id] *= float32(s.how.Repetition)
		}
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
