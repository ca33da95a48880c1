package page

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"loadstone/harness/report"
	"loadstone/harness/soak"
	"loadstone/harness/table"
)

// soakPage is the data of the soak template.
type soakPage struct {
	*report.Report
	Soak     *soak.Report
	Style    template.CSS
	Script   template.JS
	Date     string
	Verdict  string
	Worse    int
	Requests string
	Charts   []soakChart
}

// A soakChart draws one series over time: a dot for each window, a line through the dots of one
// life of the server, and a line for a trend. Positions are in pixels.
type soakChart struct {
	Name, About, Text string
	Standing          soak.Standing
	Bad, Judged       bool // Judged: there were windows enough for the test

	Width, Height            float64
	Left, Right, Top, Bottom float64
	X, Y                     []tick
	Line                     string
	Dots                     []soakDot
	Trend                    string    // SVG path; "" if there is no trend
	WarmUps                  []stretch // the beginnings of lives, which are not judged
	Restarts                 []float64 // x positions
}

type soakDot struct {
	X, Y   float64
	Text   string
	Judged bool
}

// A stretch is a part of the x axis.
type stretch struct{ X, W float64 }

// WriteSoak writes the page of a soak. r is the report of the same requests.
func WriteSoak(w io.Writer, r *report.Report, s *soak.Report) error {
	p := &soakPage{Report: r, Soak: s, Style: template.CSS(style), Script: template.JS(script),
		Date: r.Date("2 January 2006, 15:04 MST"), Worse: len(s.Worse())}
	requests, failed := 0, 0
	for _, window := range s.Windows {
		requests, failed = requests+window.Requests, failed+window.Failed
	}
	p.Requests = table.Plural(requests, "request")
	if failed > 0 {
		p.Requests += fmt.Sprintf(", %d not answered", failed)
	}
	p.Verdict = soakVerdict(s)
	for i := range s.Verdicts {
		p.Charts = append(p.Charts, newSoakChart(s, &s.Verdicts[i]))
	}
	return templates.ExecuteTemplate(w, "soak", p)
}

// soakVerdict summarizes the soak in a sentence or two.
func soakVerdict(s *soak.Report) string {
	if s.Short() {
		return "Too short to tell a trend from chance."
	}
	var bad, unknown []string
	for i := range s.Verdicts {
		switch v := &s.Verdicts[i]; v.Standing {
		case soak.Worse:
			bad = append(bad, v.Name+" "+v.Text())
		case soak.Unknown:
			unknown = append(unknown, v.Name)
		}
	}
	text := "The server does not degrade: no series has a trend to the worse."
	if len(bad) > 0 {
		text = "The server degrades: " + strings.Join(bad, "; ") + "."
	}
	if len(unknown) > 0 {
		text += " It does not publish: " + strings.Join(unknown, ", ") + "."
	}
	return text
}

func newSoakChart(s *soak.Report, v *soak.Verdict) soakChart {
	c := soakChart{Name: v.Name, About: v.Series.About, Text: v.Text(), Standing: v.Standing,
		Bad:    v.Standing == soak.Worse,
		Judged: v.Standing != soak.TooShort && v.Standing != soak.Unknown,
		Width:  560, Height: 210, Left: 66, Right: 548, Top: 12, Bottom: 178}
	var end time.Duration
	low, high := math.Inf(1), math.Inf(-1)
	for i := range s.Windows {
		end = max(end, s.Windows[i].End)
		if value, known := v.Series.Value(&s.Windows[i]); known {
			low, high = min(low, value), max(high, value)
		}
	}
	if end == 0 || math.IsInf(low, 1) {
		return c
	}
	// The axis covers at least four times the change that matters, so smaller changes look flat.
	if room := 4 * v.Matters; high-low < room {
		middle := (low + high) / 2
		low, high = middle-room/2, middle+room/2
	}
	if low < 0 {
		low, high = 0, high-low
	}
	x := func(at time.Duration) float64 {
		return px(c.Left + (c.Right-c.Left)*float64(at)/float64(end))
	}
	y := func(value float64) float64 {
		return px(c.Bottom - (c.Bottom-c.Top)*(min(max(value, low), high)-low)/(high-low))
	}
	for i := range 4 {
		value := low + (high-low)*float64(i)/3
		c.Y = append(c.Y, tick{y(value), v.Series.Format(value)})
	}
	unit, name := time.Minute, " min"
	if end >= 3*time.Hour {
		unit, name = time.Hour, " h"
	} else if end < 3*time.Minute {
		unit, name = time.Second, " s"
	}
	c.X = linearTicks(float64(end)/float64(unit), 6, name, func(n float64) float64 {
		return x(time.Duration(n * float64(unit)))
	})
	c.draw(s, v, x, y)
	return c
}

// draw adds the dots and the lines of the windows, restarts and the trend.
func (c *soakChart) draw(s *soak.Report, v *soak.Verdict, x func(time.Duration) float64,
	y func(float64) float64) {
	from := soak.JudgedFrom(s.Windows)
	begun := map[int]time.Duration{}
	var line, trend strings.Builder
	life := -1
	var sum, middles float64
	n := 0
	for i := range s.Windows {
		w := &s.Windows[i]
		if _, known := begun[w.Life]; !known {
			begun[w.Life] = w.Start
			c.WarmUps = append(c.WarmUps, stretch{x(w.Start), px(x(from[w.Life]) - x(w.Start))})
			if i > 0 {
				c.Restarts = append(c.Restarts, x(w.Start))
			}
		}
		value, known := v.Series.Value(w)
		if !known {
			continue
		}
		middle := (w.Start + w.End) / 2
		letter := byte('L')
		if w.Life != life {
			letter, life = 'M', w.Life
		}
		writePoint(&line, letter, x(middle), y(value))
		judged := w.Start >= from[w.Life]
		if judged {
			sum, middles, n = sum+value, middles+middle.Hours(), n+1
		}
		c.Dots = append(c.Dots, soakDot{x(middle), y(value), fmt.Sprintf("%v to %v: %s, %s",
			w.Start.Round(time.Second), w.End.Round(time.Second), v.Series.Format(value),
			table.Plural(w.Requests, "request")), judged})
	}
	c.Line = line.String()
	if v.Standing != soak.Worse && v.Standing != soak.Better || n == 0 {
		return
	}
	at := func(t time.Duration) float64 {
		return sum/float64(n) + v.Trend.Slope*(t.Hours()-middles/float64(n))
	}
	last := s.Windows[len(s.Windows)-1].End
	writePoint(&trend, 'M', x(from[0]), y(at(from[0])))
	writePoint(&trend, 'L', x(last), y(at(last)))
	c.Trend = trend.String()
}
