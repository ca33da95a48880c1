package bisect

import (
	"cmp"
	"math"
	"slices"
)

// A Session is one measurement of a commit's build against the good build, in turns.
type Session struct {
	Commit int `json:"commit"` // its index: 0 is the good commit
	// Ratios has a value for each round: the logarithm of how many times as bad the commit's build
	// was as the good one.
	Ratios []float64 `json:"ratios"`
}

// Center is the session's own level: the estimate of Hodges and Lehmann, the median of the means of
// any two rounds.
func (s Session) Center() float64 {
	var means []float64
	for i, x := range s.Ratios {
		for _, y := range s.Ratios[i:] {
			means = append(means, (x+y)/2)
		}
	}
	return middle(means)
}

// These are the parts of the model that are not learned.
const (
	// layout is by how much two builds differ that do the same, because their code came to lie
	// elsewhere: the standard deviation of the logarithm. Measuring one build again does not
	// average it out.
	layout = 0.005
	// levels is how many values of a level are told apart.
	levels = 161
	// maxChanges is how many changes there may be.
	maxChanges = 3
	// size is the scale of the prior of changes: half of them are smaller.
	size = 0.08
)

// numbers are the prior probabilities that there is no change, one, two, or three.
var numbers = [maxChanges + 1]float64{0.10, 0.798, 0.07, 0.03}

// driftPrior is the prior probability that each commit makes it worse by the same.
const driftPrior = 0.002

// sessionNoise are the standard deviations, between sessions of one build, that are told apart,
// with their prior probabilities.
var sessionNoise = []struct{ sd, prior float64 }{
	{0.001, 0.15}, {0.0025, 0.20}, {0.005, 0.25}, {0.01, 0.20}, {0.02, 0.15}, {0.04, 0.05},
}

// A belief is what the sessions say of the commits: the posterior over where the level changes.
type belief struct {
	n      int     // commits, the good one included
	effect float64 // the smallest change that matters, a logarithm

	sessions []Session
	centers  []float64 // of the sessions
	excluded []bool    // of each commit: nothing changes at it
	same     []int     // of each commit: the first one whose build is the same program

	within float64 // scale of a round's ratio about its session's level
	grid   grid
	curves [][][]float64 // of each session and noise: logarithm of the likelihood of levels

	shares     []float64   // of each commit: what part of a drift there is up to it
	points     []int       // commits that were measured, and the first and the last, in order
	counts     []float64   // commits in which the change to a point's level may be; counts[0] is 0
	likelihood [][]segment // from point to point: see segments
	drift      segment     // of all points; its level is that of the last commit
	noise      []float64   // posterior of sessionNoise
	found      []hypothesis
}

// A hypothesis is that the level changes between some points and nowhere else, or that it drifts.
type hypothesis struct {
	changes []int // indices of the points before which it changes
	drifts  bool
	p       float64
}

// A segment is a stretch of points of one level.
type segment struct {
	log   []float64 // logarithm of its likelihood for each session noise, its level integrated out
	level estimate  // of its level
	// The same where the level is known to be worse than that of the good commit.
	logWorse   []float64
	levelWorse estimate
}

// An estimate is a mean and a standard deviation.
type estimate struct{ mean, sd float64 }

// A grid is the levels that are told apart: from lo in steps.
type grid struct {
	lo, step float64
	zero     int // the index of 0
}

func (g grid) at(i int) float64 { return g.lo + float64(i)*g.step }

func newBelief(commits int, effect float64) *belief {
	b := &belief{n: commits, effect: effect, excluded: make([]bool, commits),
		same: make([]int, commits), within: 0.02}
	for i := range b.same {
		b.same[i] = i
	}
	b.update()
	return b
}

// clone is a copy that can go its own way.
func (b *belief) clone() *belief {
	c := *b
	c.sessions, c.excluded = slices.Clone(b.sessions), slices.Clone(b.excluded)
	c.same = slices.Clone(b.same)
	c.curves, c.centers = slices.Clone(b.curves), slices.Clone(b.centers)
	return &c
}

// add adds a session.
func (b *belief) add(s Session) {
	s.Commit = b.same[s.Commit]
	b.sessions, b.centers = append(b.sessions, s), append(b.centers, s.Center())
	b.update()
}

// join says that the builds of two commits are one program: nothing changes from the first to the
// second, and what was measured of the one is of the other as well.
func (b *belief) join(from, to int) {
	for i := from + 1; i <= to; i++ {
		b.excluded[i] = true
	}
	b.same[to] = b.same[from]
	for i := range b.sessions {
		b.sessions[i].Commit = b.same[b.sessions[i].Commit]
	}
	b.update()
}

// update computes the posterior anew.
func (b *belief) update() {
	b.learnNoise()
	b.points = []int{0}
	for _, s := range b.sessions {
		b.points = append(b.points, s.Commit)
	}
	b.points = append(b.points, b.n-1)
	slices.Sort(b.points)
	b.points = slices.Compact(b.points)
	b.counts = make([]float64, len(b.points))
	for j := 1; j < len(b.points); j++ {
		for i := b.points[j-1] + 1; i <= b.points[j]; i++ {
			if !b.excluded[i] {
				b.counts[j]++
			}
		}
	}
	b.shareOut()
	of := make([][][]float64, len(b.points)) // by point and noise
	for j := range b.points {
		of[j] = b.pointLikelihood(b.points[j])
	}
	b.segments(of)
	b.drift = b.driftOf(of)
	b.weigh(of)
}

// learnNoise finds the scale of the rounds and the range of levels, and the sessions' likelihoods
// where either is another one than before.
func (b *belief) learnNoise() {
	// A median of differences does not mind outliers. The few of 2 % stand for what is known
	// before.
	apart := []float64{0.02, 0.02, 0.02}
	lo, hi := 0.0, 0.10
	for _, s := range b.sessions {
		for i, x := range s.Ratios {
			for _, y := range s.Ratios[:i] {
				apart = append(apart, math.Abs(x-y))
			}
		}
	}
	for _, c := range b.centers {
		lo, hi = min(lo, c), max(hi, c)
	}
	within := max(middle(apart)/0.954, 1e-4) // 0.954 standard deviations are the median of a normal
	old := b.grid
	if hi > old.at(levels-1)-0.02 || lo < old.lo+0.02 {
		pad := 0.05 + 0.2*(hi-lo)
		step := (hi - lo + 2*pad) / (levels - 1)
		zero := int(math.Ceil((pad - lo) / step))
		b.grid = grid{-float64(zero) * step, step, zero}
	}
	if b.grid != old || math.Abs(math.Log(within/b.within)) > 0.1 {
		b.within, b.curves = within, nil
	}
	for _, s := range b.sessions[len(b.curves):] {
		b.curves = append(b.curves, b.sessionLikelihood(s.Ratios))
	}
}

// sessionLikelihood is the likelihood of levels of a session's build, for each session noise:
// rounds are about the session's own level by Student's t with three degrees of freedom, which
// forgives outliers, and that is about the build's.
func (b *belief) sessionLikelihood(ratios []float64) [][]float64 {
	own := make([]float64, levels)
	for i := range own {
		for _, x := range ratios {
			z := (x - b.grid.at(i)) / b.within
			own[i] -= 2 * math.Log1p(z*z/3)
		}
	}
	expAll(own)
	all := make([][]float64, len(sessionNoise))
	for t := range sessionNoise {
		all[t] = b.grid.blur(own, sessionNoise[t].sd)
		logAll(all[t])
	}
	return all
}

// pointLikelihood is the logarithm of the likelihood of levels of a commit, for each session noise.
func (b *belief) pointLikelihood(commit int) [][]float64 {
	all := make([][]float64, len(sessionNoise))
	for t := range all {
		sum := make([]float64, levels)
		any := false
		for i, s := range b.sessions {
			if s.Commit != commit {
				continue
			}
			any = true
			for g, v := range b.curves[i][t] {
				sum[g] += v
			}
		}
		if any && commit > 0 { // the good build is the one that it is measured against
			top := slices.Max(sum)
			expAll(sum)
			sum = b.grid.blur(sum, layout)
			logAll(sum)
			for g := range sum {
				sum[g] += top
			}
		}
		all[t] = sum
	}
	return all
}

// expAll replaces logarithms by what they are of, with 1 as the largest.
func expAll(values []float64) {
	top := slices.Max(values)
	for i := range values {
		values[i] = math.Exp(values[i] - top)
	}
}

func logAll(values []float64) {
	for i, v := range values {
		values[i] = math.Log(v)
	}
}

// blur spreads each value over its neighbours as a normal distribution does. A floor keeps what is
// impossible in a model from being so in fact.
func (g grid) blur(values []float64, sd float64) []float64 {
	const floor = 1e-12
	out := make([]float64, len(values))
	reach := int(4 * sd / g.step)
	kernel := make([]float64, reach+1)
	sum := 0.0
	for k := range kernel {
		z := float64(k) * g.step / sd
		kernel[k] = math.Exp(-z * z / 2)
		sum += kernel[k]
		if k > 0 {
			sum += kernel[k]
		}
	}
	for i := range out {
		v := values[i] * kernel[0]
		for k := 1; k <= reach; k++ {
			v += kernel[k] * (values[max(i-k, 0)] + values[min(i+k, len(values)-1)])
		}
		out[i] = v/sum + floor
	}
	return out
}

// segments computes the likelihood of every stretch of points.
func (b *belief) segments(of [][][]float64) {
	m := len(b.points)
	any, worse := b.prior(math.Inf(-1)), b.prior(b.effect/2)
	b.likelihood = make([][]segment, m)
	sum := make([][]float64, len(sessionNoise))
	values := make([]float64, levels)
	for i := 1; i < m; i++ {
		b.likelihood[i] = make([]segment, m+1)
		for t := range sum {
			sum[t] = make([]float64, levels)
		}
		for j := i + 1; j <= m; j++ { // the points i to j-1
			s := segment{log: make([]float64, len(sum)), logWorse: make([]float64, len(sum))}
			for t := range sum {
				for g, v := range of[j-1][t] {
					sum[t][g] += v
				}
				weight := b.weight(t)
				s.log[t] = b.integrate(sum[t], any, values, weight, &s.level)
				s.logWorse[t] = b.integrate(sum[t], worse, values, weight, &s.levelWorse)
			}
			b.likelihood[i][j] = s
		}
	}
}

// prior is the prior of levels from one on.
func (b *belief) prior(from float64) []float64 {
	all := make([]float64, levels)
	for g := range all {
		if level := b.grid.at(g); level >= from {
			all[g] = 1 / (1 + level*level/(size*size))
		}
	}
	normalize(all)
	return all
}

// weight is how probable a session noise was held for last.
func (b *belief) weight(t int) float64 {
	if b.noise == nil {
		return sessionNoise[t].prior
	}
	return b.noise[t]
}

// integrate is the logarithm of the integral of a likelihood, whose logarithm is given, over a
// prior. It adds the posterior's mean and standard deviation to sum, times weight; values is its
// own.
func (b *belief) integrate(log, prior, values []float64, weight float64, sum *estimate) float64 {
	const never = 1e-300
	top, all := slices.Max(log), 0.0
	for g, v := range log {
		values[g] = 0
		if v > top-30 {
			values[g] = math.Exp(v-top) * prior[g]
		}
		all += values[g]
	}
	if all < never { // far from all that the prior allows
		all = never
	}
	mean, square := 0.0, 0.0
	for g, v := range values {
		mean += v / all * b.grid.at(g)
	}
	for g, v := range values {
		d := b.grid.at(g) - mean
		square += v / all * d * d
	}
	sum.mean, sum.sd = sum.mean+weight*mean, sum.sd+weight*math.Sqrt(square)
	return top + math.Log(all)
}

func normalize(values []float64) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	for i := range values {
		values[i] /= sum
	}
}

// weigh finds the posterior of the hypotheses and of the session noise. of has, for each point and
// noise, the logarithm of the likelihood of each level.
func (b *belief) weigh(of [][][]float64) {
	first := b.unchanged(of)
	b.found = b.found[:0:0]
	var logs [][]float64 // of each hypothesis and noise
	for _, h := range b.hypotheses() {
		log := make([]float64, len(sessionNoise))
		for t := range log {
			log[t] = math.Log(h.p*sessionNoise[t].prior) + b.logOf(&h, first, t)
		}
		h.p = 0
		b.found, logs = append(b.found, h), append(logs, log)
	}
	top := math.Inf(-1)
	for _, log := range logs {
		top = max(top, slices.Max(log))
	}
	sum := 0.0
	b.noise = make([]float64, len(sessionNoise))
	for h := range b.found {
		for t, v := range logs[h] {
			p := math.Exp(v - top)
			b.found[h].p += p
			b.noise[t] += p
			sum += p
		}
	}
	for h := range b.found {
		b.found[h].p /= sum
	}
	for t := range b.noise {
		b.noise[t] /= sum
	}
	slices.SortStableFunc(b.found, func(x, y hypothesis) int { return cmp.Compare(y.p, x.p) })
}

// unchanged returns, for each number of points and each noise, the logarithm of the likelihood that
// so many points from the first on have the level of the good commit.
func (b *belief) unchanged(of [][][]float64) [][]float64 {
	first := make([][]float64, len(b.points)+1)
	for j := range first {
		first[j] = make([]float64, len(sessionNoise))
		for t := range sessionNoise {
			if j > 0 {
				first[j][t] = first[j-1][t] + of[j-1][t][b.grid.zero]
			}
		}
	}
	return first
}

// hypotheses returns all there are, with their prior probabilities.
func (b *belief) hypotheses() (all []hypothesis) {
	total := 0.0
	for _, n := range b.counts {
		total += n
	}
	add := func(h hypothesis, prior float64) {
		if h.p = prior; prior > 0 { // else no commit is left, at which it could change
			all = append(all, h)
		}
	}
	change := func(prior float64, points ...int) { add(hypothesis{changes: points}, prior) }
	change(numbers[0])
	add(hypothesis{drifts: true}, driftPrior*min(total, 1))
	m := len(b.points)
	for i := 1; i < m; i++ {
		change(numbers[1]*b.counts[i]/total, i)
		for j := i + 1; j < m; j++ {
			two := b.counts[i] * b.counts[j]
			change(numbers[2]*two/choose(total, 2), i, j)
			for k := j + 1; k < m; k++ {
				change(numbers[3]*two*b.counts[k]/choose(total, 3), i, j, k)
			}
		}
	}
	return all
}

// choose is how many sets of k there are of n, at least 1.
func choose(n float64, k int) float64 {
	c := 1.0
	for i := range k {
		c *= (n - float64(i)) / float64(i+1)
	}
	return max(c, 1)
}

// logOf is the logarithm of the likelihood of a hypothesis.
func (b *belief) logOf(h *hypothesis, first [][]float64, t int) float64 {
	m, changes := len(b.points), h.changes
	if h.drifts {
		return b.drift.log[t]
	}
	if len(changes) == 0 {
		return first[m][t]
	}
	log := first[changes[0]][t]
	for i, from := range changes {
		switch {
		case i+1 < len(changes):
			log += b.likelihood[from][changes[i+1]].log[t]
		case i == 0:
			log += b.likelihood[from][m].logWorse[t]
		default:
			log += b.likelihood[from][m].log[t]
		}
	}
	return log
}

// level is the level of a point under a hypothesis.
func (b *belief) level(h *hypothesis, point int) (mean, sd float64) {
	if h.drifts {
		return b.drifted(b.points[point])
	}
	from, to := 0, len(b.points)
	for _, c := range h.changes {
		if c <= point {
			from = c
		} else {
			to = min(to, c)
		}
	}
	if from == 0 {
		return 0, 0
	}
	s := b.likelihood[from][to].level
	if len(h.changes) == 1 {
		s = b.likelihood[from][to].levelWorse
	}
	return s.mean, s.sd
}

// jump is by how much the level rises before a point under a hypothesis.
func (b *belief) jump(h *hypothesis, point int) (mean, sd float64) {
	after, a := b.level(h, point)
	before, c := b.level(h, point-1)
	return after - before, math.Hypot(a, c)
}

// changed is the probability that the level rises, by what matters, before a point.
func (b *belief) changed(point int) float64 {
	p := 0.0
	for i := range b.found {
		h := &b.found[i]
		if !slices.Contains(h.changes, point) {
			continue
		}
		if rise, _ := b.jump(h, point); rise >= b.effect/2 {
			p += h.p
		}
	}
	return p
}

// number is the probability that there are so many changes.
func (b *belief) number(n int) float64 {
	p := 0.0
	for i := range b.found {
		if h := &b.found[i]; len(h.changes) == n && !h.drifts {
			p += b.found[i].p
		}
	}
	return p
}

// sessionSD is the standard deviation of what a session of so many rounds says of a build.
func (b *belief) sessionSD(rounds int) float64 {
	between := 0.0
	for t, p := range b.noise {
		between += p * sessionNoise[t].sd
	}
	return math.Hypot(between, 1.3*b.within/math.Sqrt(float64(max(rounds, 1))))
}

// middle is the median.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
