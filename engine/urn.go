package engine

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// An urn is a row of logits from which a token is drawn. A token's weight is e^((logit-high)/temperature), high being the
// largest finite logit, so that the likeliest has 1; what is not finite is not in the urn.
//
// Drawing goes by blocks of the row: whoever looks for likely tokens skips those whose largest logit is not likely enough.
// Blocks are what goroutines share as well, and their sums are added in the row's order, so that what is drawn does not
// depend on how many there are.
type urn struct {
	logits []float32
	tops   []float32 // the largest finite logit of each block, -Inf where there is none
	sums   []float64 // the weights of each block
	scale  scale

	choices []choice
	places  []uint32 // scratch of likeliest
}

// urnBlock is how many logits a block has.
const urnBlock = 256

// A choice is a token that may be drawn.
type choice struct {
	key    uint64 // its distance, then its id: smaller is likelier, and of equals the first
	weight float64
}

func (c choice) id() int32 { return int32(uint32(c.key)) }

// fill takes a row and returns the place of its largest finite logit, the first of equals, or -1 when there is none.
func (u *urn) fill(logits []float32) int32 {
	n := (len(logits) + urnBlock - 1) / urnBlock
	u.logits = logits
	u.tops = slices.Grow(u.tops[:0], n)[:n]
	share(n, func(from, to int) {
		for b := from; b < to; b++ {
			u.tops[b] = largest(u.block(b))
		}
	})
	best, high := -1, float32(math.Inf(-1))
	for b, top := range u.tops {
		if top > high {
			best, high = b, top
		}
	}
	if best < 0 {
		return -1
	}
	u.scale = newScale(high, 1)
	return int32(best*urnBlock + slices.Index(u.block(best), high))
}

func (u *urn) block(b int) []float32 {
	return u.logits[b*urnBlock : min((b+1)*urnBlock, len(u.logits))]
}

// weigh sums the weights at a temperature.
func (u *urn) weigh(temperature float64) (sum float64) {
	u.scale = newScale(u.scale.high, temperature)
	u.sums = slices.Grow(u.sums[:0], len(u.tops))[:len(u.tops)]
	share(len(u.tops), func(from, to int) {
		for b := from; b < to; b++ {
			u.sums[b] = 0
			if u.scale.distance(u.tops[b]) <= u.scale.most {
				u.sums[b] = u.scale.sum(u.block(b))
			}
		}
	})
	for _, s := range u.sums {
		sum += s
	}
	return sum
}

// at is the first token at which the weights before it and its own together are more than target; -1 when rounding has
// eaten the last of them. The tokens have been weighed.
func (u *urn) at(target float64) int32 {
	for b, s := range u.sums {
		if target >= s {
			target -= s
			continue
		}
		for i, l := range u.block(b) {
			if d := u.scale.distance(l); d <= u.scale.most {
				if target -= u.scale.weight(d); target < 0 {
					return int32(b*urnBlock + i)
				}
			}
		}
	}
	return -1
}

// gather returns the tokens up to a distance, ordered by id.
func (u *urn) gather(most uint32) []choice {
	c, s := u.choices[:0], u.scale // in registers: the loop is short
	for b, top := range u.tops {
		if s.distance(top) > most {
			continue
		}
		for i, l := range u.block(b) {
			if d := s.distance(l); d <= most {
				x := choice{key: uint64(d)<<32 | uint64(b*urnBlock+i)}
				if d <= s.most {
					x.weight = s.weight(d)
				}
				c = append(c, x)
			}
		}
	}
	u.choices = c
	return c
}

// likeliest returns the k likeliest tokens up to a distance in no order, fewer where there are not so many. Of the k blocks
// with the largest tops each has one that is at least as likely as the least of those tops, so no token below that is among
// the k >= 1.
func (u *urn) likeliest(k int, most uint32) []choice {
	if k < len(u.tops) {
		u.places = u.places[:0]
		for _, top := range u.tops {
			u.places = append(u.places, u.scale.distance(top))
		}
		slices.Sort(u.places)
		most = min(most, u.places[k-1])
	}
	c := u.gather(most)
	if k >= len(c) {
		return c
	}
	heap := c[:k] // its root is the one to lose next
	for i := k/2 - 1; i >= 0; i-- {
		sink(heap, i)
	}
	for _, x := range c[k:] {
		if x.key < heap[0].key {
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
			if heap[child].key > heap[worst].key {
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

// reach moves the likeliest choices to the front, so many as it takes for their weights to come to target, in no order but
// the last of them at the end, and returns how many these are. It is quickselect (Hoare's Find) by weight.
func reach(c []choice, target float64) int {
	from, to := 0, len(c)
	for to-from > 1 {
		i, before := partition(c[from:to])
		i += from
		switch up := before + c[i].weight; {
		case before >= target:
			to = i
		case up >= target:
			return i + 1
		default:
			target -= up
			from = i + 1
		}
	}
	return min(from+1, len(c))
}

// partition moves a choice to its place in the order, those that are likelier before it and the others behind it, and
// returns that place and the weights before it. There is no branch to be mispredicted.
func partition(c []choice) (place int, before float64) {
	last := len(c) - 1
	middle := median(c, 0, len(c)/2, last)
	c[middle], c[last] = c[last], c[middle]
	pivot := c[last].key
	for i, x := range c[:last] {
		c[i] = c[place]
		c[place] = x
		likelier := 0
		if x.key < pivot {
			likelier = 1
		}
		place += likelier
		before += x.weight * float64(likelier)
	}
	c[place], c[last] = c[last], c[place]
	return place, before
}

// median is where the middle one of three choices is.
func median(c []choice, i, j, k int) int {
	if c[j].key < c[i].key {
		i, j = j, i
	}
	switch x := c[k].key; {
	case x < c[i].key:
		return i
	case x < c[j].key:
		return k
	}
	return j
}

// largest is the largest finite logit, -Inf when there is none.
func largest(logits []float32) float32 {
	high := float32(math.Inf(-1))
	i := 0
	for ; i+4 <= len(logits); i += 4 {
		// Rarely so, and never for NaN. Branches that are not taken cost less than a larger of two.
		if l := logits[i : i+4 : i+4]; l[0] > high || l[1] > high || l[2] > high || l[3] > high {
			for _, l := range l {
				if l > high {
					high = l
				}
			}
		}
	}
	for _, l := range logits[i:] {
		if l > high {
			high = l
		}
	}
	if high <= math.MaxFloat32 {
		return high
	}
	high = float32(math.Inf(-1)) // +Inf is damage, not a likely token
	for _, l := range logits {
		if l > high && l <= math.MaxFloat32 {
			high = l
		}
	}
	return high
}

// share lets goroutines call f on parts of n blocks, if there are so many that this pays.
func share(n int, f func(from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n/128)
	if workers < 2 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for i := 1; i < workers; i++ {
		wg.Go(func() { f(i*n/workers, (i+1)*n/workers) })
	}
	f(0, n/workers)
	wg.Wait()
}

// A scale turns logits into weights. The distance of a logit is how far it is below high, as the bits of a float32, which
// are ordered as distances are; those of what is not finite, +Inf among them, are beyond all others.
type scale struct {
	high  float32
	steps float64 // in a distance of 1
	most  uint32  // the distance of the least weight
}

// Weights are powers of 2^(1/1024). Those below 2^-80 are left out: 2^27 tokens that far down have less than 2^-53 together,
// which is what a float64 that has the likeliest token's 1 in it cannot hold.
const (
	octave = 1024
	least  = 80
	ln2    = math.Ln2
)

func newScale(high float32, temperature float64) scale {
	return scale{
		high:  high,
		steps: min(octave/(ln2*temperature), 1e300), // times a distance of 0 it is 0
		most:  math.Float32bits(float32(min(least*ln2*temperature, math.MaxFloat32))),
	}
}

func (s *scale) distance(l float32) uint32 { return math.Float32bits(l-s.high) &^ (1 << 31) }

// within is the distance that no token of at least this weight is beyond.
func (s *scale) within(weight float64) uint32 {
	const rounding = 1.000001
	d := -math.Log2(weight) * rounding * octave / s.steps
	return min(s.most, math.Float32bits(float32(max(d, 0))))
}

// weight is 2^(-x/1024) for a distance of x steps: the power of the nearest whole number from a table, times e^y of what
// is left, |y| < 0.00034, by its series up to y^3, whose next term is below 2^-50. It is within 2e-14 of the true one, and takes
// a third of math.Exp's time.
func (s *scale) weight(distance uint32) float64 {
	const magic = 3 << 51 // adding it rounds to a whole number and leaves that in the lowest bits
	const c1, c2, c3 = ln2 / octave, ln2 / octave * ln2 / octave / 2, ln2 / octave * ln2 / octave * ln2 / octave / 6
	x := float64(math.Float32frombits(distance)) * s.steps
	t := x + magic
	y := t - magic - x
	n := math.Float64bits(t)
	return math.Float64frombits(powers[n%octave]-n/octave<<52) * (1 + y*(c1+y*(c2+y*c3)))
}

// sum is the weights of some logits.
func (s *scale) sum(logits []float32) (sum float64) {
	for _, l := range logits {
		if d := s.distance(l); d <= s.most {
			sum += s.weight(d)
		}
	}
	return sum
}

// powers are the bits of 2^(-i/1024).
var powers = func() (p [octave]uint64) {
	for i := range p {
		p[i] = math.Float64bits(math.Exp2(-float64(i) / octave))
	}
	return p
}()
