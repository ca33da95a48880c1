package terminal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"loadstone/harness"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// after is a measurement of two rounds of ten repetitions each, after so long.
func after(elapsed time.Duration, done, requests, failed int) harness.Progress {
	p := harness.Progress{Scenario: "concurrent-10", Run: min(done/10, 1), Done: done, Total: 20,
		InFlight: 10, Elapsed: elapsed,
		Outcomes: map[record.Outcome]int{record.OK: requests, record.Truncated: failed,
			record.Rejected: 2},
		Recent: stats.Dist{N: requests, P50: 12 * time.Millisecond, P99: 340 * time.Millisecond}}
	if done > 0 {
		p.Left = elapsed * time.Duration(20-done) / time.Duration(done)
	}
	return p
}

// A log gets a line a round, and while a round is long one after 1, 2, 4, 8 and 16 s and then every
// ten seconds, however many requests end.
func TestProgressOfALog(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, 2)
	// four a second for 100 s: ten repetitions in the first 90, the others in the last ten
	for i := range 400 {
		elapsed := time.Duration(i) * time.Second / 4
		done := i / 36
		if i >= 360 {
			done = 10 + (i-360)/4
		}
		p.Show(after(elapsed, done, 10*i, 1))
	}
	p.Show(after(100*time.Second, 20, 4000, 1))
	p.Close()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 14 {
		t.Errorf("%d lines, want 14, one of which ends a round:\n%s", len(lines), b.String())
	}
	if want := "round 1/2  concurrent-10  0/20  43 requests"; !strings.HasPrefix(lines[0], want) {
		t.Errorf("the first line is\n%s, want after a second\n%s", lines[0], want)
	}
	if want := "round 2/2  concurrent-10  20/20  4003 requests  40.0 req/s  10 in flight  1 error  2 refused  p50 12.0 ms  p99 340 ms  took 1m40s"; lines[len(lines)-1] != want {
		t.Errorf("the last line is\n%s, want\n%s", lines[len(lines)-1], want)
	}
	if strings.Contains(b.String(), "\x1b") || strings.Contains(b.String(), "\r") {
		t.Error("a log has the control characters of a terminal")
	}
}

// The rate is that of the last seconds, not of the whole measurement.
func TestProgressRate(t *testing.T) {
	p := NewProgress(&bytes.Buffer{}, 2)
	requests := 0
	for i := range 1000 {
		requests += 1
		if i >= 500 { // from 10 s on four times as fast
			requests += 3
		}
		p.Show(after(time.Duration(i)*20*time.Millisecond, 1, requests, 0))
	}
	if got, ok := p.rate(); !ok || got < 199 || got > 201 {
		t.Errorf("%g requests a second, want 200", got)
	}
	if len(p.past) > 70 {
		t.Errorf("%d moments are kept", len(p.past))
	}
}

// A screen is the little of a terminal that a progress line needs: it wraps, moves up, and clears
// to its end.
type screen struct {
	width    int
	rows     [][]rune
	row, col int
}

func (s *screen) Write(text []byte) (int, error) {
	r := []rune(string(text))
	for i := 0; i < len(r); i++ {
		for len(s.rows) <= s.row {
			s.rows = append(s.rows, nil)
		}
		switch {
		case r[i] == '\r':
			s.col = 0
		case r[i] == '\n':
			s.row, s.col = s.row+1, 0
		case r[i] == 0x1b:
			var n int
			var op rune
			for i += 2; r[i] >= '0' && r[i] <= '9'; i++ {
				n = 10*n + int(r[i]-'0')
			}
			switch op = r[i]; op {
			case 'A':
				s.row = max(0, s.row-n)
			case 'J':
				s.rows = append(s.rows[:s.row:s.row],
					s.rows[s.row][:min(s.col, len(s.rows[s.row]))])
			default:
				return 0, fmt.Errorf("unknown sequence %c", op)
			}
		default:
			if s.col == s.width {
				s.row, s.col = s.row+1, 0
				s.rows = append(s.rows, nil)
			}
			s.rows[s.row] = append(s.rows[s.row][:min(s.col, len(s.rows[s.row]))], r[i])
			s.col++
		}
	}
	return len(text), nil
}

// resize wraps what is on the screen, as terminals do.
func (s *screen) resize(width int) {
	var rows [][]rune
	for _, row := range s.rows {
		for len(row) > width {
			rows, row = append(rows, row[:width:width]), row[width:]
		}
		rows = append(rows, row)
	}
	s.rows, s.width, s.row = rows, width, len(rows)-1
	s.col = len(rows[s.row])
}

func (s *screen) String() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(string(row) + "\n")
	}
	return b.String()
}

// On a terminal there is one line, whatever its size and however often that changes.
func TestProgressOnATerminal(t *testing.T) {
	s := &screen{width: 140}
	p := &Progress{w: s, runs: 2, width: func() int { return s.width }}
	fmt.Fprintln(s, "go")
	elapsed := time.Second
	for i, width := range []int{140, 140, 60, 60, 200, 31, 31, 5, 120} {
		if width != s.width {
			s.resize(width)
		}
		elapsed += time.Second
		p.Show(after(elapsed, i+1, 100*i, 0))
		used := 0
		for _, row := range s.rows[1:] {
			if len(row) > 0 {
				used++
			}
		}
		if string(s.rows[0]) != "go" || width > 10 &&
			(used != 1 || utf8.RuneCountInString(string(s.rows[len(s.rows)-1])) >= width) {
			t.Fatalf("%d wide, after %d: the screen is\n%s", width, i, s)
		}
	}
	p.Close()
	if last := string(s.rows[len(s.rows)-1]); !strings.Contains(last, "p50 12.0 ms  p99 340 ms") ||
		!strings.Contains(last, "ETA") {
		t.Errorf("what stays is %q", last)
	}
	drawn := p.cells
	p.Show(after(elapsed+redrawEvery/2, 10, 5000, 0)) // too soon to be drawn
	if strings.Contains(s.String(), "5000") || p.cells != drawn {
		t.Error("the line is redrawn more often than ten times a second")
	}
}
