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

// A Series is what of the windows is tested for a trend.
type Series struct {
	Name  string // such as memory
	About string
	Worse int // 1: a rise is worse; -1: a fall is

	// The change over the whole time that matters: a share of the level, but no less than Least in
	// the series' own unit.
	Share, Least float64

	of func(*Window) (v float64, known bool)
	// without is of without what may grow for a reason that ends: where the series has a trend and
	// without has none, the series is Filling. nil: there is no such reason.
	without func(*Window) (v float64, known bool)
	format  func(v float64) string
}

// held reads what the server held of a kind.
func held(kind metrics.Held) func(*Window) (float64, bool) {
	return func(w *Window) (float64, bool) {
		v, ok := w.Held[kind]
		return v, ok
	}
}

// besidePool is the memory beside what the KV pool holds. A pool that fills up for the first time
// makes a server grow by pages that it has been given and had not touched, until it is full.
func besidePool(w *Window) (float64, bool) {
	memory, known := w.Held[metrics.Memory]
	content, told := w.Held[metrics.PoolContent]
	return memory - content, known && told
}

// All are the series, in the order in which they are shown.
var All = []Series{
	{Name: "hit ratio", About: "prompt tokens from the cache, of all", Worse: -1, Least: 0.01,
		of:     func(w *Window) (float64, bool) { return w.HitRatio, w.HitRatio >= 0 },
		format: table.Percent},
	{Name: "first token", About: "median time from due to first token", Worse: 1, Share: 0.1,
		Least: 0.002,
		of:    func(w *Window) (float64, bool) { return w.TTFT.Seconds(), w.TTFT >= 0 },
		format: func(v float64) string {
			return table.Duration(time.Duration(v * float64(time.Second)))
		}},
	{Name: "memory", About: "resident, the least in a window", Worse: 1, Share: 0.02, Least: 8 << 20,
		of: held(metrics.Memory), without: besidePool, format: bytes},
	{Name: "open files", About: "the least in a window", Worse: 1, Least: 3,
		of: held(metrics.OpenFiles), format: count},
	{Name: "goroutines", About: "the least in a window", Worse: 1, Least: 5,
		of: held(metrics.Goroutines), format: count},
	{Name: "disk", About: "agents' memories on disk, the least in a window", Worse: 1, Share: 0.02,
		Least: 16 << 20, of: held(metrics.Disk), format: bytes},
}

// bytes prints a size, of a difference as well.
func bytes(v float64) string { return table.Bytes(int64(v)) }

func count(v float64) string { return fmt.Sprintf("%.3g", v) }

// Value is the series' value in a window, false where it was not seen.
func (s *Series) Value(w *Window) (v float64, known bool) { return s.of(w) }

// Format is a value of the series, or a difference of two, as people read it.
func (s *Series) Format(v float64) string {
	if v < 0 {
		return "-" + s.format(-v)
	}
	return s.format(v)
}

// A Standing is what became of a series.
type Standing string

// The standings.
const (
	Steady   Standing = "no trend"
	Better   Standing = "better" // a trend to the better
	Worse    Standing = "trend"  // a trend to the worse
	Settled  Standing = "settled"
	Filling  Standing = "filling"   // it rises as the KV pool fills up, and by no more
	TooShort Standing = "too short" // fewer windows than a trend can be told from
	Unknown  Standing = "not known" // the server does not tell
)

// A Verdict is what became of one series. Its trend is by the hour.
type Verdict struct {
	Series   *Series     `json:"-"`
	Name     string      `json:"name"`
	Standing Standing    `json:"standing"`
	Trend    stats.Trend `json:"trend"`
	Matters  float64     `json:"matters"` // the smallest change that matters
}

const (
	alarm      = 0.01 // of all series together
	minWindows = 10   // fewer have no trend that the test could find beyond doubt
	warmUp     = 0.2  // part of a server's life, at its beginning, that is not judged
)

// Judge tests the windows for trends. The first fifth of each of the server's lives is left out:
// caches fill there, and a process that starts has less than one that has run for a while.
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
		if len(seen) == 0 {
			continue
		}
		v.Trend = stats.FindTrend(seen)
		v.Matters = max(s.Least, s.Share*math.Abs(v.Trend.Level))
		if v.Standing = TooShort; v.Trend.N >= minWindows {
			v.Standing = Steady
			tested = append(tested, candidate{v.Trend.P, v})
		}
	}
	slices.SortStableFunc(tested, func(a, b candidate) int { return cmp.Compare(a.p, b.p) })
	for i, c := range tested { // Holm: the first that is not significant ends it
		if c.p > alarm/float64(len(tested)-i) {
			break
		}
		c.v.Standing = c.v.standing(lives)
	}
	return all
}

// standing is that of a series whose trend is significant.
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

// judged are the windows without the beginning of each life.
func judged(windows []Window) []Window {
	ends := Judged(windows)
	return slices.DeleteFunc(slices.Clone(windows), func(w Window) bool {
		return w.Start < ends[w.Life]
	})
}

// Judged is from when on the windows of each of the server's lives are judged.
func Judged(windows []Window) map[int]time.Duration {
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

// points are what is read of some windows, by the hour.
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

// lateHalf is the later half of each part.
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

// Text says what became of the series, in a sentence without its name.
func (v *Verdict) Text() string {
	s, t := v.Series, &v.Trend
	rise := "rises"
	if t.Slope < 0 {
		rise = "falls"
	}
	slope := fmt.Sprintf("%s an hour", s.Format(math.Abs(t.Slope)))
	at := "around " + s.Format(t.Level)
	if strings.HasSuffix(s.Format(1), "%") { // a share changes by points
		slope = fmt.Sprintf("%.3g points an hour", 100*math.Abs(t.Slope))
	}
	switch v.Standing {
	case Unknown:
		return "the server does not tell"
	case TooShort:
		return fmt.Sprintf("%s; %s are too few for a trend, which takes %d", at,
			table.Plural(t.N, "window"), minWindows)
	case Steady:
		return fmt.Sprintf("no trend, %s", at)
	case Settled:
		return fmt.Sprintf("no trend that goes on: it %s early and stands still since, %s",
			map[string]string{"rises": "rose", "falls": "fell"}[rise], at)
	}
	text := fmt.Sprintf("%s by %s, %s (p = %.2g)", rise, slope, at, t.P)
	if v.Standing == Filling {
		text += ", as the KV pool fills up, and by no more than that"
	}
	return text
}
