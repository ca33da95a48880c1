package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"loadstone/harness/record"
)

// numbers are what makes messages of one kind different: ports, tokens, seconds.
var numbers = regexp.MustCompile(`\d+(\.\d+)?`)

// mostReasons are shown; requests.csv has those of all.
const mostReasons = 3

// resent says how many requests met a closed connection; "" none. A client that sends nothing again fails there.
func (r *Report) resent() string {
	n := 0
	for i := range r.Scenarios {
		n += r.Scenarios[i].Pooled.Resent
	}
	if n == 0 {
		return ""
	}
	return Plural(n, "request") + " met a connection that the server had closed without saying so, and went again over a new one; the time is in the latency"
}

// whyFailed says of the failed requests whose records are kept what went wrong, the most frequent reason first, each by one of
// its messages; "" where none failed.
func (r *Report) whyFailed() string {
	type reason struct {
		text string
		n    int
	}
	reasons := map[string]*reason{}
	for i := range r.Scenarios {
		for j := range r.Scenarios[i].Records {
			one := &r.Scenarios[i].Records[j]
			switch one.Outcome {
			case record.OK, record.Rejected, record.Cancelled:
				continue
			}
			text := string(one.Outcome) + ": " + clip(oneLine(one.Error), 120)
			kind := numbers.ReplaceAllString(text, "N")
			if reasons[kind] == nil {
				reasons[kind] = &reason{text: text}
			}
			reasons[kind].n++
		}
	}
	sorted := slices.SortedFunc(maps.Values(reasons), func(a, b *reason) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text))
	})
	var parts []string
	for _, one := range sorted[:min(len(sorted), mostReasons)] {
		parts = append(parts, fmt.Sprintf("%d × %s", one.n, one.text))
	}
	if more := len(sorted) - mostReasons; more > 0 {
		parts = append(parts, Plural(more, "other reason"))
	}
	return strings.Join(parts, "; ")
}
