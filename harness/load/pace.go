package load

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// A Pacer decides when requests are due. It has no clock: Due(i) is when request i, counted from 0,
// is due after the start of the load, and the answer depends on nothing else, so that a plan can be
// printed, tested and replayed. Due never decreases with i.
type Pacer interface {
	Due(i int) time.Duration
}

// A Profile is a rate over time, made of parts that follow each other. As a Pacer it is arrivals as
// evenly spaced as the rate allows, the first at once.
//
//	rate     ______
//	        /      |____
//	       /
//	      0  part 0  part 1  part 2    time
type Profile []Part

// A Part is a time in which the rate goes evenly from one value to another. The last part's To
// stays for ever.
type Part struct {
	From, To float64 // a second
	Over     time.Duration
}

// neverDue is after any load has ended.
const neverDue = time.Duration(math.MaxInt64)

// Constant is a rate a second that does not change.
func Constant(rate float64) Profile { return Profile{{From: rate, To: rate}} }

// Ramp rises or falls evenly from one rate to another and stays there.
func Ramp(from, to float64, over time.Duration) Profile { return Profile{{from, to, over}} }

// Steps are several rates, each for the same time; the last one stays.
func Steps(each time.Duration, rates ...float64) Profile {
	var p Profile
	for _, r := range rates {
		p = append(p, Part{r, r, each})
	}
	return p
}

func (p Profile) Due(i int) time.Duration { return p.When(float64(i)) }

// When is the time by which n arrivals are expected: the inverse of the integral of the rate.
func (p Profile) When(n float64) time.Duration {
	begin := 0.0
	for _, part := range p {
		over := part.Over.Seconds()
		all := (part.From + part.To) / 2 * over
		if n < all {
			// From*t + (To-From)/(2*over)*t^2 = n, the root in the form that does not cancel when
			// From is large.
			a := (part.To - part.From) / (2 * over)
			if n == 0 {
				return seconds(begin)
			}
			return seconds(begin + 2*n/(part.From+math.Sqrt(max(0, part.From*part.From+4*a*n))))
		}
		begin, n = begin+over, n-all
	}
	last := p[len(p)-1].To
	if last <= 0 {
		return neverDue
	}
	return seconds(begin + n/last)
}

// Burst is Size requests at once, again every Every.
type Burst struct {
	Size  int
	Every time.Duration
}

func (p Burst) Due(i int) time.Duration { return time.Duration(i/p.Size) * p.Every }

// Gamma draws arrivals at random at a profile's rate: the gaps of a gamma distribution of the given
// shape and mean 1 are summed and mapped through the inverse of the integral of the rate (time
// rescaling; Çinlar, Introduction to Stochastic Processes, 1975). Shape 1 is a Poisson process,
// arrivals that know nothing of each other; below 1 they come in clusters, above 1 more evenly.
// vLLM calls the shape burstiness.
//
// It draws n arrivals, or fewer where the next would be due at until or later; until 0 is no limit.
// Each is drawn when it is asked for, the same every time.
func Gamma(p Profile, shape float64, seed uint64, n int,
	until time.Duration) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		rng := rand.New(rand.NewPCG(seed, 0x706f6973736f6e))
		at := 0.0
		for range n {
			at += gammaGap(rng, shape) / shape
			t := p.When(at)
			if t == neverDue || until > 0 && t >= until || !yield(t) {
				return
			}
		}
	}
}

// gammaGap draws from a gamma distribution of the given shape and scale 1 (Marsaglia and Tsang, A
// simple method for generating gamma variables, ACM TOMS 26:3, 2000; below 1 with their boost).
func gammaGap(rng *rand.Rand, shape float64) float64 {
	switch {
	case shape == 1:
		return rng.ExpFloat64()
	case shape < 1:
		return gammaGap(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// seconds is a time from a number that may be too large for one.
func seconds(s float64) time.Duration {
	if s >= math.MaxInt64/1e9 {
		return neverDue
	}
	return time.Duration(s * float64(time.Second))
}
