package page

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"loadstone/harness/history"
)

// historyOf is a history of commits of which those from the seventh on take 10 % longer.
func historyOf(t *testing.T, commits int, subject string) *history.History {
	t.Helper()
	bench := func(ms float64) []byte {
		var b strings.Builder
		b.WriteString("Unit p50-e2e-ns better=lower\nUnit tok/s better=higher\n")
		for run := range 6 {
			v := ms * (1 + 0.002*float64(run))
			fmt.Fprintf(&b, "BenchmarkServe/scenario=solo 1 %.0f p50-e2e-ns %.2f tok/s\n", v*1e6, 1e4/v)
		}
		return []byte(b.String())
	}
	at := func(i int) history.Commit {
		return history.Commit{Hash: fmt.Sprintf("%07x%033d", 0xa000000+i, i), Subject: subject,
			Date: time.Date(2026, 11, 1+i, 0, 0, 0, 0, time.UTC)}
	}
	var all []history.Measurement
	var timeline history.Timeline
	for i := range commits {
		timeline = append(timeline, at(i))
	}
	for i := 1; i < commits; i++ {
		ms := 10 + 0.01*float64(i%3)
		if i >= 7 {
			ms *= 1.1
		}
		all = append(all, history.NewMeasurement(fmt.Sprint(i, ".txt"), at(0), at(i), bench(10), bench(ms)))
	}
	h, err := history.New(all, timeline, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func historyHTML(t *testing.T, h *history.History) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHistory(&b, h); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page of a history has a chart a unit, in which every commit can be read and every change is
// marked; it loads nothing.
func TestHistoryPage(t *testing.T) {
	html := historyHTML(t, historyOf(t, 14, "server: a change"))
	for what, want := range map[string]int{
		`<svg class="history"`: 2, `<rect class="column"`: 28, `change-mark worse`: 2,
		`<tr class="worse">`: 2, "2 changes in 2 series: 2 for the worse": 1,
	} {
		if got := strings.Count(html, what); got != want {
			t.Errorf("%d of %s, want %d", got, what, want)
		}
	}
	column := regexp.MustCompile(`data-text="(a000007[^"]*)"`).FindStringSubmatch(html)
	if column == nil || !strings.Contains(column[1], "server: a change\nsolo: &#43;10") ||
		!strings.Contains(column[1], "◆ ") {
		t.Errorf("the commit of the change reads %q", column)
	}
	if strings.Contains(html, "://") || regexp.MustCompile(`(?i)\bsrc\s*=|url\(|<link`).MatchString(html) {
		t.Error("the page names a resource outside of itself")
	}
}

// What commits and files are called stays text.
func TestHistoryPageEscapes(t *testing.T) {
	h := historyOf(t, 14, `"><script>alert("subject")</script>`)
	h.Skipped = append(h.Skipped, history.Skipped{Name: "<img onerror=alert(1)>", Why: "<b>"})
	html := historyHTML(t, h)
	for _, hostile := range []string{"<img", "<script>alert", "<b>"} {
		if strings.Contains(html, hostile) {
			t.Errorf("the page contains %q", hostile)
		}
	}
	if short := historyHTML(t, historyOf(t, 4, "x")); !strings.Contains(short, "Too few commits") {
		t.Error("the page of four commits does not say that they are too few")
	}
}

// A scenario has one colour and one place in the legend in the charts of all units, whatever the
// order in which it was first measured in each.
func TestHistoryColours(t *testing.T) {
	h := historyOf(t, 14, "x")
	of := func(unit, scenario string) history.Series {
		s := h.Series[0]
		s.Unit, s.Scenario = unit, scenario
		return s
	}
	h.Series = []history.Series{of("p50-e2e", "solo"), of("p50-e2e", "crowd"),
		of("tok/s", "crowd"), of("tok/s", "solo")}
	var legend []string
	keys := regexp.MustCompile(`class="key (s\d)" data-s="(\d)".*?</svg>(\w+)</button>`)
	for _, m := range keys.FindAllStringSubmatch(historyHTML(t, h), -1) {
		legend = append(legend, m[1]+m[2]+m[3])
	}
	if got, want := strings.Join(legend, " "), "s00solo s11crowd s00solo s11crowd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
