package bisect

import "math"

// A drift is many changes, each too small to be named. One hypothesis stands for all drifts: each
// commit makes it worse by the same. Without it, a drift is a stair of three changes to the search,
// or one change that is blurred by how builds differ.

// shareOut computes what part of a drift there is up to each commit.
func (b *belief) shareOut() {
	b.shares = make([]float64, b.n)
	for i := 1; i < b.n; i++ {
		b.shares[i] = b.shares[i-1]
		if !b.excluded[i] {
			b.shares[i]++
		}
	}
	if all := b.shares[b.n-1]; all > 0 {
		for i := range b.shares {
			b.shares[i] /= all
		}
	}
}

// driftOf computes the likelihood that the level drifts, from that of levels by point and noise. It
// is integrated over where the drift leads, which is worse by half of the smallest change that
// matters or more.
func (b *belief) driftOf(of [][][]float64) segment {
	s := segment{log: make([]float64, len(sessionNoise))}
	prior := b.prior(b.effect / 2)
	sum, values := make([]float64, levels), make([]float64, levels)
	for t := range s.log {
		clear(sum)
		for j, commit := range b.points {
			for g := range sum {
				sum[g] += b.grid.value(of[j][t], b.grid.at(g)*b.shares[commit])
			}
		}
		s.log[t] = b.integrate(sum, prior, values, b.weight(t), &s.level)
	}
	return s
}

// value is what values on the grid are at a level of it, between two of them as on a line.
func (g grid) value(values []float64, level float64) float64 {
	at := (level - g.lo) / g.step
	i := min(max(int(at), 0), levels-2)
	part := at - float64(i)
	return values[i]*(1-part) + values[i+1]*part
}

// drifted is the level of a commit if it drifts.
func (b *belief) drifted(commit int) (mean, sd float64) {
	share := b.shares[commit]
	return share * b.drift.level.mean, share * b.drift.level.sd
}

// drifting is the probability that it drifts.
func (b *belief) drifting() float64 {
	for i := range b.found {
		if b.found[i].drifts {
			return b.found[i].p
		}
	}
	return 0
}

// maxUnseen is the largest part of a drift between two commits that were measured, if a drift is to
// be told: a few changes in long gaps look like one.
const maxUnseen = 1.0 / 8

// unseen is a commit in the middle of the longest gap between commits that were measured, -1 if no
// gap is too long, or if no commit in it can be measured.
func (u *search) unseen() int {
	from, to, longest := 0, 0, maxUnseen
	for j := 1; j < len(u.points); j++ {
		last, next := u.points[j-1], u.points[j]
		if part := u.shares[next] - u.shares[last]; part > longest && !u.located(j) {
			from, to, longest = last, next, part
		}
	}
	best, off := -1, math.Inf(1)
	for i := from + 1; i < to; i++ {
		if u.broken[i] || u.excluded[i] {
			continue
		}
		if d := math.Abs(2*u.shares[i] - u.shares[from] - u.shares[to]); d < off {
			best, off = i, d
		}
	}
	return best
}
