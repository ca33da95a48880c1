package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"loadstone/harness/stats"
)

//go:embed report.html.tmpl
var pageText string

//go:embed compare.html.tmpl
var comparePageText string

//go:embed charts.html.tmpl
var chartsText string

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

var pageTemplates = template.Must(template.New("charts").Funcs(template.FuncMap(figures)).Funcs(template.FuncMap{
	"ci":    interval,
	"class": func(i int) string { return fmt.Sprintf("s%d", i%colours) },
	"pct":   func(f float64) float64 { return px(100 * f) },
	"minus": func(a, b float64) float64 { return px(a - b) },
	"plus":  func(a, b float64) float64 { return px(a + b) },
}).Parse(chartsText + `{{define "report"}}` + pageText + `{{end}}{{define "compare"}}` + comparePageText + `{{end}}`))

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
	Own            bool // the targets are limits of the load's own
	RunsText       string
	Judged         bool // requests have an objective of their own
	ErrorBar       string
	Counted        string
	Again          string
	Open           bool // of Again: rounding cannot be told from corruption
	Wrong          string
	Strips         stripChart
	Distributions  []*distribution
	Timelines      []*timeline
	Breakdowns     []namedBreakdown
	Gauges         []gaugePair // of the scenarios of which either is known
	Failed         string      // why requests failed
	Resent         string      // how many met a closed connection
	PoolKnown      bool
	Seen           bool // the breakdowns are the client's
	Pieces         bool // tokens are pieces
	Diagnosis      string
	Advice         []string
	P99Needs       int
	Sweeps         []sweepChart
	TabStyle       template.CSS
	Data           map[string]chartData // by scenario
	Forest         *forest              // beside an earlier measurement; nil: none
	Busiest        int                  // index of the timeline shown first
}

// WriteHTML writes the report as one page that needs nothing else: no network, no fonts, no scripts but its own.
func (r *Report) WriteHTML(w io.Writer) error {
	p := page{
		Report: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Title: r.System.Model + on(r.System.Backend), Verdict: r.verdict(),
		Date: r.date("2 January 2006, 15:04 MST"), Subject: r.subject(),
		Cores: Plural(r.Host.Cores, "core"), Memory: orUnknown(bytesIfKnown(r.Host.Memory)), StartUpText: r.startUp(), Used: r.used(),
		Strips: r.strips(), Breakdowns: r.breakdowns(), Diagnosis: r.diagnosis(), Advice: r.advice(),
		P99Needs: stats.Wanted(0.99), Own: r.Limits != nil, RunsText: r.runsText(), Judged: r.judged(), ErrorBar: r.errorBar(), Counted: r.counted(),
		Again: r.again(), Open: r.allAgain().Open > 0, Wrong: r.wrong(), Failed: r.whyFailed(), Resent: r.resent(), Data: map[string]chartData{},
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
	for _, c := range []*distribution{
		r.distribution("e2e", "End to end", r.Limits == nil, latencies),
		r.distribution("ttft", "First token", false, ttfts),
		r.distribution("itl", "Between tokens", false, gaps),
	} {
		if c != nil {
			p.Distributions = append(p.Distributions, c)
		}
	}
	most := 0
	for i := range r.Scenarios {
		if t := r.timeline(i); t != nil {
			p.Timelines = append(p.Timelines, t)
			if t.Most >= most {
				most, p.Busiest = t.Most, i
			}
			data := chartData{Dots: t.Dots, Server: t.Server}
			if t.Lanes != nil {
				data.Bars = t.Lanes.Bars
			}
			p.Data[t.Scenario] = data
		}
		if g := newGaugePair(i, &r.Scenarios[i]); g.Hit.Known || g.Pool.Known {
			p.Gauges = append(p.Gauges, g)
		}
	}
	p.PoolKnown = slices.ContainsFunc(p.Gauges, func(g gaugePair) bool { return g.Pool.Known })
	p.Seen = !slices.ContainsFunc(p.Breakdowns, func(b namedBreakdown) bool { return b.N > 0 && !b.Seen })
	p.Pieces = r.pieces()
	for _, s := range r.sweeps() {
		p.Sweeps = append(p.Sweeps, newSweepChart(s))
	}
	p.TabStyle = tabStyle(max(len(p.Timelines), len(p.Distributions)))
	return pageTemplates.ExecuteTemplate(w, "report", p)
}

// date is when the measurement began, "" where only its records are known.
func (r *Report) date(layout string) string {
	if r.Start.IsZero() {
		return ""
	}
	return r.Start.Format(layout)
}

func (r *Report) runsText() string {
	if r.Load.Reps <= 1 {
		return Plural(r.Load.Runs, "run")
	}
	return Plural(r.Load.Runs, "run") + " of " + Plural(r.Load.Reps, "repetition")
}

// colours is how many series the style tells apart; more begin again.
const colours = 12

// chartData is what the pointer and the keyboard read in a scenario's charts.
type chartData struct {
	Dots   []dot     `json:"dots"`
	Server []instant `json:"server"`
	Bars   []bar     `json:"bars"`
}

// tabStyle shows the n-th panel of a group when its n-th button is chosen, which works without a script.
func tabStyle(n int) template.CSS {
	var show, mark strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			show.WriteByte(',')
			mark.WriteByte(',')
		}
		fmt.Fprintf(&show, ".tabs>input:nth-of-type(%d):checked~.panels>:nth-child(%d)", i, i)
		fmt.Fprintf(&mark, ".tabs>input:nth-of-type(%d):checked~.bar label:nth-child(%d)", i, i)
	}
	if n == 0 {
		return ""
	}
	return template.CSS(show.String() + "{display:block}" + mark.String() +
		"{background:var(--panel);color:var(--ink);font-weight:600;box-shadow:0 1px 2px #0002}")
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
	Has95, Has99  bool // the sample bounds it
	Never         bool // p99 falls on a failed request
}

func (r *Report) strips() stripChart {
	c := stripChart{Width: 760, Left: 132, Right: 712}
	for i := range r.Scenarios {
		c.Left = max(c.Left, min(300, 14+8*float64(len(r.Scenarios[i].Name()))))
	}
	lo, hi := never, time.Duration(0)
	if r.Limits == nil {
		lo, hi = TargetP50, TargetP99
	}
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
	if hi == 0 {
		lo, hi = time.Millisecond, time.Second // nothing was answered
	}
	x := newLogAxis(lo/10*9, hi, c.Left, c.Right)
	c.X = x.ticks()
	for _, t := range []struct {
		name  string
		limit time.Duration
	}{{"p50", TargetP50}, {"p95", TargetP95}, {"p99", TargetP99}} {
		if r.Limits == nil {
			c.Targets = append(c.Targets, tick{px(x.at(t.limit)), t.name})
		}
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i].Pooled
		if s.E2E.N == 0 {
			continue
		}
		c.Rows = append(c.Rows, strip{
			Index: i, Scenario: r.Scenarios[i].Name(), Y: float64(46 + 34*len(c.Rows)), Never: s.E2E.P99 == never,
			Has95: stats.Supports(s.E2E.N, 0.95), Has99: stats.Supports(s.E2E.N, 0.99) || s.E2E.P99 == never,
			P50: px(x.at(s.E2E.P50)), P95: px(x.at(s.E2E.P95)), P99: px(x.at(s.E2E.P99)),
			Text: fmt.Sprintf("%s: p50 %s, p95 %s, p99 %s", r.Scenarios[i].Name(), quantile(s.E2E, 0.50), quantile(s.E2E, 0.95), quantile(s.E2E, 0.99)),
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
		newGauge(s.Pooled.HitRate >= 0, s.Pooled.HitRate, TargetHitRate, hitRate(s.Pooled), fmt.Sprintf("target %.0f %%", 100*TargetHitRate)),
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
