package report

import (
	"fmt"
	"strings"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// Funcs are what the templates of the document and of the page print alike.
var Funcs = map[string]any{
	"q":        Quantile,
	"ci":       Interval,
	"rate":     table.Rate,
	"three":    table.Three,
	"ratio":    Ratio,
	"tokrate":  tokenRate,
	"percent":  table.Percent,
	"duration": table.Duration,
	"hits":     HitRatio,
	"goodput":  Goodput,
	"pool":     PeakPool,
	"outcome":  func(s record.Summary, o record.Outcome) int { return s.Outcomes[o] },
	"tokens":   tokens,
}

// Quantile prints one percentile of a distribution: "–" where nothing was measured, and how many
// values are wanted where they are too few to bound it.
func Quantile(d stats.Dist, q float64) string {
	switch {
	case d.N == 0:
		return "–"
	case !stats.Supports(d.N, q):
		return fmt.Sprintf("n<%d", stats.Wanted(q))
	}
	return table.Duration(d.At(q))
}

// Interval prints where a percentile lies with 95 % confidence, "" where the sample is too small to
// say.
func Interval(d stats.Dist, q float64) string {
	ci, ok := d.Interval(q)
	if !ok {
		return ""
	}
	lo, hi := table.Duration(ci.Lo), table.Duration(ci.Hi)
	if number, unit, ok := strings.Cut(lo, " "); ok && strings.HasSuffix(hi, " "+unit) {
		lo = number
	}
	return lo + "–" + hi
}

// bounded prints a percentile with its interval.
func bounded(d stats.Dist, q float64) string {
	if ci := Interval(d, q); ci != "" {
		return Quantile(d, q) + " (" + ci + ")"
	}
	return Quantile(d, q)
}

// Ratio is a ratio as people read it, "–" where it is not known.
func Ratio(r float64) string {
	if r < 0 {
		return "–"
	}
	return table.Percent(r)
}

// tokenRate prints the tokens of a second: with ~ where pieces stand for them, "–" where there are
// neither, and 0 where nothing was answered.
func tokenRate(s record.Summary) string {
	switch {
	case s.Requests > 0 && s.Outcomes[record.OK] == 0:
		return "0"
	case s.OutputTokens+s.Pieces == 0:
		return "–"
	case s.Pieces > 0:
		return "~" + table.Rate(s.TokensPerSec)
	}
	return table.Rate(s.TokensPerSec)
}

// HitRatio prints the share of prompt tokens that were cached, "–" where it is not known.
func HitRatio(s record.Summary) string {
	if s.HitRatio < 0 {
		return "–"
	}
	return table.Percent(s.HitRatio)
}

// Goodput prints the good answers of a second and their share of the requests, "–" where none was
// judged.
func Goodput(s record.Summary) string {
	if s.Judged == 0 {
		return "–"
	}
	return table.Rate(s.Goodput) + "/s, " + table.Percent(s.GoodRatio)
}

// PeakPool prints the highest utilisation of the pool, "–" where it is not known.
func PeakPool(s record.Summary) string {
	if s.PeakPool < 0 {
		return "–"
	}
	return table.Percent(s.PeakPool)
}

func tokens(n int) string {
	if n <= 0 {
		return "–"
	}
	return table.Plural(n, "token")
}

// OrUnknown is a text, or "unknown" for an empty one.
func OrUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func bytesIfKnown(n int64) string {
	if n <= 0 {
		return ""
	}
	return table.Bytes(n)
}
