package report

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"loadstone/harness/record"
	"loadstone/harness/table"
)

// Terminal tells whether w is a terminal that may be redrawn.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Color tells whether to write colours to w: on a terminal, unless the user set NO_COLOR (no-color.org).
func Color(w io.Writer) bool { return Terminal(w) && os.Getenv("NO_COLOR") == "" }

// WriteTable writes the scenarios and the verdicts on the targets for a reader at a console.
func (r *Report) WriteTable(w io.Writer, color bool) error {
	rows := [][]string{
		{"", "", "first token", "", "end to end", "", "", "", "", "", "", ""},
		{"scenario", "requests", "p50", "p99", "p50", "p95", "p99", "tok/s", "hits", "pool", "429", "failed"},
	}
	judged := r.judged()
	if judged {
		rows[0], rows[1] = append(rows[0], ""), append(rows[1], "goodput")
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i].Pooled
		row := []string{
			r.Scenarios[i].Name(), fmt.Sprint(s.Requests), quantile(s.TTFT, 0.50), quantile(s.TTFT, 0.99),
			quantile(s.E2E, 0.50), quantile(s.E2E, 0.95), quantile(s.E2E, 0.99),
			tokenRate(*s), hitRate(*s), poolPeak(*s), fmt.Sprint(s.Outcomes[record.Rejected]), fmt.Sprint(failures(*s)),
		}
		if judged {
			row = append(row, goodput(*s))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	style := styler(color)
	for i, line := range table.Align(rows, 0) {
		if i < 2 {
			line = style("2", line)
		}
		b.WriteString(line + "\n")
	}
	if strings.Contains(b.String(), "n<") {
		b.WriteString(style("2", "n<N: too few requests to bound that percentile with 95 % confidence") + "\n")
	}
	if judged {
		b.WriteString(style("2", "goodput: answers a second with "+r.Load.Goodput+", and their share of all requests") + "\n")
	}
	if r.pieces() {
		b.WriteString(style("2", "~: the server's answers have no usage, so each piece of an answer counts as a token") + "\n")
	}
	if why := r.whyFailed(); why != "" {
		b.WriteString(style("31", "failed: "+why) + "\n")
	}
	if text := r.resent(); text != "" {
		b.WriteString(style("33", "resent: "+text) + "\n")
	}
	b.WriteString("\n")
	r.writeVerdicts(&b, style)
	r.writeClient(&b, style)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeVerdicts(b *strings.Builder, style func(code, s string) string) {
	var rows [][]string
	for _, v := range r.Judge() {
		where := ""
		if v.Scenario != "" {
			where = "worst: " + v.Scenario
		}
		rows = append(rows, []string{v.Name, v.Limit, v.Figure, v.Word(), where})
	}
	for i, line := range table.Align(rows, 0, 4) {
		switch v := r.Judge()[i]; {
		case v.Met:
			line = strings.Replace(line, " met ", " "+style("32;1", "met")+" ", 1)
		case v.Needs > 0:
			line = strings.Replace(line, v.Word(), style("33;1", v.Word()), 1)
		default:
			line = strings.Replace(line, v.Word(), style("31;1", v.Word()), 1)
		}
		b.WriteString("target  " + line + "\n")
	}
}

func styler(color bool) func(code, s string) string {
	if !color {
		return func(_, s string) string { return s }
	}
	return func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
}
