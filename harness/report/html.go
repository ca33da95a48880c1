package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"
)

//go:embed report.html.tmpl
var pageText string

//go:embed charts.html.tmpl
var chartsText string

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

var pageTemplate = template.Must(template.New("report.html").Funcs(template.FuncMap{
	"q":        quantile,
	"rate":     rate,
	"percent":  percent,
	"duration": duration,
	"hitrate":  hitRate,
	"pool":     poolPeak,
	"failures": failures,
	"outcome":  outcome,
	"tokens":   tokens,
	"pct":      func(f float64) float64 { return px(100 * f) },
	"minus":    func(a, b float64) float64 { return px(a - b) },
	"plus":     func(a, b float64) float64 { return px(a + b) },
}).Parse(chartsText + pageText))

// page is what the template draws.
type page struct {
	*Report
	Style          template.CSS
	Script         template.JS
	Title, Verdict string
	Date, Subject  string
	Cores, Memory  string
	StartUpText    string
	Used           string
	Targets        []targetCard
	Met            int
	Strips         stripChart
	Distributions  []*ecdfChart
	Timelines      []*timeline
	Breakdowns     []namedBreakdown
	Gauges         []gaugePair
	Diagnosis      string
	Advice         []string
	P99Needs       int
	Dots           map[string][]dot
	Forest         *forest // beside an earlier measurement; nil: none
	Busiest        int     // index of the timeline shown first
}

// WriteHTML writes the report as one page that needs nothing else: no network, no fonts, no scripts but its own.
func (r *Report) WriteHTML(w io.Writer) error {
	p := page{
		Report: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Title: r.System.Model + on(r.System.Backend), Verdict: r.verdict(),
		Date: r.Start.Format("2 January 2006, 15:04 MST"), Subject: r.subject(),
		Cores: plural(r.Host.Cores, "core"), Memory: orUnknown(bytesIfKnown(r.Host.Memory)), StartUpText: r.startUp(), Used: r.used(),
		Strips: r.strips(), Breakdowns: r.breakdowns(), Diagnosis: r.diagnosis(), Advice: r.advice(),
		P99Needs: p99Needs, Dots: map[string][]dot{},
	}
	if r.Comparison != nil {
		p.Forest = newForest(r.Comparison)
	}
	for _, v := range r.Judge() {
		p.Targets = append(p.Targets, newTargetCard(v))
		if v.Met {
			p.Met++
		}
	}
	for _, c := range []*ecdfChart{
		r.ecdf("e2e", "End to end", true, latencies),
		r.ecdf("ttft", "First token", false, ttfts),
		r.ecdf("itl", "Between tokens", false, gaps),
	} {
		if c != nil {
			p.Distributions = append(p.Distributions, c)
		}
	}
	most := 0
	for i := range r.Scenarios {
		if t := r.timeline(i); t != nil {
			p.Timelines = append(p.Timelines, t)
			if t.MostInFlight >= most {
				most, p.Busiest = t.MostInFlight, i
			}
			p.Dots[t.Scenario] = t.Dots
		}
		p.Gauges = append(p.Gauges, newGaugePair(i, &r.Scenarios[i]))
	}
	return pageTemplate.Execute(w, p)
}

// A targetCard draws a verdict as a bar with a mark at the limit; the longer of the two fills the width.
type targetCard struct {
	Verdict
	Fill, Mark float64 // parts of the width
	Floor      bool    // the limit is a floor (hit rate), not a ceiling
}

func newTargetCard(v Verdict) targetCard {
	c := targetCard{Verdict: v, Floor: v.Name == "cache hit rate"}
	scale := max(1.25, min(v.Fraction, 40)*1.08)
	c.Fill, c.Mark = min(v.Fraction/scale, 1), 1/scale
	return c
}

// stripChart is each scenario's p50, p95 and p99 on one logarithmic line, with the targets across all of them.
type stripChart struct {
	Width, Height, Left, Right, Bottom float64
	X                                  []tick
	Targets                            []tick
	Rows                               []strip
}

type strip struct {
	Index         int
	Scenario      string
	Y             float64
	P50, P95, P99 float64 // pixels; NaN-free: Right where a percentile never arrived
	Text          string
	Never         bool // p99 falls on a failed request
}

func (r *Report) strips() stripChart {
	c := stripChart{Width: 760, Left: 132, Right: 712}
	lo, hi := TargetP50, TargetP99
	for i := range r.Scenarios {
		d := r.Scenarios[i].Pooled.E2E
		if d.N == 0 {
			continue
		}
		for _, p := range []time.Duration{d.P50, d.P95, d.P99} {
			if p != never {
				lo, hi = min(lo, p), max(hi, p)
			}
		}
	}
	x := newLogAxis(lo*9/10, hi, c.Left, c.Right)
	c.X = x.ticks()
	for _, t := range []struct {
		name  string
		limit time.Duration
	}{{"p50", TargetP50}, {"p95", TargetP95}, {"p99", TargetP99}} {
		c.Targets = append(c.Targets, tick{px(x.at(t.limit)), t.name})
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i].Pooled
		if s.E2E.N == 0 {
			continue
		}
		c.Rows = append(c.Rows, strip{
			Index: i, Scenario: r.Scenarios[i].Name(), Y: float64(46 + 34*len(c.Rows)), Never: s.E2E.P99 == never,
			P50: px(x.at(s.E2E.P50)), P95: px(x.at(s.E2E.P95)), P99: px(x.at(s.E2E.P99)),
			Text: fmt.Sprintf("%s: p50 %s, p95 %s, p99 %s", r.Scenarios[i].Name(), duration(s.E2E.P50), duration(s.E2E.P95), duration(s.E2E.P99)),
		})
	}
	c.Bottom = float64(46 + 34*len(c.Rows) - 12)
	c.Height = c.Bottom + 24
	return c
}

// A gaugePair is a scenario's cache hit rate and pool peak as two half circles with a mark at the target and the limit.
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

func newGaugePair(i int, s *Scenario) gaugePair {
	return gaugePair{i, s.Name(),
		newGauge(s.Pooled.PromptTokens > 0, s.Pooled.HitRate, TargetHitRate, hitRate(s.Pooled), fmt.Sprintf("target %.0f %%", 100*TargetHitRate)),
		newGauge(s.Pooled.PeakPool >= 0, s.Pooled.PeakPool, poolFull, poolPeak(s.Pooled), fmt.Sprintf("work is refused above %.0f %%", 100*poolFull))}
}

// newGauge draws on a half circle of radius 40 around (50, 50).
func newGauge(known bool, part, mark float64, value, meaning string) gauge {
	const radius = 40
	at := func(part, radius float64) (x, y float64) {
		angle := math.Pi * (1 - part)
		return px(50 + radius*math.Cos(angle)), px(50 - radius*math.Sin(angle))
	}
	g := gauge{Known: known, Value: value, Mark: meaning}
	g.MarkX[0], g.MarkY[0] = at(mark, radius-8)
	g.MarkX[1], g.MarkY[1] = at(mark, radius+8)
	if x, y := at(min(max(part, 0), 1), radius); known && part > 0.002 {
		g.Arc = fmt.Sprintf("M10 50A40 40 0 0 1 %g %g", x, y)
	}
	return g
}
