package harness

import (
	"context"
	"math"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// search looks for the highest level at which every limit holds. From the lowest it goes up in
// doublings, so that the server is never asked for much more than it can bear, and then halves the
// distance, in proportion, until that is small enough.
func (m *measurement) search(ctx context.Context) (load.Level, error) {
	s := m.plan.Search
	holds, err := m.probe(ctx, s.Low)
	if err != nil || !holds {
		return load.Level{}, err
	}
	low, high := s.Low, s.High
	for holds && low < s.High {
		high = whole(s, min(2*low, s.High))
		if holds, err = m.probe(ctx, high); err != nil {
			return levelOf(s, low), err
		}
		if holds {
			low = high
		}
	}
	for high/low > 1+s.Within {
		middle := whole(s, math.Sqrt(low*high))
		if middle <= low || middle >= high {
			break
		}
		if holds, err = m.probe(ctx, middle); err != nil {
			break
		}
		if holds {
			low = middle
		} else {
			high = middle
		}
	}
	return levelOf(s, low), err
}

// probe makes the runs of one level and reports whether, taken together, they hold every limit.
func (m *measurement) probe(ctx context.Context, v float64) (bool, error) {
	begin := len(m.runs)
	for i := range m.plan.Runs {
		if err := m.run(ctx, m.plan.Loads[0], levelOf(m.plan.Search, v), i); err != nil {
			return false, err
		}
	}
	if begin == len(m.runs) {
		return false, m.checkMeasured()
	}
	s := record.Pool(m.runs[begin:])
	for _, l := range m.plan.Search.Limits {
		// What too few requests leave open sends the search on up; it is open as well of the level
		// that is found.
		if stands := l.Judge(&s).Standing; stands != limit.Met && stands != limit.NotShown {
			return false, nil
		}
	}
	return true, nil
}

func levelOf(s *scenario.Search, v float64) load.Level { return load.Level{Kind: s.Kind, Value: v} }

// whole is v as a level can be: there is no half agent.
func whole(s *scenario.Search, v float64) float64 {
	if s.Kind == "concurrency" {
		return math.Floor(v)
	}
	return v
}

// probes is how many levels the search looks at at most.
func probes(s *scenario.Search) int {
	doublings := math.Ceil(math.Log2(s.High / s.Low))
	halvings := math.Ceil(math.Log2(math.Ln2 / math.Log1p(s.Within)))
	return 1 + int(doublings) + max(0, int(halvings))
}
