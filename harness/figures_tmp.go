package harness

import "loadstone/harness/record"

type tmpFigure struct {
	Unit, Better string
	Of           func(*record.Summary) (float64, bool)
}

func figures() []tmpFigure {
	return []tmpFigure{
		{"p50-ttft-ns", "lower", func(s *record.Summary) (float64, bool) { return float64(s.TTFT.P50), s.TTFT.N > 0 }},
		{"p50-e2e-ns", "lower", func(s *record.Summary) (float64, bool) { return float64(s.E2E.P50), s.E2E.N > 0 }},
		{"p99-e2e-ns", "lower", func(s *record.Summary) (float64, bool) { return float64(s.E2E.P99), s.E2E.N > 0 }},
		{"tok/s", "higher", func(s *record.Summary) (float64, bool) { return s.TokensPerSec, true }},
	}
}
