package report

import (
	"fmt"
	"io"
	"strings"

	"loadstone/harness/limit"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// WriteTable writes the results and what became of the limits for a reader at a console.
func (r *Report) WriteTable(w io.Writer, color bool) error {
	var b strings.Builder
	style := styler(color)
	r.writeResults(&b, style)
	r.writeJobs(&b, style)
	r.writeNotes(&b, style)
	b.WriteString("\n")
	r.writeOutcomes(&b, style)
	r.writeValidity(&b, style)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeResults(b *strings.Builder, style styling) {
	rows := [][]string{
		{"", "", "first token", "", "end to end", "", "", "", "", "", "", ""},
		{"scenario", "requests", "p50", "p99", "p50", "p95", "p99", "tok/s", "hits", "pool", "429",
			"failed"},
	}
	// Answers of nothing have a column where there are any.
	empty := r.count(record.Empty) > 0
	if empty {
		rows[0], rows[1] = append(rows[0], ""), append(rows[1], "empty")
	}
	objective := r.HasObjective()
	if objective {
		rows[0], rows[1] = append(rows[0], ""), append(rows[1], "goodput")
	}
	for i := range r.Results {
		s := &r.Results[i].Pooled
		row := []string{
			r.Results[i].Name(), fmt.Sprint(s.Requests), Quantile(s.TTFT, 0.50),
			Quantile(s.TTFT, 0.99),
			Quantile(s.E2E, 0.50), Quantile(s.E2E, 0.95), Quantile(s.E2E, 0.99), tokenRate(*s),
			HitRatio(*s), PeakPool(*s),
			fmt.Sprint(s.Outcomes[record.Rejected]),
			fmt.Sprint(s.Errors() - s.Outcomes[record.Empty]),
		}
		if empty {
			row = append(row, fmt.Sprint(s.Outcomes[record.Empty]))
		}
		if objective {
			row = append(row, Goodput(*s))
		}
		rows = append(rows, row)
	}
	for i, line := range table.Align(rows, 0) {
		if i < 2 {
			line = style(table.Dim, line)
		}
		b.WriteString(line + "\n")
	}
}

// writeJobs writes what jobs came to, where there are any, and how near the caches were to the best
// that could be.
func (r *Report) writeJobs(b *strings.Builder, style styling) {
	if !r.HasJobs() {
		return
	}
	rows := [][]string{
		{"", "", "", "job", "", "calling", "tool call", "", "", "", "", "", ""},
		{"jobs", "done", "failed", "p50", "p90", "p50", "p50", "jobs/h", "calls", "tokens", "hits",
			"ceiling", "share"},
	}
	for i := range r.Results {
		s := &r.Results[i].Pooled
		if j := &s.Jobs; j.N > 0 {
			rows = append(rows, []string{r.Results[i].Name(), fmt.Sprint(j.N - j.Failed),
				fmt.Sprint(j.Failed), Quantile(j.Time, 0.50), Quantile(j.Time, 0.90),
				Quantile(j.Calling, 0.50), Quantile(j.Tool, 0.50), table.Rate(j.PerHour),
				table.Three(j.Calls), table.Three(j.Tokens), HitRatio(*s), Ratio(s.CeilingRatio),
				Ratio(s.CeilingShare)})
		}
	}
	b.WriteByte('\n')
	for i, line := range table.Align(rows, 0) {
		if i < 2 {
			line = style(table.Dim, line)
		}
		b.WriteString(line + "\n")
	}
}

// writeNotes writes what must be known to read the table above.
func (r *Report) writeNotes(b *strings.Builder, style styling) {
	if strings.Contains(b.String(), "n<") {
		b.WriteString(style(table.Dim,
			"n<N: too few requests to bound that percentile with 95 % confidence") + "\n")
	}
	if r.HasJobs() {
		b.WriteString(style(table.Dim,
			"calling: of a job, while a call was under way; ceiling: the hits of a "+
				"cache without an end, by "+r.Reuse()) + "\n")
	}
	if r.HasObjective() {
		b.WriteString(style(table.Dim, "goodput: answers a second with "+r.Workload.Goodput+
			", and their share of all requests") + "\n")
	}
	if r.CountsPieces() {
		b.WriteString(style(table.Dim, "~: "+r.whyPieces()) + "\n")
	}
	if text := r.pace(); text != "" {
		b.WriteString(style(table.Yellow, "pieces: "+text) + "\n")
	}
	if text := r.drafts(); text != "" {
		b.WriteString(style(table.Dim, "drafts: "+text) + "\n")
	}
	if why := r.whyFailed(); why != "" {
		b.WriteString(style(table.Red, "failed: "+why) + "\n")
	}
	if text := r.replayed(); text != "" {
		b.WriteString(style(table.Yellow, "replayed: "+text) + "\n")
	}
	if text := r.resent(); text != "" {
		b.WriteString(style(table.Yellow, "resent: "+text) + "\n")
	}
	for _, text := range r.noted() {
		b.WriteString(style(table.Yellow, "noted: "+text) + "\n")
	}
}

func (r *Report) writeOutcomes(b *strings.Builder, style styling) {
	outcomes := r.Outcomes()
	var rows [][]string
	for _, o := range outcomes {
		where := ""
		if o.Scenario != "" {
			where = "worst: " + o.Scenario
		}
		rows = append(rows, []string{o.Name, o.Bound, o.Figure, o.Word(), where})
	}
	for i, line := range table.Align(rows, 0, 4) {
		word := outcomes[i].Word()
		switch outcomes[i].Standing {
		case limit.Met:
			line = strings.Replace(line, " met ", " "+style(table.BoldGreen, "met")+" ", 1)
		case limit.NotShown:
			line = strings.Replace(line, word, style(table.BoldYellow, word), 1)
		default:
			line = strings.Replace(line, word, style(table.BoldRed, word), 1)
		}
		b.WriteString("target  " + line + "\n")
	}
}

// writeValidity writes whether the measurement can be believed.
func (r *Report) writeValidity(b *strings.Builder, style styling) {
	if text := r.wrong(); text != "" {
		b.WriteString(style(table.BoldRed, "wrong") + "   " + text + "\n")
	}
	if text := r.answers(); r.Again().Open > 0 {
		b.WriteString(style(table.BoldYellow, "answers") + " " + text + "\n")
	} else if text != "" {
		b.WriteString(style(table.Dim, "answers "+text) + "\n")
	}
	for _, why := range r.Invalid() {
		b.WriteString(style(table.BoldRed, "invalid") + " " + why + "\n")
	}
	if text := r.Remedy(); text != "" {
		b.WriteString("        " + text + "\n")
	}
	if text := r.counted(); text != "" {
		b.WriteString(style(table.Dim, "server  counted "+text) + "\n")
	}
	if text := r.errorBar(); text != "" {
		b.WriteString(style(table.Dim, "client  "+text) + "\n")
	}
}

// A styling puts a text into a style.
type styling func(style table.Style, text string) string

// styler returns a styling that leaves texts as they are unless color is true.
func styler(color bool) styling {
	if !color {
		return func(_ table.Style, text string) string { return text }
	}
	return table.Style.Text
}
