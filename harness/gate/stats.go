package gate

import (
	"math"
	"slices"
	"sync"

	"github.com/aclements/go-moremath/stats"
)

// An Estimate is a change from base to head with its 90 % interval: 0.2 is 20 % more, or 20 points
// where the unit is a ratio.
type Estimate struct{ Delta, Lo, Hi float64 }

// estimate makes the estimate of Hodges and Lehmann (1963): the median of the changes between every
// value of head and every one of base, with the interval that belongs to the U test (Bauer 1972),
// so that the two agree: it excludes 0 where p <= 0.05, since 5 % are left off at each end.
//
// Note: the quotient of the medians, which benchstat prints, can lie outside of that interval.
func estimate(base, head []float64, points bool) Estimate {
	changes := changes(nil, base, head, points)
	n := len(changes)
	e := Estimate{middle(changes), math.Inf(-1), math.Inf(1)}
	if k := tail(len(base), len(head), 0.05); k > 0 {
		e.Lo, e.Hi = changes[k-1], changes[n-k]
	}
	return e
}

// changes are those between every value of head and every one of base, sorted, in buf where it is
// large enough.
func changes(buf, base, head []float64, points bool) []float64 {
	buf = buf[:0]
	for _, b := range base {
		for _, h := range head {
			buf = append(buf, change(b, h, points))
		}
	}
	slices.Sort(buf)
	return buf
}

// middle is the median of sorted values.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return between(sorted[(n-1)/2], sorted[n/2])
}

// between is the middle of two sorted values, which may both be infinite.
func between(a, b float64) float64 {
	if a == b || math.IsInf(a, 0) {
		return a
	}
	return (a + b) / 2
}

// change is from b to h. A value of +Inf stands for requests that were never answered; two of them
// are alike.
func change(b, h float64, points bool) float64 {
	switch {
	case b == h:
		return 0
	case points:
		return h - b
	case b == 0 || math.IsInf(h, 1):
		return math.Inf(1)
	}
	return h/b - 1
}

// tails has what tail has computed: the exact distribution is slow, and cells have the same sizes.
var tails sync.Map

type tailOf struct {
	n, m  int
	alpha float64
}

// tail is exactTail, once for each sizes.
func tail(n, m int, alpha float64) int {
	key := tailOf{n, m, alpha}
	if k, ok := tails.Load(key); ok {
		return k.(int)
	}
	k := exactTail(n, m, alpha)
	tails.Store(key, k)
	return k
}

// exactTail is the largest k with P(U < k) <= alpha where the samples are from one distribution:
// that many changes may be left off at each end. 0 means that there are too few runs for an
// interval.
func exactTail(n, m int, alpha float64) int {
	if n+m > 100 { // the exact distribution costs n^2 m^2
		nm := float64(n) * float64(m)
		z := stats.InvCDF(stats.StdNormal)(1 - alpha)
		return max(0, int(nm/2-z*math.Sqrt(nm*float64(n+m+1)/12)))
	}
	d := stats.UDist{N1: n, N2: m}
	k := 0
	for k < n*m/2 && d.CDF(float64(k)) <= alpha {
		k++
	}
	return k
}

// directed is the p of a difference as large as the one found, in its direction, of the p of one as
// large in either. Samples that do not differ have no direction.
func directed(p float64) float64 {
	if p >= 1 {
		return 1
	}
	return p / 2
}

// minP is the smallest p that the one-sided U test can give: all of one sample below all of the
// other.
func minP(n, m int) float64 {
	p := 1.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return min(p, 1)
}

// holm adjusts p values for being looked at together (Holm 1979): reject where the adjusted one is
// at most alpha, and the chance of a single false alarm among all stays at most alpha.
func holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	adjusted := make([]float64, len(p))
	largest := 0.0
	for rank, i := range order {
		largest = max(largest, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = largest
	}
	return adjusted
}
