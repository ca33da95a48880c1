package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"loadstone/harness"
)

// redrawEvery is how often the line of a terminal changes: often enough to look alive, seldom enough to cost nothing.
const redrawEvery = 100 * time.Millisecond

// A ProgressLine shows how far a measurement is: one line that is redrawn on a terminal, else a line at the end of each
// round of runs.
type ProgressLine struct {
	w     io.Writer
	width int // of the terminal; 0: not a terminal
	runs  int
	drawn time.Time
	last  harness.Progress
}

// NewProgressLine shows a measurement of so many runs on w.
func NewProgressLine(w io.Writer, runs int) *ProgressLine {
	p := &ProgressLine{w: w, runs: runs}
	if Terminal(w) {
		p.width = 80
		if n, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && n > 20 {
			p.width = n
		}
	}
	return p
}

// Show is for harness.Plan's Progress, and like it not for several goroutines at a time.
func (p *ProgressLine) Show(now harness.Progress) {
	last := p.last
	p.last = now
	p.last.Outcomes = nil // not to be kept
	switch {
	case p.width > 0:
		if now.Done == now.Total || time.Since(p.drawn) >= redrawEvery {
			p.drawn = time.Now()
			fmt.Fprint(p.w, "\r\x1b[2K"+p.fit(now))
		}
	case now.Done > last.Done && now.Done*p.runs%now.Total == 0: // a round of all scenarios is over
		fmt.Fprintln(p.w, p.line(now))
	}
}

// Close ends the line and leaves its last state on the screen.
func (p *ProgressLine) Close() {
	if p.width > 0 && p.last.Total > 0 {
		fmt.Fprintln(p.w)
	}
}

// fit puts a bar before the line where the terminal has room for both, and cuts the line where it has not even room for it.
func (p *ProgressLine) fit(now harness.Progress) string {
	const bar = 20
	line := p.line(now)
	if p.width-1-utf8.RuneCountInString(line) >= bar+2 {
		full := bar * now.Done / max(now.Total, 1)
		return strings.Repeat("━", full) + strings.Repeat("─", bar-full) + "  " + line
	}
	if r := []rune(line); len(r) >= p.width {
		return string(r[:p.width-1])
	}
	return line
}

func (p *ProgressLine) line(now harness.Progress) string {
	requests, failed := 0, 0
	for outcome, n := range now.Outcomes {
		requests += n
		switch outcome {
		case harness.OK, harness.Rejected, harness.Cancelled:
		default:
			failed += n
		}
	}
	parts := []string{
		fmt.Sprintf("round %d/%d", now.Run+1, p.runs),
		fmt.Sprintf("%-13s", now.Scenario),
		fmt.Sprintf("%d/%d", now.Done, now.Total),
		plural(requests, "request"),
	}
	if s := now.Elapsed.Seconds(); s > 0 {
		parts = append(parts, rate(float64(requests)/s)+" req/s")
	}
	parts = append(parts, fmt.Sprintf("%d in flight", now.InFlight), plural(failed, "error"))
	if now.Recent.N > 0 {
		parts = append(parts, "p50 "+duration(now.Recent.P50), "p99 "+duration(now.Recent.P99))
	}
	switch {
	case now.Done == now.Total:
		parts = append(parts, "took "+now.Elapsed.Round(100*time.Millisecond).String())
	case now.Left > 0:
		parts = append(parts, "ETA "+now.Left.Round(time.Second).String())
	}
	return strings.Join(parts, "  ")
}
