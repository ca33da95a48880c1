package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"loadstone/harness/record"
	"loadstone/harness/table"
)

// numbers are what makes messages of one kind different: ports, tokens, seconds.
var numbers = regexp.MustCompile(`\d+(\.\d+)?`)

// maxReasons are shown; requests.csv has those of all requests.
const maxReasons = 3

// resent says how many requests met a closed connection; "" none. A client that does not send again
// would have failed there.
func (r *Report) resent() string {
	n := 0
	for i := range r.Results {
		n += r.Results[i].Pooled.Resent
	}
	if n == 0 {
		return ""
	}
	return table.Plural(n, "request") +
		" met a connection that the server had closed without saying so, " +
		"and went again over a new one; the time is in the latency"
}

// whyFailed says what went wrong in the failed requests whose records are kept: the most frequent
// reason first, each by one of its messages; "" where none failed.
func (r *Report) whyFailed() string {
	type reason struct {
		text string
		n    int
	}
	reasons := map[string]*reason{}
	for i := range r.Results {
		for j := range r.Results[i].Records {
			one := &r.Results[i].Records[j]
			switch one.Outcome {
			case record.OK, record.Rejected, record.Cancelled:
				continue
			}
			text := string(one.Outcome) + ": " + table.Clip(table.OneLine(one.Error), 120)
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
	for _, one := range sorted[:min(len(sorted), maxReasons)] {
		parts = append(parts, fmt.Sprintf("%d × %s", one.n, one.text))
	}
	if more := len(sorted) - maxReasons; more > 0 {
		parts = append(parts, table.Plural(more, "other reason"))
	}
	return strings.Join(parts, "; ")
}
