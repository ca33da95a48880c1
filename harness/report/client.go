package report

import (
	"fmt"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/stub"
)

// Client is what the load generator knows of itself.
type Client struct {
	Floors []stub.Calibration `json:"floors"`     // what it measures where there is nothing to measure; none: it was not found out
	Busy   float64            `json:"busy_ratio"` // the part of the machine's processors that it took itself during the load; 0 unknown
}

// floor is that of the load's level, and of those at one level that of the fewest streams that are no fewer than the load's,
// or of the most; false where none was measured.
func (c *Client) floor(level load.Level, streams int) (best stub.Calibration, ok bool) {
	for _, f := range c.Floors {
		if f.Level != level {
			continue
		}
		if !ok || best.Streams < streams && f.Streams > best.Streams || f.Streams >= streams && f.Streams < best.Streams {
			best, ok = f, true
		}
	}
	return best, ok
}

// Doubts are the reasons for which the measurement is invalid, by scenario: what it shows may be the client's own doing, or
// the server's for somebody else.
func (r *Report) Doubts() []string {
	var all []string
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		floor, _ := r.Client.floor(s.Level, s.Agents)
		for _, why := range stub.WhyInvalid(s.Pooled, floor, r.Client.Busy) {
			all = append(all, s.Name()+": "+why)
		}
		for run := range s.Runs {
			for _, why := range s.Runs[run].Counters.WhyInvalid() {
				all = append(all, fmt.Sprintf("%s, run %d: %s", s.Name(), run+1, why))
			}
		}
	}
	return all
}

// errorBar says how far the client itself can be off, "" when that was not found out.
func (r *Report) errorBar() string {
	if len(r.Client.Floors) == 0 {
		return ""
	}
	var parts []string
	for _, f := range r.Client.Floors {
		parts = append(parts, duration(f.TTFT.Round(time.Microsecond))+" "+f.Load())
	}
	if n := len(parts); n > 3 { // the ends of a sweep say enough; the file of results has all
		parts = []string{parts[0], parts[n-1]}
	}
	text := "the first token of a server that computes nothing takes " + list(parts)
	if r.Client.Busy > 0 {
		text += fmt.Sprintf("; during the load the client took %s of the processors", percent(r.Client.Busy))
	}
	return text
}

// mostViolations is how many are shown; the file of results has all.
const mostViolations = 5

// wrong is what a reader has to know of the violations, "" where there are none.
func (r *Report) wrong() string {
	n := len(r.Violations)
	if n == 0 {
		return ""
	}
	var shown []string
	for _, v := range r.Violations[:min(n, mostViolations)] {
		shown = append(shown, clip(oneLine(v), 160))
	}
	text := Plural(n, "request") + " violate what must always hold: " + strings.Join(shown, "; ")
	if n == 1 {
		text = strings.Replace(text, "violate ", "violates ", 1)
	}
	if n > mostViolations {
		text += "; and more"
	}
	return text
}

// again says how answers under load compare with those given alone, "" where none was asked for again.
func (r *Report) again() string {
	a := r.allAgain()
	if a.Compared == 0 {
		return ""
	}
	text := fmt.Sprintf("%d asked for again, alone: ", a.Compared)
	if a.Differ == 0 {
		return text + "all are the same"
	}
	text += fmt.Sprintf("%d differ", a.Differ)
	if a.Rounded > 0 {
		text += fmt.Sprintf(", %d where two tokens were nearly as likely and the batch decides", a.Rounded)
	}
	if wrong := a.Differ - a.Rounded - a.Open; wrong > 0 {
		text += fmt.Sprintf(", %d for no such reason", wrong)
	}
	if a.Open > 0 {
		text += fmt.Sprintf(", %d by rounding or corruption, which a server without log-probabilities does not tell apart", a.Open)
	}
	return text
}

// allAgain is that of all scenarios.
func (r *Report) allAgain() record.Again {
	var all record.Again
	for i := range r.Scenarios {
		all = all.Add(r.Scenarios[i].Again)
	}
	return all
}

func (r *Report) writeClient(b *strings.Builder, style func(code, s string) string) {
	if text := r.wrong(); text != "" {
		b.WriteString(style("31;1", "wrong") + "   " + text + "\n")
	}
	if text, a := r.again(), r.allAgain(); a.Open > 0 {
		b.WriteString(style("33;1", "answers") + " " + text + "\n")
	} else if text != "" {
		b.WriteString(style("2", "answers "+text) + "\n")
	}
	for _, why := range r.Doubts() {
		b.WriteString(style("31;1", "invalid") + " " + why + "\n")
	}
	if text := r.counted(); text != "" {
		b.WriteString(style("2", "server  counted "+text) + "\n")
	}
	if text := r.errorBar(); text != "" {
		b.WriteString(style("2", "client  "+text) + "\n")
	}
}
