package history

import (
	"cmp"
	"math"
	"slices"
)

// A Finder finds the change points of a series of numbers as Apache Otava 0.8.0 does, which was
// called Hunter (Fleming et al. 2023): E-divisive means (Matteson and James 2014) in windows that
// overlap by half, with Student's t-test in place of permutations.
type Finder struct {
	Window       int     // values that are looked at together, 2 or more
	MaxP         float64 // of the t-test at a change point; between 0 and 1
	MinMagnitude float64 // the smallest change of the mean that counts: 0.05 is 5 %
}

// A ChangePoint is where the mean of a series changes.
type ChangePoint struct {
	Index         int     // of the first value after the change
	Before, After float64 // means up to the neighbouring change points
	P             float64 // of the t-test between them; NaN where all values are equal
}

// magnitude is the larger of the changes from left to right and from right to left.
func (c ChangePoint) magnitude() float64 {
	return max(math.Abs(relative(c.Before, c.After)), math.Abs(relative(c.After, c.Before)))
}

func relative(from, to float64) float64 {
	if from == 0 {
		return 0
	}
	return to/from - 1
}

// Find returns the change points of a series in their order.
func (f Finder) Find(values []float64) []ChangePoint {
	return f.merge(values, f.split(values))
}

// split finds candidates: the change points of each window at a bound of p that is up to ten times
// as high, because what is not significant within a window may be so between its neighbours.
func (f Finder) split(values []float64) []ChangePoint {
	loose := f.MaxP
	switch {
	case f.MaxP < 0.05:
		loose *= 10
	case f.MaxP < 0.5:
		loose *= 2
	}
	var found []int
	step := f.Window / 2
	for start := 0; start < len(values); {
		end := min(start+f.Window, len(values))
		last := 0
		for _, at := range divide(values[start:end], loose) {
			last = start + at
			if !slices.Contains(found, last) {
				found = append(found, last)
			}
		}
		start = max(last, start+step)
	}
	slices.Sort(found)
	return measure(values, found)
}

// merge removes the weakest change point until each of them is significant and large enough.
//
// Only the point that was removed and the one after it are measured again, as in Otava; the one
// before it keeps the mean up to the point that is gone. [confirm] measures all of them again.
func (f Finder) merge(values []float64, points []ChangePoint) []ChangePoint {
	for len(points) > 0 {
		weakest := maxFunc(points, func(c ChangePoint) float64 { return c.P })
		if points[weakest].P < f.MaxP {
			weakest = maxFunc(points, func(c ChangePoint) float64 { return -c.magnitude() })
			if points[weakest].magnitude() > f.MinMagnitude {
				return points
			}
		}
		points = slices.Delete(points, weakest, weakest+1)
		again := measure(values, indexes(points))
		for i := weakest; i <= weakest+1 && i < len(points); i++ {
			points[i] = again[i]
		}
	}
	return nil
}

// propose returns the places of all change points that are found in windows of the finder's size,
// of half of it and of a quarter. In the large window alone, a level that goes up and comes back is
// often not found: the t-test there is between all before and all behind, which differ by little,
// and E-divisive stops at the first place that is not significant.
func (f Finder) propose(values []float64) []int {
	var all []int
	for _, part := range []int{1, 2, 4} {
		g := f
		if g.Window = f.Window / part; g.Window >= 4 {
			all = append(all, indexes(g.Find(values))...)
		}
	}
	return all
}

// maxFunc is the index of the first element of which the key is largest. A NaN is not larger than
// anything, and nothing is larger than a NaN that comes first.
func maxFunc(points []ChangePoint, key func(ChangePoint) float64) int {
	largest := 0
	for i := range points {
		if key(points[i]) > key(points[largest]) {
			largest = i
		}
	}
	return largest
}

func indexes(points []ChangePoint) []int {
	var all []int
	for _, c := range points {
		all = append(all, c.Index)
	}
	return all
}

// measure is what changes at each of these places, which are in their order.
func measure(values []float64, places []int) []ChangePoint {
	var points []ChangePoint
	for i, at := range places {
		from, to := 0, len(values)
		if i > 0 {
			from = places[i-1]
		}
		if i+1 < len(places) {
			to = places[i+1]
		}
		points = append(points, compare(values[from:at], values[at:to], at))
	}
	return points
}

func compare(left, right []float64, at int) ChangePoint {
	before, after := describe(left), describe(right)
	return ChangePoint{Index: at, Before: before.mean, After: after.mean, P: student(before, after)}
}

// divide splits a window at the most unlike place, and its parts again, for as long as the t-test
// finds the parts different.
func divide(values []float64, maxP float64) []int {
	d := newDistances(values)
	var found []int
	for {
		edges := slices.Concat([]int{0}, found, []int{len(values)})
		best, unlikeness, from, to := -1, 0.0, 0, 0
		for i, start := range edges[:len(edges)-1] {
			if end := edges[i+1]; end-start > 1 {
				at, q := d.mostUnlike(start, end)
				if best < 0 || q > unlikeness {
					best, unlikeness, from, to = at, q, start, end
				}
			}
		}
		if best < 0 || !(compare(values[from:best], values[best:to], best).P <= maxP) {
			return found
		}
		at, _ := slices.BinarySearchFunc(found, best, cmp.Compare[int])
		found = slices.Insert(found, at, best)
	}
}

// distances are those between all values of a window, and sums of them.
type distances struct {
	n      int
	d      []float64 // n rows of n
	before []float64 // by value: the sum of its distances to the values before it
	after  []float64 // by value and end: the sum of its distances to the values after it, before end
}

func newDistances(values []float64) *distances {
	n := len(values)
	m := &distances{n, make([]float64, n*n), make([]float64, n), make([]float64, n*(n+1))}
	for i, a := range values {
		for j, b := range values {
			m.d[i*n+j] = math.Abs(a - b)
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			m.before[j] += m.d[i*n+j]
			m.after[i*(n+1)+j+1] = m.after[i*(n+1)+j] + m.d[i*n+j]
		}
	}
	return m
}

// mostUnlike returns the place at which the values from start to end are split so that the part
// before it and a part behind it, up to any end, are the most unlike: by the empirical divergence Q
// of Matteson and James (2014), equation 7, with the exponent 1.
//
// The sums are taken in the order in which Otava takes them, and the conversions keep the compiler
// from fusing products into them, so that ties, which values of few digits have, are broken alike.
func (m *distances) mostUnlike(start, end int) (at int, q float64) {
	n := end - start
	within := m.beforeFrom(start, end) // by length: the distances within the left part
	toEnd := make([]float64, n+1)      // by length: the distances of the left part to all up to end
	right := m.afterFrom(start, end)
	at, q = start+1, math.Inf(-1)
	for left := 1; left < n; left++ { // values before the split
		tau := start + left
		for k := left + 1; k <= n; k++ { // values before the end of the right part
			kappa := start + k
			toEnd[k] += m.after[(tau-1)*(m.n+1)+kappa]
			a := float64(2 / float64(k) * float64(toEnd[k]-within[left]))
			b, c := 0.0, 0.0
			if left > 1 {
				b = float64(2*float64(k-left)/float64(k*(left-1))) * within[left]
			}
			if k-left > 1 {
				c = float64(2*float64(left)/float64(k*(k-left-1))) * right[left*(n+1)+k]
			}
			if v := float64(float64(a-float64(b)) - float64(c)); v > q {
				at, q = tau, v
			}
		}
	}
	return at, q
}

// beforeFrom is, by the number of values from start, the sum of all distances among them.
func (m *distances) beforeFrom(start, end int) []float64 {
	within := make([]float64, end-start+1)
	for i := 2; i <= end-start; i++ {
		to := start + i - 1
		left := 0.0
		for j := range start {
			left += m.d[j*m.n+to]
		}
		within[i] = within[i-1] + float64(m.before[to]-left)
	}
	return within
}

// afterFrom is, by where a part begins and ends, the sum of all distances within it; both are
// counted from start.
func (m *distances) afterFrom(start, end int) []float64 {
	n := end - start
	sums := make([]float64, (n+1)*(n+1))
	for i := n - 2; i >= 0; i-- {
		for k := i + 2; k <= n; k++ {
			sums[i*(n+1)+k] = sums[(i+1)*(n+1)+k] + m.after[(start+i)*(m.n+1)+start+k]
		}
	}
	return sums
}
