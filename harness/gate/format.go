package gate

import (
	"fmt"
	"math"
	"strings"

	"loadstone/harness/table"
)

// format prints a value of a tidied unit.
func format(v float64, unit string) string {
	switch {
	case math.IsInf(v, 1):
		return "never"
	case math.IsInf(v, -1):
		return "-∞"
	case strings.HasSuffix(unit, "-ratio"):
		return percent(v)
	case !strings.HasSuffix(unit, "-sec") && unit != "sec/op":
		return table.Three(v)
	case v == 0:
		return "0"
	case math.Abs(v) < 999.5e-6:
		return table.Three(v*1e6) + " µs"
	case math.Abs(v) < 0.9995:
		return table.Three(v*1e3) + " ms"
	}
	return table.Three(v) + " s"
}

// delta prints a change: +20.1 %, or -2.0 pp for percentage points.
func delta(d float64, points bool) string {
	unit := " %"
	if points {
		unit = " pp"
	}
	if math.IsInf(d, 0) {
		return map[bool]string{true: "+∞", false: "-∞"}[d > 0]
	}
	return fmt.Sprintf("%+.1f%s", 100*d, unit)
}

func percent(f float64) string { return fmt.Sprintf("%.3g %%", 100*f) }

func probability(p float64) string {
	if p < 0.0005 {
		return "< 0.001"
	}
	return fmt.Sprintf("%.3f", p)
}
