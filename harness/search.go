package harness

import (
	"context"
	"math"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Search looks for the highest level at which every limit holds.
type Search struct {
	Kind      string // "rate" or "concurrency"
	Low, High float64
	Within    float64 // stops when the highest that holds and the lowest that does not are so near: 0.05 is 5 %
	Limits    []limit.Limit
}

// search looks for the highest level that holds. From the lowest it goes up in doublings, so that the server is never asked
// for much more than it can bear, and then halves the distance, in proportion, until that is small enough.
func (r *loadRunner) search(ctx context.Context) (load.Level, error) {
	s := r.plan.Search
	holds, err := r.probe(ctx, s.Low)
	if err != nil || !holds {
		return load.Level{}, err
	}
	low, high := s.Low, s.High
	for holds && low < s.High {
		high = s.whole(min(2*low, s.High))
		if holds, err = r.probe(ctx, high); err != nil {
			return s.level(low), err
		}
		if holds {
			low = high
		}
	}
	for middle := s.whole(math.Sqrt(low * high)); high/low > 1+s.Within && middle > low && middle < high; middle = s.whole(math.Sqrt(low * high)) {
		if holds, err = r.probe(ctx, middle); err != nil {
			break
		}
		if holds {
			low = middle
		} else {
			high = middle
		}
	}
	return s.level(low), err
}

// probe makes the runs of one level and tells whether, taken together, they hold every limit.
func (r *loadRunner) probe(ctx context.Context, v float64) (bool, error) {
	begin := len(r.runs)
	for i := range r.plan.Runs {
		if err := r.run(ctx, r.plan.Search.level(v), i); err != nil {
			return false, err
		}
	}
	if begin == len(r.runs) {
		return false, nil // not one request was measured
	}
	s := record.Pool(r.runs[begin:])
	for _, l := range r.plan.Search.Limits {
		// What too few requests leave open sends the search on up; it is open as well of the level that is found.
		if stands := l.Judge(&s).Standing; stands != limit.Met && stands != limit.NotShown {
			return false, nil
		}
	}
	return true, nil
}

func (s *Search) level(v float64) load.Level { return load.Level{Kind: s.Kind, Value: v} }

// whole is v as a level can be: half an agent is none.
func (s *Search) whole(v float64) float64 {
	if s.Kind == "concurrency" {
		return math.Floor(v)
	}
	return v
}

// probes is how many levels the search looks at at most.
func (s *Search) probes() int {
	doublings := math.Ceil(math.Log2(s.High / s.Low))
	halvings := math.Ceil(math.Log2(math.Ln2 / math.Log1p(s.Within)))
	return 1 + int(doublings) + max(0, int(halvings))
}
