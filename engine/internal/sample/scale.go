package sample

import "math"

// A scale turns logits into weights. The distance of a logit is how far it lies below high, as the
// bits of a float32, which are ordered as distances are. The bits for logits that are not finite,
// +Inf among them, are beyond all others.
type scale struct {
	high        float32
	steps       float64 // steps of 1/octave per distance of 1
	maxDistance uint32  // the distance of the smallest weight that counts
}

// Weights are powers of 2^(1/1024). Those below 2^-80 are left out: 2^27 tokens that far down weigh
// less than 2^-53 together, which is below the precision of a float64 that includes the likeliest
// token's 1.
const (
	octave   = 1024
	maxHalve = 80 // halvings from the largest weight to the smallest one that counts
	ln2      = math.Ln2
)

func newScale(high float32, temperature float64) scale {
	return scale{
		high:        high,
		steps:       min(octave/(ln2*temperature), 1e300), // finite, so that 0 times it is 0
		maxDistance: math.Float32bits(float32(min(maxHalve*ln2*temperature, math.MaxFloat32))),
	}
}

func (s *scale) distance(l float32) uint32 { return math.Float32bits(l-s.high) &^ (1 << 31) }

// within returns a distance beyond which no token has at least this weight.
func (s *scale) within(weight float64) uint32 {
	const rounding = 1.000001
	d := -math.Log2(weight) * rounding * octave / s.steps
	return min(s.maxDistance, math.Float32bits(float32(max(d, 0))))
}

// weight returns 2^(-x/1024) for a distance of x steps: the power of the nearest whole number comes
// from a table, and is multiplied by e^y for the remainder, |y| < 0.00034, by its series up to y^3,
// whose next term is below 2^-50. The result is within 2e-14 of the true one, and takes a third of
// math.Exp's time.
func (s *scale) weight(distance uint32) float64 {
	const magic = 3 << 51 // adding it rounds to a whole number, which it leaves in the lowest bits
	const (
		c1 = ln2 / octave
		c2 = c1 * ln2 / octave / 2
		c3 = c1 * ln2 / octave * ln2 / octave / 6
	)
	x := float64(math.Float32frombits(distance)) * s.steps
	t := x + magic
	y := t - magic - x
	n := math.Float64bits(t)
	return math.Float64frombits(powers[n%octave]-n/octave<<52) * (1 + y*(c1+y*(c2+y*c3)))
}

// sum returns the sum of the weights of some logits.
func (s *scale) sum(logits []float32) (sum float64) {
	for _, l := range logits {
		if d := s.distance(l); d <= s.maxDistance {
			sum += s.weight(d)
		}
	}
	return sum
}

// powers holds the bits of 2^(-i/1024).
var powers = func() (p [octave]uint64) {
	for i := range p {
		p[i] = math.Float64bits(math.Exp2(-float64(i) / octave))
	}
	return p
}()
