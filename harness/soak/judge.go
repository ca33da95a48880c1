package soak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"loadstone/harness/metrics"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// A Series is a figure of the windows that is tested for a trend.
type Series struct {
	Name  string // such as memory
	About string // what the figure measures
	Worse int    // 1 if a rise is worse, -1 if a fall is

	// Share and Min give the smallest change over the whole time that matters: Share of the level,
	// but at least Min in the series' own unit.
	Share, Min float64

	of func(*Window) (v float64, known bool)
	// without is the figure without the part that grows for a time only. If the series has a trend
	// and without has none, the series is Filling. nil if there is no such part.
	without func(*Window) (v float64, known bool)
	format  func(v float64) string
}

// held returns a reader of a resource that the server held.
func held(kind metrics.Held) func(*Window) (float64, bool) {
	return func(w *Window) (float64, bool) {
		v, ok := w.Held[kind]
		return v, ok
	}
}

// besidePool returns the memory without the content of the KV pool. While a pool fills up for the
// first time, resident memory grows by the pages that the server touches for the first time.
func besidePool(w *Window) (float64, bool) {
	memory, known := w.Held[metrics.Memory]
	content, told := w.Held[metrics.PoolContent]
	return memory - content, known && told
}

// All lists the series in the order in which they are shown.
var All = []Series{
	{Name: "hit ratio", About: "share of prompt tokens from the cache", Worse: -1, Min: 0.01,
		of:     func(w *Window) (float64, bool) { return w.HitRatio, w.HitRatio >= 0 },
		format: table.Percent},
	{Name: "first token", About: "median time from due to first token", Worse: 1, Share: 0.1,
		Min: 0.002,
		of:  func(w *Window) (float64, bool) { return w.TTFT.Seconds(), w.TTFT >= 0 },
		format: func(v float64) string {
			return table.Duration(time.Duration(v * float64(time.Second)))
		}},
	{Name: "memory", About: "resident, minimum of a window", Worse: 1, Share: 0.02, Min: 8 << 20,
		of: held(metrics.Memory), without: besidePool, format: bytes},
	{Name: "open files", About: "minimum of a window", Worse: 1, Min: 3,
		of: held(metrics.OpenFiles), format: count},
	{Name: "goroutines", About: "minimum of a window", Worse: 1, Min: 5,
		of: held(metrics.Goroutines), format: count},
	{Name: "disk", About: "agents' memories on disk, minimum of a window", Worse: 1, Share: 0.02,
		Min: 16 << 20, of: held(metrics.Disk), format: bytes},
}

// bytes formats a size or a difference of sizes.
func bytes(v float64) string { return table.Bytes(int64(v)) }

func count(v float64) string { return fmt.Sprintf("%.3g", v) }

// Value returns the series' value in a window, and false if it is not known.
func (s *Series) Value(w *Window) (v float64, known bool) { return s.of(w) }

// Format formats a value of the series, or a difference of two, for people.
func (s *Series) Format(v float64) string {
	if v < 0 {
		return "-" + s.format(-v)
	}
	return s.format(v)
}

// A Standing is the outcome of the test of a series.
type Standing string

// The standings.
const (
	Steady   Standing = "no trend"
	Better   Standing = "better"    // a trend to the better
	Worse    Standing = "trend"     // a trend to the worse
	Settled  Standing = "settled"   // it changed early and has been level since
	Filling  Standing = "filling"   // it rises as the KV pool fills up, and by no more
	TooShort Standing = "too short" // there are too few judged windows for the test
	Unknown  Standing = "not known" // the server does not publish it
)

// A Verdict is the outcome of the test of one series. Its trend is per hour.
type Verdict struct {
	Series   *Series     `json:"-"`
	Name     string      `json:"name"`
	Standing Standing    `json:"standing"`
	Trend    stats.Trend `json:"trend"`
	Matters  float64     `json:"matters"` // the smallest change that matters
}

const (
	alarm      = 0.01 // probability of any false trend, for all series together
	minWindows = 10   // with fewer windows the test cannot find a significant trend
	warmUp     = 0.2  // part of a server's life, at its beginning, that is not judged
)

// Judge tests the windows for trends. It leaves out the first fifth of each of the server's lives:
// caches fill there, and a process that has just started holds less than later.
func Judge(windows []Window) []Verdict {
	lives := judged(windows)
	all := make([]Verdict, len(All))
	type candidate struct {
		p float64
		v *Verdict
	}
	var tested []candidate
	for i := range All {
		s := &All[i]
		v := &all[i]
		*v = Verdict{Series: s, Name: s.Name, Standing: Unknown}
		seen := points(lives, s.of)
		if len(seen) == 0 && len(points(windows, s.of)) == 0 {
			continue
		}
		v.Trend = stats.FindTrend(seen)
		v.Matters = max(s.Min, s.Share*math.Abs(v.Trend.Level))
		if v.Standing = TooShort; v.Trend.N >= minWindows {
			v.Standing = Steady
			tested = append(tested, candidate{v.Trend.P, v})
		}
	}
	slices.SortStableFunc(tested, func(a, b candidate) int { return cmp.Compare(a.p, b.p) })
	for i, c := range tested { // Holm's correction stops at the first that is not significant
		if c.p > alarm/float64(len(tested)-i) {
			break
		}
		c.v.Standing = c.v.standing(lives)
	}
	return all
}

// standing returns the standing of a series whose trend is significant.
func (v *Verdict) standing(lives []Window) Standing {
	all := points(lives, v.Series.of)
	if math.Abs(v.Trend.Change) < v.Matters {
		return Steady
	}
	late := stats.FindTrend(lateHalf(all))
	switch goesOn := late.Slope * v.Trend.Change; {
	case goesOn <= 0 || math.Abs(late.Slope) < math.Abs(v.Trend.Slope)/3:
		return Settled
	case v.Trend.Change*float64(v.Series.Worse) < 0:
		return Better
	case v.Series.without != nil:
		rest := points(lives, v.Series.without)
		if t := stats.FindTrend(rest); len(rest) > 0 && (t.P > alarm || t.Change < v.Matters) {
			return Filling
		}
	}
	return Worse
}

// judged returns the windows without the beginning of each life.
func judged(windows []Window) []Window {
	from := JudgedFrom(windows)
	return slices.DeleteFunc(slices.Clone(windows), func(w Window) bool {
		return w.Start < from[w.Life]
	})
}

// JudgedFrom returns, for each of the server's lives, the time from which its windows are judged.
func JudgedFrom(windows []Window) map[int]time.Duration {
	first, last := map[int]time.Duration{}, map[int]time.Duration{}
	for _, w := range windows {
		if _, ok := first[w.Life]; !ok {
			first[w.Life] = w.Start
		}
		last[w.Life] = w.End
	}
	from := map[int]time.Duration{}
	for life, begin := range first {
		from[life] = begin + time.Duration(warmUp*float64(last[life]-begin))
	}
	return from
}

// points returns a figure of the windows over time, in hours. It leaves out unknown values.
func points(windows []Window, of func(*Window) (float64, bool)) []stats.Point {
	var points []stats.Point
	for i := range windows {
		if v, known := of(&windows[i]); known {
			middle := (windows[i].Start + windows[i].End) / 2
			points = append(points, stats.Point{At: middle.Hours(), Value: v, Part: windows[i].Life})
		}
	}
	return points
}

// lateHalf returns the later half of each part.
func lateHalf(points []stats.Point) []stats.Point {
	size := map[int]int{}
	for _, p := range points {
		size[p.Part]++
	}
	seen := map[int]int{}
	return slices.DeleteFunc(slices.Clone(points), func(p stats.Point) bool {
		seen[p.Part]++
		return seen[p.Part] <= size[p.Part]/2
	})
}

// Text describes the outcome in a sentence without the series' name.
func (v *Verdict) Text() string {
	s, t := v.Series, &v.Trend
	rise := "rises"
	if t.Slope < 0 {
		rise = "falls"
	}
	slope := fmt.Sprintf("%s an hour", s.Format(math.Abs(t.Slope)))
	at := "around " + s.Format(t.Level)
	if strings.HasSuffix(s.Format(1), "%") { // a share changes by percentage points
		slope = fmt.Sprintf("%.3g points an hour", 100*math.Abs(t.Slope))
	}
	switch v.Standing {
	case Unknown:
		return "the server does not publish it"
	case TooShort:
		if t.N == 0 {
			return fmt.Sprintf("no window is judged; a trend takes %d", minWindows)
		}
		return fmt.Sprintf("%s; %s are too few for a trend, which takes %d", at,
			table.Plural(t.N, "window"), minWindows)
	case Steady:
		return fmt.Sprintf("no trend, %s", at)
	case Settled:
		return fmt.Sprintf("no lasting trend: it %s early and has been level since, %s",
			map[string]string{"rises": "rose", "falls": "fell"}[rise], at)
	}
	text := fmt.Sprintf("%s by %s, %s (p = %.2g)", rise, slope, at, t.P)
	if v.Standing == Filling {
		text += ", as the KV pool fills up, and by no more than that"
	}
	return text
}
