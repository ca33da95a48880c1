package harness

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Pacer decides when requests are due. It has no clock: Due(i) is when request i, counted from 0, is due after the start
// of the load, and the answer depends on nothing else, so that a plan can be printed, tested and replayed. Due never
// decreases with i.
type Pacer interface {
	Due(i int) time.Duration
}

// Constant is Rate requests a second, evenly spaced, the first at once.
type Constant struct{ Rate float64 }

func (p Constant) Due(i int) time.Duration { return seconds(float64(i) / p.Rate) }

// Burst is Size requests at once, again every Every.
type Burst struct {
	Size  int
	Every time.Duration
}

func (p Burst) Due(i int) time.Duration { return time.Duration(i/p.Size) * p.Every }

// Ramp rises linearly from From to To requests a second over Over and stays at To.
//
//	rate     To ______
//	           /
//	          /
//	   From  /
//	        0   Over     time
//
// The number of requests due by time t is From*t + (To-From)/(2*Over)*t^2; Due is its inverse.
type Ramp struct {
	From, To float64 // requests a second, To > 0
	Over     time.Duration
}

func (p Ramp) Due(i int) time.Duration {
	if i == 0 {
		return 0
	}
	n, over := float64(i), p.Over.Seconds()
	if climbed := (p.From + p.To) / 2 * over; n >= climbed {
		return seconds(over + (n-climbed)/p.To)
	}
	a := (p.To - p.From) / (2 * over)
	if a == 0 {
		return seconds(n / p.From)
	}
	// The root of a*t^2 + From*t - n in the form that does not cancel when From is large.
	return seconds(2 * n / (p.From + math.Sqrt(p.From*p.From+4*a*n)))
}

// Poisson is a plan of arrivals that know nothing of each other, Rate a second on average.
type Poisson struct{ due []time.Duration }

// NewPoisson draws the first n arrivals from a seed: exponential gaps of mean 1/rate.
func NewPoisson(rate float64, n int, seed uint64) Poisson {
	rng := rand.New(rand.NewPCG(seed, 0x706f6973736f6e))
	p := Poisson{make([]time.Duration, n)}
	at := 0.0
	for i := range p.due {
		at += rng.ExpFloat64() / rate
		p.due[i] = seconds(at)
	}
	return p
}

// Due panics for i beyond the n arrivals drawn.
func (p Poisson) Due(i int) time.Duration { return p.due[i] }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
