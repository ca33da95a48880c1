package bisect

import "math"

// A step is what to do next: to measure a commit, and to build it before where it is not built.
type step struct {
	commit int
	bits   float64 // that its session is expected to tell
}

// costs are how long the parts of a step take, in seconds.
type costs struct{ build, session float64 }

// of is how long a step to a commit takes.
func (c costs) of(built bool) float64 {
	if built {
		return c.session
	}
	return c.session + c.build
}

// choose picks the commit whose session is expected to tell the most about where the changes are
// for each second that it costs. ok is false where none can be measured.
func (b *belief) choose(built []bool, broken []bool, cost costs, rounds int) (best step, ok bool) {
	likely := b.likely()
	rate := -1.0
	for commit := 1; commit < b.n; commit++ {
		if broken[commit] || b.excluded[commit] {
			continue
		}
		bits := b.information(likely, commit, rounds)
		r := bits / cost.of(built[commit])
		if !built[commit] {
			r *= buildable(broken, commit)
		}
		if r > rate {
			rate, best, ok = r, step{commit, bits}, true
		}
	}
	return best, ok
}

// buildable is a guess at the probability that a commit can be built: what breaks builds lasts for
// some commits.
func buildable(broken []bool, commit int) float64 {
	p := 1.0
	for i := range broken {
		if broken[i] {
			p *= 1 - 0.7/math.Abs(float64(i-commit))
		}
	}
	return p
}

// likely are the hypotheses that are worth a thought, the most probable first.
func (b *belief) likely() []hypothesis {
	const enough, most = 0.999, 64
	sum := 0.0
	for i := range b.found {
		sum += b.found[i].p
		if sum > enough || i+1 == most {
			return b.found[:i+1]
		}
	}
	return b.found
}

// A normal is a part of a mixture of normal distributions.
type normal struct{ p, mean, sd float64 }

// A mixture is a mixture of normal distributions.
type mixture []normal

// add adds a part, or its probability to one from which it differs by less than near in mean and
// standard deviation: many hypotheses say the same of one commit.
func (m *mixture) add(p, mean, sd, near float64) {
	if p <= 0 {
		return
	}
	for i := range *m {
		if n := &(*m)[i]; math.Abs(n.mean-mean) < near && math.Abs(n.sd-sd) < near {
			n.p += p
			return
		}
	}
	*m = append(*m, normal{p, mean, sd})
}

// information is how many bits a session of a commit is expected to tell about where the changes
// are: the entropy of what it may measure less that of what it would measure if they were known.
func (b *belief) information(likely []hypothesis, commit, rounds int) float64 {
	point, before := 0, 0.0 // the first point at or after the commit; the part of its gap up to it
	for b.points[point] < commit {
		point++
	}
	measured := b.points[point] == commit && b.measured(commit) > 0
	if !measured {
		for i := b.points[point-1] + 1; i <= commit; i++ {
			if !b.excluded[i] {
				before++
			}
		}
	}
	noise := b.sessionSD(rounds)
	var parts mixture
	add := func(p, mean, sd float64) { parts.add(p, mean, math.Hypot(sd, noise), noise/20) }
	for i := range likely {
		h := &likely[i]
		if measured {
			mean, sd := b.level(h, point)
			mean, own := b.ownLevel(commit, mean, noise)
			add(h.p, mean, math.Hypot(sd*own/layout, own))
			continue
		}
		if h.drifts {
			mean, sd := b.drifted(commit)
			add(h.p, mean, math.Hypot(sd, layout))
			continue
		}
		left, leftSD := b.level(h, point-1)
		right, rightSD := b.level(h, point)
		share := 0.0
		if contains(h.changes, point) {
			share = before / max(b.counts[point], 1)
		}
		if commit == b.points[point] {
			share = 1
		}
		add(h.p*share, right, math.Hypot(rightSD, layout))
		add(h.p*(1-share), left, math.Hypot(leftSD, layout))
	}
	return mixtureInformation(parts)
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// measured is how many sessions a commit has.
func (b *belief) measured(commit int) int {
	n := 0
	for i := range b.sessions {
		if b.sessions[i].Commit == b.same[commit] {
			n++
		}
	}
	return n
}

// ownLevel is the level of a commit's build, which its own sessions tell, where that of its segment
// is given.
func (b *belief) ownLevel(commit int, level, noise float64) (mean, sd float64) {
	sum, n := 0.0, 0.0
	for i := range b.sessions {
		if b.sessions[i].Commit == commit {
			sum, n = sum+b.centers[i], n+1
		}
	}
	if n == 0 {
		return level, layout
	}
	variance := noise * noise / n
	share := layout * layout / (layout*layout + variance)
	return level + share*(sum/n-level), math.Sqrt(share * variance)
}

// mixtureInformation is the entropy of a mixture less the mean entropy of its parts, in bits.
func mixtureInformation(parts []normal) float64 {
	const steps = 48
	lo, hi, total, parted := math.Inf(1), math.Inf(-1), 0.0, 0.0
	for _, n := range parts {
		lo, hi, total = min(lo, n.mean-4*n.sd), max(hi, n.mean+4*n.sd), total+n.p
		parted += n.p * math.Log2(n.sd*math.Sqrt(2*math.Pi*math.E))
	}
	width := (hi - lo) / steps
	whole := 0.0
	for i := range steps {
		y, density := lo+(float64(i)+0.5)*width, 0.0
		for _, n := range parts {
			if z := (y - n.mean) / n.sd; z*z < 32 {
				density += n.p / total / n.sd * math.Exp(-z*z/2)
			}
		}
		if density /= math.Sqrt(2 * math.Pi); density > 0 {
			whole -= width * density * math.Log2(density)
		}
	}
	return max(whole-parted/total, 0)
}
