package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"loadstone/harness"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

const (
	// Often enough to look alive, seldom enough to cost nothing.
	redrawEvery = 100 * time.Millisecond
	rateOver    = 5 * time.Second // what the rate shown looks back on
)

// A Progress shows how far a measurement is: one line that is redrawn on a terminal, or else a line
// at the end of each round of runs, and within one after each [LogPause].
type Progress struct {
	w     io.Writer
	width func() int // of the terminal now; nil: not a terminal
	runs  int
	drawn time.Duration // when it was drawn last, on the measurement's clock
	cells int           // how many the last drawing took
	last  harness.Progress
	past  []moment // of the last rateOver
}

// LogPause is how long a log may be without a line of progress after one that came when so much
// time had passed: a second at first, so that nobody who waits has to guess, then as long again,
// and ten seconds at most.
func LogPause(elapsed time.Duration) time.Duration {
	return min(max(elapsed, time.Second), 10*time.Second)
}

// A moment says how many requests had ended at some time.
type moment struct {
	at       time.Duration
	requests int
}

// NewProgress shows a measurement of so many runs on w.
func NewProgress(w io.Writer, runs int) *Progress {
	p := &Progress{w: w, runs: runs}
	if Is(w) {
		p.width = func() int {
			if n, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && n > 0 {
				return n
			}
			return 80
		}
	}
	return p
}

// Show shows where the measurement is. It must not be called by several goroutines at a time.
func (p *Progress) Show(now harness.Progress) {
	last := p.last
	p.last = now
	p.last.Outcomes = nil // not to be kept
	p.note(now)
	done := now.Done > last.Done
	switch {
	case p.width != nil:
		if p.drawn == 0 || now.Elapsed-p.drawn >= redrawEvery || now.Done == now.Total {
			p.redraw(now)
		}
	case done && now.Done*p.runs%now.Total == 0, // a round of all scenarios is over
		now.Elapsed-p.drawn >= LogPause(p.drawn):
		p.drawn = now.Elapsed
		fmt.Fprintln(p.w, p.line(now))
	}
}

// redraw replaces what was drawn last. A terminal that was made narrower since then has wrapped it
// to several lines.
func (p *Progress) redraw(now harness.Progress) {
	width := p.width()
	up := ""
	if rows := (p.cells - 1) / width; p.cells > 0 && rows > 0 {
		up = fmt.Sprintf("\x1b[%dA", rows)
	}
	line := p.fit(now, width)
	p.drawn, p.cells = now.Elapsed, utf8.RuneCountInString(line)
	fmt.Fprint(p.w, up+"\r\x1b[J"+line)
}

// Close ends the line and leaves its last state on the screen.
func (p *Progress) Close() {
	if p.width != nil && p.cells > 0 {
		fmt.Fprintln(p.w)
	}
}

// fit puts a bar before the line where the terminal has room for both, and leaves out the parts
// that matter least where it has no room even for the line.
func (p *Progress) fit(now harness.Progress, width int) string {
	const bar = 20
	parts := p.parts(now)
	line := strings.Join(parts, "  ")
	if width-1-utf8.RuneCountInString(line) >= bar+2 {
		full := min(bar, int(bar*max(now.Part, float64(now.Done)))/max(now.Total, 1))
		return strings.Repeat("━", full) + strings.Repeat("─", bar-full) + "  " + line
	}
	for _, dispensable := range []string{"round", "request", "in flight", "req/s", "ETA", "p99",
		"p50"} {
		if utf8.RuneCountInString(line) < width {
			break
		}
		for i, part := range parts {
			if strings.Contains(part, dispensable) {
				parts = append(parts[:i:i], parts[i+1:]...)
				break
			}
		}
		line = strings.Join(parts, "  ")
	}
	if r := []rune(line); len(r) >= width {
		return string(r[:max(0, width-1)])
	}
	return line
}

// note keeps what the rate is computed from.
func (p *Progress) note(now harness.Progress) {
	requests := 0
	for _, n := range now.Outcomes {
		requests += n
	}
	for len(p.past) > 1 && now.Elapsed-p.past[1].at >= rateOver {
		p.past = p.past[1:]
	}
	// A moment every tenth of a second is enough, however many requests end.
	if n := len(p.past); n > 1 && now.Elapsed-p.past[n-2].at < redrawEvery {
		p.past = p.past[:n-1]
	}
	p.past = append(p.past, moment{now.Elapsed, requests})
}

// rate is how many requests ended a second in the last rateOver, false where nothing is known yet.
func (p *Progress) rate() (perSecond float64, ok bool) {
	first, last := moment{}, p.past[len(p.past)-1]
	if len(p.past) > 1 && last.at-p.past[0].at > rateOver/2 {
		first = p.past[0]
	}
	if last.at <= first.at {
		return 0, false
	}
	return float64(last.requests-first.requests) / (last.at - first.at).Seconds(), true
}

func (p *Progress) line(now harness.Progress) string { return strings.Join(p.parts(now), "  ") }

func (p *Progress) parts(now harness.Progress) []string {
	requests, failed := 0, 0
	for outcome, n := range now.Outcomes {
		requests += n
		switch outcome {
		case record.OK, record.Rejected, record.Cancelled:
		default:
			failed += n
		}
	}
	parts := []string{
		fmt.Sprintf("round %d/%d", now.Run+1, p.runs),
		fmt.Sprintf("%-13s", now.Scenario),
		overall(now),
		table.Plural(requests, "request"),
	}
	if r, ok := p.rate(); ok {
		parts = append(parts, table.Rate(r)+" req/s")
	}
	parts = append(parts, fmt.Sprintf("%d in flight", now.InFlight), table.Plural(failed, "error"))
	if n := now.Outcomes[record.Rejected]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", n))
	}
	if now.Recent.N > 0 {
		parts = append(parts, "p50 "+table.Duration(now.Recent.P50),
			"p99 "+table.Duration(now.Recent.P99))
	}
	switch {
	case now.Done == now.Total:
		parts = append(parts, "took "+now.Elapsed.Round(100*time.Millisecond).String())
	case now.Left > 0:
		parts = append(parts, "ETA "+now.Left.Round(time.Second).String())
	}
	return parts
}

// overall is how much of the measurement is over: repetitions, or a percentage where they take so
// long that the part of one is known.
func overall(now harness.Progress) string {
	if now.Part > float64(now.Done) && now.Total > 0 {
		return fmt.Sprintf("%.0f %%", 100*now.Part/float64(now.Total))
	}
	return fmt.Sprintf("%d/%d", now.Done, now.Total)
}
