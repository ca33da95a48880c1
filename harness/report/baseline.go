package report

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

//go:embed baseline.md.tmpl
var baselineText string

var baselineTemplate = template.Must(template.New("baseline.md").Funcs(figures).Funcs(template.FuncMap{
	"bounded": bounded,
	"share":   func(b namedBreakdown, part string) string { return b.share(part) },
}).Parse(baselineText))

type namedBreakdown struct {
	Scenario string
	Breakdown
}

func (b namedBreakdown) share(part string) string {
	if !slices.ContainsFunc(b.Parts, func(p Part) bool { return p.Name == part }) {
		return "–"
	}
	return percent(b.Of(part).Share)
}

func (r *Report) breakdowns() []namedBreakdown {
	var all []namedBreakdown
	for i := range r.Scenarios {
		all = append(all, namedBreakdown{r.Scenarios[i].Name(), breakdown(r.Scenarios[i].Records)})
	}
	return all
}

// WriteBaseline writes the baseline document, Markdown with six sections.
func (r *Report) WriteBaseline(w io.Writer) error {
	return baselineTemplate.Execute(w, map[string]any{
		"System": r.System, "Host": r.Host, "Load": r.Load, "Stopped": oneLine(r.Stopped),
		"Scenarios":  r.Scenarios,
		"Verdict":    r.verdict(),
		"Targets":    r.Judge(),
		"Latency":    r.latencies(),
		"Own":        r.Limits != nil,
		"Judged":     r.judged(),
		"Rounds":     Plural(r.Load.Runs, "run"),
		"Diagnosis":  r.diagnosis(),
		"Breakdowns": r.breakdowns(),
		"Advice":     r.advice(),
		"Date":       orUnknown(r.date(time.RFC1123Z)),
		"Subject":    r.subject(),
		"Cores":      Plural(r.Host.Cores, "core"),
		"Memory":     orUnknown(bytesIfKnown(r.Host.Memory)),
		"StartUp":    r.startUp(),
		"Used":       r.used(),
		"P99Needs":   stats.Wanted(0.99),
		"ErrorBar":   r.errorBar(),
		"Counted":    r.counted(),
		"Again":      r.again(),
		"Doubts":     r.Doubts(),
		"Wrong":      r.wrong(),
		"Failed":     strings.ReplaceAll(r.whyFailed(), "`", "'"), // as code, since servers wrote it
		"Resent":     r.resent(),
	})
}

// verdict is the executive summary: what was asked, how much of it was answered, and which targets hold.
func (r *Report) verdict() string {
	sent, ok := r.requests()
	text := fmt.Sprintf("%s%s answered %d of %s", r.System.Model, on(r.System.Backend), ok, Plural(sent, "request"))
	if n := len(r.Scenarios); n > 1 {
		text += fmt.Sprintf(" in %d scenarios", n)
	}
	var unanswered []string // and not failed either
	for _, o := range []struct {
		outcome record.Outcome
		word    string
	}{{record.Rejected, "refused"}, {record.Cancelled, "taken back"}} {
		if n := r.outcomes(o.outcome); n > 0 {
			unanswered = append(unanswered, fmt.Sprintf("%d %s", n, o.word))
		}
	}
	if n := sent - ok - r.outcomes(record.Rejected) - r.outcomes(record.Cancelled); n > 0 {
		unanswered = append(unanswered, fmt.Sprintf("%d failed", n))
	}
	if unanswered != nil {
		text += " (" + strings.Join(unanswered, ", ") + ")"
	}
	if r.Stopped != "" {
		text += " before the measurement stopped"
	}
	missed := append(r.Missed(), r.NotShown()...)
	if len(missed) == 0 {
		return text + r.allMet()
	}
	var failed, unknown, few []string
	for _, v := range missed {
		switch {
		case v.Needs > 0:
			few = append(few, v.Name)
		case v.Judged:
			failed = append(failed, fmt.Sprintf("%s (%s in %s)", v.Name, v.Figure, v.Scenario))
		default:
			unknown = append(unknown, v.Name)
		}
	}
	if len(failed) > 0 {
		text += " and misses " + list(failed)
	} else {
		text += " and misses no target that was measured"
	}
	if len(few) > 0 {
		text += "; too few requests to tell " + list(few)
	}
	if len(unknown) > 0 {
		text += "; not measured: " + list(unknown)
	}
	return text + "."
}

func (r *Report) allMet() string {
	switch {
	case r.Limits == nil:
		return " and meets all four targets."
	case len(r.Limits) == 0:
		return "; no limit was set."
	}
	return fmt.Sprintf(" and holds %s.", Plural(len(r.Limits), "limit"))
}

func on(backend string) string {
	if backend == "" {
		return ""
	}
	return " on " + backend
}

func (r *Report) subject() string {
	s := strings.TrimSpace(r.System.Name + " " + r.System.Version)
	if r.System.Commit != "" {
		s += " (" + r.System.Commit + ")"
	}
	if r.System.URL != "" {
		s += " at " + r.System.URL
	}
	return s
}

func (r *Report) startUp() string {
	if r.StartUp <= 0 {
		return "not measured: the subject was already running"
	}
	return duration(r.StartUp) + " from start to ready, loading the model included; not part of any latency"
}

// used says what the subject's process took of the machine, "" when unknown.
func (r *Report) used() string {
	if r.System.Memory <= 0 {
		return ""
	}
	return fmt.Sprintf("%s of memory, %s of processor time", byteSize(r.System.Memory), duration(r.System.CPU))
}

func hitRate(s record.Summary) string {
	if s.HitRate < 0 {
		return "–"
	}
	return percent(s.HitRate)
}

// goodput is the good answers of a second, and what part of the requests they are.
func goodput(s record.Summary) string {
	if s.Judged == 0 {
		return "–"
	}
	return rate(s.Goodput) + "/s, " + percent(s.GoodRate)
}

func poolPeak(s record.Summary) string {
	if s.PeakPool < 0 {
		return "–"
	}
	return percent(s.PeakPool)
}

func outcome(s record.Summary, o record.Outcome) int { return s.Outcomes[o] }

// failures counts the requests that were neither answered, nor cleanly refused, nor taken back by the client itself.
func failures(s record.Summary) int {
	return s.Requests - s.Outcomes[record.OK] - s.Outcomes[record.Rejected] - s.Outcomes[record.Cancelled]
}

func tokens(n int) string {
	if n <= 0 {
		return "–"
	}
	return Plural(n, "token")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
