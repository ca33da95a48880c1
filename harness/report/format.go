package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// figures are what the templates of the document and of the page print alike.
var figures = map[string]any{
	"q":        quantile,
	"rate":     rate,
	"tokrate":  tokenRate,
	"percent":  percent,
	"duration": duration,
	"hitrate":  hitRate,
	"goodput":  goodput,
	"pool":     poolPeak,
	"failures": failures,
	"outcome":  outcome,
	"tokens":   tokens,
}

// never is what a percentile is when the requests it falls on failed.
const never = stats.Never

// duration prints d with three significant digits and the unit that suits it; "never" where a failure stands.
func duration(d time.Duration) string {
	switch {
	case d == never:
		return "never"
	case d < 0:
		return "–"
	case d == 0:
		return "0"
	case d < 999_500*time.Nanosecond: // what rounds to 1000 µs is 1.00 ms
		return table.Three(float64(d)/1e3) + " µs"
	case d < 999_500*time.Microsecond:
		return table.Three(float64(d)/1e6) + " ms"
	}
	return table.Three(d.Seconds()) + " s"
}

// quantile prints one percentile of a distribution: "–" when nothing was measured, and how many values are wanted where
// they are too few to bound it.
func quantile(d stats.Dist, q float64) string {
	switch {
	case d.N == 0:
		return "–"
	case !stats.Supports(d.N, q):
		return fmt.Sprintf("n<%d", stats.Wanted(q))
	}
	return duration(d.At(q))
}

// interval prints where a percentile lies with 95 % confidence, "" where the sample is too small to say.
func interval(d stats.Dist, q float64) string {
	ci, ok := d.Interval(q)
	if !ok {
		return ""
	}
	lo, hi := duration(ci.Lo), duration(ci.Hi)
	if number, unit, ok := strings.Cut(lo, " "); ok && strings.HasSuffix(hi, " "+unit) {
		lo = number
	}
	return lo + "–" + hi
}

// bounded prints a percentile with its interval.
func bounded(d stats.Dist, q float64) string {
	if ci := interval(d, q); ci != "" {
		return quantile(d, q) + " (" + ci + ")"
	}
	return quantile(d, q)
}

// percent prints a ratio: 0 %, 0.4 %, 97.3 %, 100 %.
func percent(r float64) string {
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

// rate prints a rate with at most one decimal.
func rate(f float64) string {
	if f == 0 {
		return "0"
	}
	if f < 100 {
		return table.Three(f)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// tokenRate prints the tokens of a second: ~ where pieces stand for them, "–" where there are neither.
func tokenRate(s record.Summary) string {
	switch {
	case s.OutputTokens+s.Pieces == 0:
		return "–"
	case s.Pieces > 0:
		return "~" + rate(s.TokensPerSec)
	}
	return rate(s.TokensPerSec)
}

// byteSize prints a size in binary units.
func byteSize(n int64) string {
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

// list joins words as prose does: "a", "a and b", "a, b and c".
func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// Plural prints "1 request", "2 requests".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
