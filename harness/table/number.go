package table

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/stats"
)

// Three prints three significant digits without an exponent.
func Three(f float64) string {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(f))))
	s := strconv.FormatFloat(f, 'f', max(digits, 0), 64)
	if digits == 3 && len(strings.TrimLeft(s, "0.")) > 3 { // 0.9996 -> 1.000
		s = s[:len(s)-1]
	}
	return s
}

// Duration prints a time with three significant digits and the unit that suits it: "never" for
// stats.Never, "–" for a time below 0, which is one that was not measured.
func Duration(d time.Duration) string {
	switch {
	case d == stats.Never:
		return "never"
	case d < 0:
		return "–"
	case d == 0:
		return "0"
	case d < 999_500*time.Nanosecond: // what rounds to 1000 µs is 1.00 ms
		return Three(float64(d)/1e3) + " µs"
	case d < 999_500*time.Microsecond:
		return Three(float64(d)/1e6) + " ms"
	}
	return Three(d.Seconds()) + " s"
}

// Percent prints a ratio: 0 %, 0.4 %, 97.3 %, 100 %.
func Percent(r float64) string {
	switch p := 100 * r; {
	case math.IsNaN(p):
		return "–"
	case p == 0 || p >= 99.95:
		return fmt.Sprintf("%.0f %%", p)
	case p < 0.05:
		return "< 0.1 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

// Rate prints a rate with three significant digits, and no decimals from 100 on.
func Rate(f float64) string {
	if f == 0 {
		return "0"
	}
	if f < 100 {
		return Three(f)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// Count prints a number of things.
func Count(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

// Bytes prints a size in binary units.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n), -1
	for ; f >= unit && i < 4; i++ {
		f /= unit
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}
