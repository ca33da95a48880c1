package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"loadstone/harness/report"
)

//go:embed report.html.tmpl
var reportText string

//go:embed compare.html.tmpl
var compareText string

//go:embed soak.html.tmpl
var soakText string

//go:embed history.html.tmpl
var historyText string

//go:embed agents.html.tmpl
var agentsText string

//go:embed charts.html.tmpl
var chartsText string

//go:embed report.css
var style string

//go:embed report.js
var script string

var funcs = template.FuncMap{
	"class": func(i int) string { return fmt.Sprintf("s%d", i%colours) },
	"pct":   func(f float64) float64 { return px(100 * f) },
	"minus": func(a, b float64) float64 { return px(a - b) },
	"plus":  func(a, b float64) float64 { return px(a + b) },
}

var templates = template.Must(template.New("charts").Funcs(report.Funcs).Funcs(funcs).Parse(
	chartsText + agentsText + define("report", reportText) + define("compare", compareText) +
		define("soak", soakText) + define("history", historyText)))

func define(name, text string) string {
	return "{{define \"" + name + "\"}}" + text + "{{end}}"
}

// colours is how many series the style tells apart; more begin again.
const colours = 12

// tabStyle shows the n-th panel of a group when its n-th button is chosen, which works without a
// script.
func tabStyle(n int) template.CSS {
	var show, mark strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			show.WriteByte(',')
			mark.WriteByte(',')
		}
		fmt.Fprintf(&show, ".tabs>input:nth-of-type(%d):checked~.panels>:nth-child(%d)", i, i)
		fmt.Fprintf(&mark, ".tabs>input:nth-of-type(%d):checked~.bar label:nth-child(%d)", i, i)
	}
	if n == 0 {
		return ""
	}
	return template.CSS(show.String() + "{display:block}" + mark.String() +
		"{background:var(--panel);color:var(--ink);font-weight:600;box-shadow:0 1px 2px #0002}")
}
