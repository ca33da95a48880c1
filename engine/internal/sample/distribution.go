package sample

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// A Distribution is a row of logits as a categorical distribution over tokens. A token's weight is
// e^((logit-high)/temperature), where high is the largest finite logit, so that the likeliest token
// has the weight 1; tokens whose logits are not finite have none. The zero value is ready for use.
//
// The row is divided into segments. A search for likely tokens skips the segments whose largest
// logit is not likely enough. Segments are also the unit of work that goroutines share, and their
// sums are added in the row's order, so that what is drawn does not depend on how many there are.
type Distribution struct {
	logits []float32
	tops   []float32 // the largest finite logit of each segment, -Inf where there is none
	sums   []float64 // the weight of each segment
	scale  scale

	choices []choice
	places  []uint32 // scratch of likeliest
}

// segmentSize is how many logits a segment has.
const segmentSize = 256

// fill takes a row and returns the place of its largest finite logit, the first one of equals, or
// -1 when no logit is finite.
func (d *Distribution) fill(logits []float32) int32 {
	n := (len(logits) + segmentSize - 1) / segmentSize
	d.logits = logits
	d.tops = slices.Grow(d.tops[:0], n)[:n]
	parallel(n, func(from, to int) {
		for s := from; s < to; s++ {
			d.tops[s] = largest(d.segment(s))
		}
	})
	best, high := -1, float32(math.Inf(-1))
	for s, top := range d.tops {
		if top > high {
			best, high = s, top
		}
	}
	if best < 0 {
		return -1
	}
	d.scale = newScale(high, 1)
	return int32(best*segmentSize + slices.Index(d.segment(best), high))
}

func (d *Distribution) segment(s int) []float32 {
	return d.logits[s*segmentSize : min((s+1)*segmentSize, len(d.logits))]
}

// weigh returns the sum of all weights at a temperature.
func (d *Distribution) weigh(temperature float64) (sum float64) {
	d.scale = newScale(d.scale.high, temperature)
	d.sums = slices.Grow(d.sums[:0], len(d.tops))[:len(d.tops)]
	parallel(len(d.tops), func(from, to int) {
		for s := from; s < to; s++ {
			d.sums[s] = 0
			if d.scale.distance(d.tops[s]) <= d.scale.maxDistance {
				d.sums[s] = d.scale.sum(d.segment(s))
			}
		}
	})
	for _, s := range d.sums {
		sum += s
	}
	return sum
}

// at returns the first token at which the sum of the weights up to and including its own exceeds
// target, or -1 when rounding has lost the last weights. weigh must have been called.
func (d *Distribution) at(target float64) int32 {
	for s, sum := range d.sums {
		if target >= sum {
			target -= sum
			continue
		}
		for i, l := range d.segment(s) {
			if x := d.scale.distance(l); x <= d.scale.maxDistance {
				if target -= d.scale.weight(x); target < 0 {
					return int32(s*segmentSize + i)
				}
			}
		}
	}
	return -1
}

// gather returns the tokens up to a distance, ordered by id.
func (d *Distribution) gather(maxDistance uint32) []choice {
	c, s := d.choices[:0], d.scale // in registers: the loop is short
	for b, top := range d.tops {
		if s.distance(top) > maxDistance {
			continue
		}
		for i, l := range d.segment(b) {
			if x := s.distance(l); x <= maxDistance {
				one := choice{key: uint64(x)<<32 | uint64(b*segmentSize+i)}
				if x <= s.maxDistance {
					one.weight = s.weight(x)
				}
				c = append(c, one)
			}
		}
	}
	d.choices = c
	return c
}

// likeliest returns the k >= 1 likeliest tokens up to a distance, in no order, or fewer where there
// are not so many. Each of the k segments with the largest tops has a token that is at least as
// likely as the smallest of those tops, so no token below that is among the k.
func (d *Distribution) likeliest(k int, maxDistance uint32) []choice {
	if k < len(d.tops) {
		d.places = d.places[:0]
		for _, top := range d.tops {
			d.places = append(d.places, d.scale.distance(top))
		}
		slices.Sort(d.places)
		maxDistance = min(maxDistance, d.places[k-1])
	}
	c := d.gather(maxDistance)
	if k >= len(c) {
		return c
	}
	heap := c[:k] // its root is the next one to lose
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

// largest returns the largest finite logit, -Inf when there is none.
func largest(logits []float32) float32 {
	high := float32(math.Inf(-1))
	i := 0
	for ; i+4 <= len(logits); i += 4 {
		// The condition rarely holds, and never does for NaN. Branches that are not taken cost less
		// than computing the larger of two numbers.
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

// parallel has goroutines call f on ranges of n segments, if there are so many that this pays.
func parallel(n int, f func(from, to int)) {
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
