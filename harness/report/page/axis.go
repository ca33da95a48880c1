package page

import (
	"math"
	"strconv"
	"time"

	"loadstone/harness/stats"
)

// A logAxis maps durations to pixels, equal ratios to equal distances.
type logAxis struct {
	Lo, Hi   float64 // nanoseconds, Lo < Hi
	From, To float64 // pixels of Lo and Hi
}

// newLogAxis covers lo..hi, widened to whole steps of 1-2-5 so that the first and the last tick
// have labels.
func newLogAxis(lo, hi time.Duration, from, to float64) logAxis {
	lo = max(lo, time.Microsecond)
	hi = max(hi, 2*lo)
	a := logAxis{From: from, To: to}
	a.Lo = stepDown(float64(lo))
	a.Hi = stepUp(float64(hi))
	return a
}

// at is the pixel of a duration; one outside of the axis is at its end.
func (a logAxis) at(d time.Duration) float64 {
	v := min(max(float64(d), a.Lo), a.Hi)
	return a.From + (a.To-a.From)*math.Log(v/a.Lo)/math.Log(a.Hi/a.Lo)
}

// A tick is a labelled position on an axis.
type tick struct {
	At    float64
	Label string
}

// ticks labels every 1-2-5 step, or only the powers of ten when there are more than a dozen.
func (a logAxis) ticks() []tick {
	steps := []float64{1, 2, 5}
	if math.Log10(a.Hi/a.Lo) > 4 {
		steps = steps[:1]
	}
	var ticks []tick
	for decade := math.Pow(10, math.Floor(math.Log10(a.Lo))); decade <= a.Hi; decade *= 10 {
		for _, s := range steps {
			if v := s * decade; v >= a.Lo*0.999 && v <= a.Hi*1.001 {
				ticks = append(ticks, tick{px(a.at(time.Duration(v))),
					tickLabel(time.Duration(math.Round(v)))})
			}
		}
	}
	return ticks
}

func tickLabel(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return strconv.Itoa(int(d/time.Microsecond)) + " µs"
	case d < time.Second:
		return strconv.Itoa(int(d/time.Millisecond)) + " ms"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}

// stepDown and stepUp are the nearest 1, 2 or 5 times a power of ten below and above a value, or
// the value itself.
func stepDown(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range []float64{5, 2} {
		if v >= s*decade {
			return s * decade
		}
	}
	return decade
}

func stepUp(v float64) float64 {
	if down := stepDown(v); down < v {
		return stepDown(down * 2.5)
	}
	return v
}

// linearTicks labels 0..hi at about n round steps; at maps a value to pixels.
func linearTicks(hi float64, n int, unit string, at func(float64) float64) []tick {
	if hi <= 0 {
		return nil
	}
	step := stepUp(hi / float64(n))
	var ticks []tick
	for i := 0; float64(i)*step <= hi*1.0001; i++ {
		v := float64(i) * step
		ticks = append(ticks, tick{px(at(v)), strconv.FormatFloat(v, 'g', 4, 64) + unit})
	}
	return ticks
}

// never is what a percentile is when the requests that it falls on failed.
const never = stats.Never
