package gate

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/perf/benchunit"

	"loadstone/harness/figure"
)

// rule is how a unit of benchmark lines is judged. A unit that is not one of bench's figures is
// gated rather than forgotten, with a cautious rule.
func rule(unit string) figure.Rule {
	if f, ok := figure.Find(short(unit)); ok && f.Bench {
		return f.Rule
	}
	return figure.Rule{Gated: true, Points: strings.HasSuffix(unit, "-ratio"), Effect: 0.05}
}

// short is a unit as people write it, p99-e2e for p99-e2e-ns and p99-e2e-sec. Of a figure it is the
// name of today.
func short(unit string) string {
	_, unit = benchunit.Tidy(1, unit)
	unit = strings.TrimSuffix(unit, "-sec")
	if f, ok := figure.Find(unit); ok {
		return f.Name
	}
	return unit
}

// ParseEffects reads the smallest changes that matter, such as "p50-ttft=3%,tok/s=10%".
func ParseEffects(s string) (map[string]float64, error) {
	effects := map[string]float64{}
	if s == "" {
		return effects, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		unit, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		f, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if !ok || unit == "" || err != nil || !strings.HasSuffix(value, "%") ||
			!(f >= 0 && f < 1e4) {
			return nil, fmt.Errorf("%q is not an effect; want one like p50-ttft=5%%", part)
		}
		effects[short(unit)] = f / 100
	}
	return effects, nil
}
