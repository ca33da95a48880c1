package report

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"loadstone/harness"
)

// redrawEvery is how often the line of a terminal changes: often enough to look alive, seldom enough to cost nothing.
const redrawEvery = 100 * time.Millisecond

// rolling is over how many of the latest requests the percentiles of the line are taken.
const rolling = 200

// Progress tells how far a measurement is: one line that is redrawn on a terminal, else one line per round of runs. Its
// methods may be called by the goroutines that make the requests.
type Progress struct {
	w     io.Writer
	width int // of the terminal; 0: not a terminal
	color bool

	mu       sync.Mutex
	start    time.Time
	drawn    time.Time
	scenario string
	run      int // 0-based
	runs     int
	total    int // runs of all scenarios
	finished int
	inFlight int
	requests int
	errors   int
	recent   []time.Duration // ring of the latest latencies
}

// NewProgress shows the progress of scenarios × runs on w.
func NewProgress(w io.Writer, scenarios, runs int) *Progress {
	p := &Progress{w: w, runs: runs, total: scenarios * runs, start: time.Now(), color: Color(w)}
	if Terminal(w) {
		p.width = 80
		if n, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && n > 20 {
			p.width = n
		}
	}
	return p
}

// Run says that run (0-based) of scenario begins.
func (p *Progress) Run(scenario string, run int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if run != p.run && p.width == 0 {
		fmt.Fprintln(p.w, p.line())
	}
	p.scenario, p.run = scenario, run
	p.draw(true)
}

// RunDone says that the run is over.
func (p *Progress) RunDone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
	p.draw(true)
}

// Sent says that a request went out.
func (p *Progress) Sent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight++
	p.draw(false)
}

// Ended says how a request that went out came back.
func (p *Progress) Ended(r *harness.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight--
	switch r.Outcome {
	case harness.OK:
		if len(p.recent) < rolling {
			p.recent = append(p.recent, r.Latency())
		} else {
			p.recent[p.requests%rolling] = r.Latency()
		}
	case harness.Rejected, harness.Cancelled:
	default:
		p.errors++
	}
	p.requests++
	p.draw(false)
}

// Close ends the line and leaves its last state on the screen.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.requests == 0 && p.width == 0 {
		return
	}
	if p.width > 0 {
		p.draw(true)
	} else {
		fmt.Fprint(p.w, p.line())
	}
	fmt.Fprintln(p.w)
}

func (p *Progress) draw(now bool) {
	if p.width == 0 || !now && time.Since(p.drawn) < redrawEvery {
		return
	}
	p.drawn = time.Now()
	line := p.line()
	const bar = 20
	if room := p.width - 1 - utf8.RuneCountInString(line); room > bar+3 {
		line = p.bar(bar) + "  " + line
	}
	if r := []rune(line); len(r) >= p.width {
		line = string(r[:p.width-1])
	}
	fmt.Fprint(p.w, "\r\x1b[2K"+line)
}

func (p *Progress) bar(width int) string {
	full := width * p.finished / max(p.total, 1)
	return strings.Repeat("━", full) + strings.Repeat("─", width-full)
}

// line is the state in words. Nothing is extrapolated before a tenth of the runs is done.
func (p *Progress) line() string {
	elapsed := time.Since(p.start)
	parts := []string{fmt.Sprintf("%-13s", p.scenario), fmt.Sprintf("round %d/%d", p.run+1, p.runs),
		fmt.Sprintf("%d requests", p.requests)}
	if s := elapsed.Seconds(); s > 0 && p.requests > 0 {
		parts = append(parts, rate(float64(p.requests)/s)+" req/s")
	}
	parts = append(parts, fmt.Sprintf("%d in flight", p.inFlight), plural(p.errors, "error"))
	if len(p.recent) > 0 {
		sorted := slices.Sorted(slices.Values(p.recent))
		d := harness.Describe(sorted)
		parts = append(parts, "p50 "+duration(d.P50), "p99 "+duration(d.P99))
	}
	if p.finished >= p.total {
		parts = append(parts, "took "+elapsed.Round(100*time.Millisecond).String())
	} else if 10*p.finished >= p.total {
		left := elapsed * time.Duration(p.total-p.finished) / time.Duration(p.finished)
		parts = append(parts, "ETA "+left.Round(time.Second).String())
	}
	return strings.Join(parts, "  ")
}
