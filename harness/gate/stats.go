package gate

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// An Estimate is a change from base to head with its 95 % interval: 0.2 is 20 % more, or 20 points where the unit is a
// ratio.
type Estimate struct{ Delta, Lo, Hi float64 }

// estimate is that of Hodges and Lehmann (1963): the median of the changes between every value of head and every one of
// base, with the interval that belongs to the U test (Bauer 1972), so that the two agree: it excludes 0 where p < 0.05.
//
// Note: the quotient of the medians, which benchstat prints, can lie outside of that interval.
func estimate(base, head []float64, points bool) Estimate {
	changes := make([]float64, 0, len(base)*len(head))
	for _, b := range base {
		for _, h := range head {
			changes = append(changes, change(b, h, points))
		}
	}
	slices.Sort(changes)
	n := len(changes)
	e := Estimate{between(changes[(n-1)/2], changes[n/2]), math.Inf(-1), math.Inf(1)}
	if k := tail(len(base), len(head), 0.025); k > 0 {
		e.Lo, e.Hi = changes[k-1], changes[n-k]
	}
	return e
}

// between is the middle of two sorted values, which may both be infinite.
func between(a, b float64) float64 {
	if a == b || math.IsInf(a, 0) {
		return a
	}
	return (a + b) / 2
}

// change is from b to h. A value of +Inf is that of requests that were never answered; two of them are alike.
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

// tail is the largest k with P(U < k) <= alpha where the samples are from one distribution: that many changes may be left
// off at each end. 0 means that there are too few runs for an interval.
func tail(n, m int, alpha float64) int {
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

// leastP is the smallest p that the two-sided U test can give: all of one sample below all of the other.
func leastP(n, m int) float64 {
	p := 2.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return min(p, 1)
}

// holm adjusts p values for being looked at together (Holm 1979): reject where the adjusted one is at most alpha, and the
// chance of a single false alarm among all stays at most alpha.
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
	least := 0.0
	for rank, i := range order {
		least = max(least, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = least
	}
	return adjusted
}

// noise is the 95th percentile of the change between two sides of n runs that are the same server: what measuring twice
// makes of no difference. base and head are an A/A measurement's runs in the order of its rounds. The sides of a round are
// exchangeable, so each window of n rounds gives many such comparisons, with their labels swapped at random; rounds
// stay whole, because the machine's drift between rounds is noise that swapping all runs would take for granted.
func noise(base, head []float64, n int, points bool) (floor float64, ok bool) {
	rounds := min(len(base), len(head))
	if rounds < 2 || n < 2 {
		return 0, false
	}
	n = min(n, rounds) // fewer rounds than runs: too large a floor rather than too small a one
	windows := rounds - n + 1
	const draws = 400
	rng := rand.New(rand.NewPCG(1, uint64(rounds)))
	found := make([]float64, 0, draws)
	a, b := make([]float64, n), make([]float64, n)
	for i := range draws {
		from := i % windows
		for j := range n {
			a[j], b[j] = base[from+j], head[from+j]
			if rng.Uint64()&1 == 0 {
				a[j], b[j] = b[j], a[j]
			}
		}
		found = append(found, math.Abs(estimate(a, b, points).Delta))
	}
	slices.Sort(found)
	return found[draws*95/100], true
}
