package bisect

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// forecast is how much longer the search would take in half of all cases. It continues the search
// in simulation, on histories that the belief holds for likely; 0 where most of them end nowhere.
func (u *search) forecast() time.Duration {
	const tries, longest = 11, 80
	rng := rand.New(rand.NewPCG(1, uint64(len(u.sessions))))
	var took []float64
	for range tries {
		v := u.copy()
		truth := u.draw(rng)
		spent := 0.0
		for range longest {
			next, ok := v.next()
			if !ok || v.ending() != BudgetSpent {
				break
			}
			spent += v.cost().of(v.built[next.commit])
			v.built[next.commit] = true
			v.add(Session{next.commit, truth.session(rng, next.commit, u)})
		}
		if v.ending() == BudgetSpent {
			spent = math.Inf(1)
		}
		took = append(took, spent)
	}
	slices.Sort(took)
	half := took[tries/2]
	if math.IsInf(half, 1) {
		return 0
	}
	return time.Duration(half * float64(time.Second))
}

func (u *search) copy() *search {
	v := *u
	v.belief = u.belief.clone()
	v.built = slices.Clone(u.built)
	return &v
}

// A truth is levels of all commits.
type truth []float64

// draw draws the levels of all commits from the belief.
func (u *search) draw(rng *rand.Rand) truth {
	at := rng.Float64()
	h := &u.found[0]
	for i := range u.found {
		h = &u.found[i]
		if at -= h.p; at < 0 {
			break
		}
	}
	all := make(truth, u.n)
	if h.drifts {
		mean, sd := u.drifted(u.n - 1)
		end := mean + sd*rng.NormFloat64()
		for i := range all {
			all[i] = end * u.shares[i]
		}
	} else {
		u.drawChanges(rng, h, all)
	}
	noise := u.sessionSD(u.Rounds)
	for i := 1; i < u.n; i++ {
		own, sd := u.ownLevel(i, all[i], noise)
		all[i] = own + sd*rng.NormFloat64()
	}
	return all
}

// drawChanges draws levels that change as a hypothesis says.
func (u *search) drawChanges(rng *rand.Rand, h *hypothesis, all truth) {
	level := 0.0
	for j := 1; j < len(u.points); j++ {
		from, to := u.points[j-1]+1, u.points[j]
		begins := to + 1 // of the new level
		if slices.Contains(h.changes, j) {
			var open []int
			for i := from; i <= to; i++ {
				if !u.excluded[i] {
					open = append(open, i)
				}
			}
			begins = open[rng.IntN(len(open))]
		}
		mean, sd := u.level(h, j)
		next := level
		if begins <= to {
			next = mean + sd*rng.NormFloat64()
		}
		for i := from; i <= to; i++ {
			all[i] = level
			if i >= begins {
				all[i] = next
			}
		}
		level = next
	}
}

// session draws a session of a commit.
func (t truth) session(rng *rand.Rand, commit int, u *search) []float64 {
	between := 0.0
	for i, p := range u.noise {
		between += p * sessionNoise[i].sd
	}
	level := t[commit] + between*rng.NormFloat64()
	scale := u.within / 1.2 // whose differences have the same median as a normal distribution's
	ratios := make([]float64, max(u.Rounds, 1))
	for i := range ratios {
		// Student's t with three degrees of freedom.
		square := 0.0
		for range 3 {
			z := rng.NormFloat64()
			square += z * z
		}
		ratios[i] = level + scale*rng.NormFloat64()/math.Sqrt(square/3)
	}
	return ratios
}
