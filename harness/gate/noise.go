package gate

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchfmt"
)

// WriteNoise joins the two sides of an A/A measurement, the same server measured twice, into one
// file, each result with the configuration key side. The runs themselves are kept, not percentiles
// of them: how much noise is to be expected depends on how many runs a gate compares.
func WriteNoise(w io.Writer, base, head File) error {
	if _, err := fmt.Fprintf(w,
		"# A/A measurement: the same server measured twice, in turns\n"); err != nil {
		return err
	}
	out := benchfmt.NewWriter(w)
	written := map[benchfmt.UnitMetadataKey]bool{}
	var in benchfmt.Reader
	for _, side := range []input{{baseSide, base}, {headSide, head}} {
		in.Reset(side.Reader, side.Name)
		for in.Scan() {
			record := in.Result()
			switch r := record.(type) {
			case *benchfmt.UnitMetadata:
				if written[r.UnitMetadataKey] {
					continue
				}
				written[r.UnitMetadataKey] = true
			case *benchfmt.Result:
				r = r.Clone() // the reader goes on with its own
				r.SetConfig(sideKey, side.side)
				for i := range r.Config {
					r.Config[i].File = true
				}
				record = r
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
		if err := in.Err(); err != nil {
			return fmt.Errorf("%s: %w", side.Name, err)
		}
	}
	return nil
}

// noise is the noise floor of a cell: the 95th percentile of the change between two sides of n runs
// that are the same server, false where there are too few runs to tell.
//
// base and head are an A/A measurement's runs in the order of its rounds. The sides of a round are
// exchangeable, so each window of n rounds gives many such comparisons, with their labels swapped
// at random. Rounds stay whole, because the machine's drift between rounds is noise as well, which
// swapping all runs would leave out.
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
