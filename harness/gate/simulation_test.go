package gate_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"loadstone/harness/gate"
)

var simulate = flag.Int("simulate", 0,
	"pairs of each row of the simulation, whose whole table is printed; 0 is a quick part of it")

// A simulated measurement of a server: five scenarios of four units each, or one benchmark, with so
// many runs a side. Runs differ by a log-normal 3 %, of p95 and p99 more, and one in ten takes 40 %
// longer, as on a machine with neighbours.
type simulated struct {
	cells int     // 20, or 1
	shift float64 // by which the head is slower
	drift float64 // standard deviation of the speed from session to session, common to all its runs
	// interleaved sides are of one session
	interleaved bool
	floor       int // sessions of the noise floor; 0: there is none
}

const simulatedRuns = 10

// noisy is a run's time or, upside down, its rate.
func noisy(rng *rand.Rand, sd float64) float64 {
	v := math.Exp(sd * rng.NormFloat64())
	if rng.Float64() < 0.1 {
		v *= 1.4
	}
	return v
}

var simulatedUnits = []struct {
	name, better string
	value, noise float64
}{
	{"p50-ttft-ns", "lower", 20e6, 0.03}, {"p95-e2e-ns", "lower", 60e6, 0.045},
	{"p99-e2e-ns", "lower", 90e6, 0.06}, {"tok/s", "higher", 800, 0.03},
}

// A sitting is a session of a simulated machine, whose times are all so much longer.
type sitting struct {
	name  string
	times float64
}

func (s *simulated) sitting(rng *rand.Rand, name string) sitting {
	return sitting{name, math.Exp(s.drift * rng.NormFloat64())}
}

// measure is a file of one side.
func (s *simulated) measure(rng *rand.Rand, in sitting, slower float64) string {
	var b strings.Builder
	if in.name != "" {
		fmt.Fprintf(&b, "Session id=%q start=\"2026-11-%02dT08:00:00Z\"\n", in.name,
			1+len(in.name)%28)
	}
	if s.cells == 1 {
		b.WriteString("Unit p50-ttft-ns better=lower\n")
		for range simulatedRuns {
			fmt.Fprintf(&b, "BenchmarkServe/scenario=a 100 %.0f p50-ttft-ns\n",
				20e6*in.times*(1+slower)*noisy(rng, 0.03))
		}
		return b.String()
	}
	for _, u := range simulatedUnits {
		fmt.Fprintf(&b, "Unit %s better=%s\n", u.name, u.better)
	}
	for _, scenario := range []string{"a", "b", "c", "d", "e"} {
		for range simulatedRuns {
			fmt.Fprintf(&b, "BenchmarkServe/scenario=%s 1", scenario)
			for _, u := range simulatedUnits {
				v := in.times * (1 + slower) * noisy(rng, u.noise)
				if u.better == "higher" {
					v = 1 / v
				}
				fmt.Fprintf(&b, " %.6g %s", u.value*v, u.name)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// noiseFloor is one of several sessions, each of which measured the same server twice.
func (s *simulated) noiseFloor(rng *rand.Rand) gate.File {
	if s.floor == 0 {
		return gate.File{}
	}
	var b strings.Builder
	for i := range s.floor {
		in := s.sitting(rng, "")
		for _, side := range []string{"base", "head"} {
			fmt.Fprintf(&b, "side: %s\nsession: %d\n%s", side, i+1, s.measure(rng, in, 0))
		}
	}
	return textFile("floor", b.String())
}

func textFile(name, text string) gate.File {
	return gate.File{Name: name, Reader: strings.NewReader(text)}
}

// rates are in how many pairs of a hundred the gate finds the head worse, and cannot decide.
func (s *simulated) rates(t *testing.T, pairs int) (worse, undecided float64) {
	for i := range pairs {
		rng := rand.New(rand.NewPCG(uint64(i), math.Float64bits(1+s.shift+100*s.drift)))
		base := s.sitting(rng, "base")
		head := base
		if !s.interleaved {
			head = s.sitting(rng, "head")
		}
		c, err := gate.Compare(textFile("base", s.measure(rng, base, 0)),
			textFile("head", s.measure(rng, head, s.shift)),
			gate.Options{Noise: s.noiseFloor(rng)})
		if err != nil {
			t.Fatal(err)
		}
		var regression *gate.Regression
		var apart *gate.ApartError
		switch err := c.Decide(); {
		case errors.As(err, &regression):
			worse++
		case errors.As(err, &apart):
			undecided++
		case err != nil:
			t.Fatal(err)
		}
	}
	return 100 * worse / float64(pairs), 100 * undecided / float64(pairs)
}

// The simulation: how often the gate finds the same server worse, and one that is slower. It is the
// table of the package's documentation, whole with -simulate 200.
func TestSimulation(t *testing.T) {
	rows := []struct {
		simulated
		quick bool
		// what must hold, in percent: at most, and at least
		most, least float64
	}{
		// In turns: the same server, and slower ones.
		{simulated{cells: 1, interleaved: true, drift: 0.08}, true, 5, 0},
		{simulated{cells: 20, interleaved: true, drift: 0.08}, true, 5, 0},
		{simulated{cells: 1, shift: 0.05, interleaved: true, drift: 0.08}, false, 100, 0},
		{simulated{cells: 1, shift: 0.10, interleaved: true, drift: 0.08}, true, 100, 93},
		{simulated{cells: 20, shift: 0.05, interleaved: true, drift: 0.08}, false, 100, 80},
		{simulated{cells: 20, shift: 0.10, interleaved: true, drift: 0.08}, true, 100, 93},
		// Apart, without a floor.
		{simulated{cells: 1, drift: 0.08}, false, 5, 0},
		{simulated{cells: 20, drift: 0.03}, false, 5, 0},
		{simulated{cells: 20, drift: 0.08}, true, 5, 0},
		{simulated{cells: 20, shift: 0.10, drift: 0.08}, false, 100, 0},
		{simulated{cells: 20, shift: 0.20, drift: 0.08}, false, 100, 0},
		{simulated{cells: 20, shift: 0.50, drift: 0.08}, false, 100, 80},
		// Apart, with a floor of several sessions.
		{simulated{cells: 20, drift: 0.08, floor: 3}, false, 5, 0},
		{simulated{cells: 20, drift: 0.08, floor: 5}, false, 5, 0},
		{simulated{cells: 20, drift: 0.08, floor: 8}, true, 5, 0},
		{simulated{cells: 20, drift: 0.03, floor: 8}, false, 5, 0},
		{simulated{cells: 20, shift: 0.10, drift: 0.08, floor: 8}, false, 100, 0},
		{simulated{cells: 20, shift: 0.20, drift: 0.08, floor: 8}, false, 100, 0},
		{simulated{cells: 20, shift: 0.50, drift: 0.08, floor: 8}, false, 100, 80},
		{simulated{cells: 20, shift: 0.10, drift: 0.03, floor: 8}, false, 100, 0},
		{simulated{cells: 20, shift: 0.20, drift: 0.03, floor: 8}, false, 100, 80},
	}
	const line = "%6s  %5s  %5s  %8s  %8s  %7s  %9s\n"
	if *simulate > 0 {
		fmt.Printf(line, "head", "drift", "cells", "sides", "floor of", "worse", "undecided")
	}
	for _, row := range rows {
		pairs := *simulate
		if pairs == 0 && !row.quick {
			continue
		}
		// Of 40 pairs, chance alone finds 5 worse where 5 of 100 are.
		most, least := row.most, row.least
		if pairs == 0 {
			pairs, most, least = 40, row.most+7.5, row.least-7.5
		}
		worse, undecided := row.rates(t, pairs)
		if worse > most || worse < least {
			t.Errorf("%+v: worse in %.1f %%, want %.1f to %.1f %%", row.simulated, worse, least, most)
		}
		sides := "apart"
		if row.interleaved {
			sides = "in turns"
		}
		if *simulate > 0 {
			fmt.Printf(line, fmt.Sprintf("+%g %%", 100*row.shift),
				fmt.Sprintf("%g %%", 100*row.drift), fmt.Sprint(row.cells), sides,
				fmt.Sprint(row.floor), fmt.Sprintf("%.1f %%", worse),
				fmt.Sprintf("%.1f %%", undecided))
		}
	}
}
