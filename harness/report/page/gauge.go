package page

import (
	"fmt"
	"math"

	"loadstone/harness/report"
)

// A gaugePair is a result's cache hit rate and pool peak as two half circles, with a mark at the
// target and at the limit.
type gaugePair struct {
	Index    int
	Scenario string
	Hit      gauge
	Pool     gauge
}

type gauge struct {
	Known        bool
	Value        string
	Arc          string // path of the filled part
	MarkX, MarkY [2]float64
	Mark         string // what the mark is
}

func newGaugePair(i int, s *report.Result, poolLimit float64) gaugePair {
	const hits = report.TargetHitRatio
	return gaugePair{i, s.Name(),
		newGauge(s.Pooled.HitRatio, hits, report.HitRatio(s.Pooled),
			fmt.Sprintf("target %.0f %%", 100*hits)),
		newGauge(s.Pooled.PeakPool, poolLimit, report.PeakPool(s.Pooled),
			fmt.Sprintf("work is refused above %.0f %%", 100*poolLimit))}
}

// newGauge draws on a half circle of radius 40 around (50, 50). A ratio below 0 is unknown.
func newGauge(ratio, mark float64, value, meaning string) gauge {
	const radius = 40
	at := func(part, radius float64) (x, y float64) {
		angle := math.Pi * (1 - part)
		return px(50 + radius*math.Cos(angle)), px(50 - radius*math.Sin(angle))
	}
	g := gauge{Known: ratio >= 0, Value: value, Mark: meaning}
	g.MarkX[0], g.MarkY[0] = at(mark, radius-8)
	g.MarkX[1], g.MarkY[1] = at(mark, radius+8)
	if x, y := at(min(max(ratio, 0), 1), radius); g.Known && ratio > 0.002 {
		g.Arc = fmt.Sprintf("M10 50A40 40 0 0 1 %g %g", x, y)
	}
	return g
}
