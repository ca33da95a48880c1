package report

import (
	_ "embed"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

//go:embed baseline.md.tmpl
var baselineText string

var baselineFuncs = template.FuncMap{
	"bounded": bounded,
	"code":    func(s string) string { return strings.ReplaceAll(s, "`", "'") },
}

var baselineTemplate = template.Must(
	template.New("baseline.md").Funcs(Funcs).Funcs(baselineFuncs).Parse(baselineText))

// baseline is what the template of the document prints.
type baseline struct {
	*Report
	Statements
	Stopped  string
	Date     string
	Targets  []limit.Outcome
	Latency  []limit.Outcome
	Own      bool   // the targets are the load's own limits
	Rounds   string // "10 runs"
	P99Needs int
}

// WriteBaseline writes the baseline document, Markdown with six sections.
func (r *Report) WriteBaseline(w io.Writer) error {
	return baselineTemplate.Execute(w, baseline{
		Report: r, Statements: r.Statements(), Stopped: table.OneLine(r.Stopped),
		Date: OrUnknown(r.Date(time.RFC1123Z)), Targets: r.Outcomes(), Latency: r.latencies(),
		Own:    r.Limits != nil,
		Rounds: table.Plural(r.Workload.Runs, "run"), P99Needs: stats.Wanted(0.99),
	})
}

// ShareOf is the part's share of the time as it is printed, "–" where it is not known.
func (b Breakdown) ShareOf(part string) string {
	if !slices.ContainsFunc(b.Parts, func(p Part) bool { return p.Name == part }) {
		return "–"
	}
	return table.Percent(b.Of(part).Share)
}
