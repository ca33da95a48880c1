package figure

import (
	"slices"
	"strings"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A Times is one time of every request or token of a summary.
type Times struct {
	Name  string // as in p95-ttft
	About string // from when to when
	Of    func(*record.Summary) stats.Dist
}

// AllTimes are the times that files of results have. Percentiles of the limited ones are figures.
var AllTimes = []Times{
	{"ttft", "due to first token",
		func(s *record.Summary) stats.Dist { return s.TTFT }},
	{"content", "due to first token after reasoning",
		func(s *record.Summary) stats.Dist { return s.Content }},
	{"itl", "between two pieces of an answer, as they came",
		func(s *record.Summary) stats.Dist { return s.ITL }},
	// Inter-token times were once gaps divided by the tokens of a piece; programs that read files of
	// results know the gaps by this name.
	{"gap", "between two pieces of an answer, as they came",
		func(s *record.Summary) stats.Dist { return s.ITL }},
	{"tpot", "a token after the first: (last - first) / (tokens - 1) of an answer",
		func(s *record.Summary) stats.Dist { return s.TPOT }},
	{"e2e", "due to end",
		func(s *record.Summary) stats.Dist { return s.E2E }},
	{"lag", "due to sent",
		func(s *record.Summary) stats.Dist { return s.Lag }},
	{"server", "the server's own total",
		func(s *record.Summary) stats.Dist { return s.Server }},
	{"queue", "of it, waiting",
		func(s *record.Summary) stats.Dist { return s.Queue }},
	{"prefill", "of it, reading the prompt",
		func(s *record.Summary) stats.Dist { return s.Prefill }},
	{"decode", "of it, making the answer",
		func(s *record.Summary) stats.Dist { return s.Decode }},
	{"network", "client's time beyond the server's",
		func(s *record.Summary) stats.Dist { return s.Network }},
	{"job", "of a session: first call due to last answer's end",
		func(s *record.Summary) stats.Dist { return s.Jobs.Time }},
	{"calling", "of a job, while a call was under way: without tools and people",
		func(s *record.Summary) stats.Dist { return s.Jobs.Calling }},
	{"tool-call", "of a job, until its first tool call was complete",
		func(s *record.Summary) stats.Dist { return s.Jobs.Tool }},
}

// limited are the names of the times whose percentiles are figures.
var limited = []string{"ttft", "itl", "tpot", "e2e", "lag", "job", "calling", "tool-call"}

// IsTime reports whether a name is that of a time: a figure in seconds, or the time itself, such as
// the ttft of one answer.
func IsTime(name string) bool {
	if f, ok := Find(name); ok {
		return f.IsTime()
	}
	for _, of := range limited {
		if name == of || len(name) > len(of) && name[len(name)-len(of)-1:] == "-"+of {
			return true // a percentile that is not in the table, of somebody else's file, as well
		}
	}
	return false
}

// SizeName is the name of the figure that says how many values the percentiles of some times are
// of, such as n-e2e.
func SizeName(times string) string { return "n-" + times }

// SizedTimes are the times that a unit such as n-e2e says the number of; false for any other unit.
func SizedTimes(unit string) (times string, ok bool) {
	times, ok = strings.CutPrefix(unit, SizeName(""))
	return times, ok && slices.Contains(limited, times)
}
