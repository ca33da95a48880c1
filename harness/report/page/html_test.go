package page

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

func render(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page must be readable on a machine without a network: nothing in it may name another
// resource.
func TestPageLoadsNothing(t *testing.T) {
	html := render(t, fixed())
	for _, re := range []string{`(?i)\bsrc\s*=`, `(?i)@import`, `(?i)url\(`, `(?i)<link`, `(?i)fetch\(`, `(?i)\b(xlink:)?href="[^#]`} {
		if found := regexp.MustCompile(re).FindString(html); found != "" {
			t.Errorf("the page refers to something outside itself: %q", found)
		}
	}
	if strings.Contains(html, "://") {
		t.Error("the page names an address")
	}
}

// Texts that came over the wire or from the command line stay texts.
func TestPageEscapes(t *testing.T) {
	r := fixed()
	r.System.Model = `<img onerror=alert(1)>`
	r.System.Version = `</script><script>alert("v")</script>`
	r.Stopped = `"><script>alert("s")</script>`
	html := render(t, r)
	for _, hostile := range []string{"<img", "<script>alert"} {
		if strings.Contains(html, hostile) {
			t.Errorf("the page contains %q", hostile)
		}
	}
	if got := strings.Count(html, "<script"); got != 2 {
		t.Errorf("%d script elements, want the page's own 2", got)
	}
}

// What the pointer reads must be what was recorded: every request once, its texts whole.
func TestPageData(t *testing.T) {
	r := fixed()
	html := render(t, r)
	_, rest, _ := strings.Cut(html, `id="data">`)
	data, _, _ := strings.Cut(rest, "</script>")
	var page map[string]chartData
	if err := json.Unmarshal([]byte(data), &page); err != nil {
		t.Fatalf("the page's data is not JSON: %v", err)
	}
	for _, s := range r.Results {
		if got, want := len(page[s.Pooled.Scenario].Dots), len(s.Records); got != want {
			t.Errorf("%s: %d dots for %d requests", s.Pooled.Scenario, got, want)
		}
	}
	if got, want := page["single-cold"].Dots[0].Text,
		"run 1, repetition 1, agent-0\nfirst token 51.2 ms, end 83.8 ms\n512 prompt tokens, 0 cached, 32 out"; got != want {
		t.Errorf("first dot says %q, want %q", got, want)
	}
}

// An interrupted measurement, a server that tells nothing of itself and one that answers nothing
// still make a page.
func TestPageOfLittle(t *testing.T) {
	refused := record.Record{Place: record.Place{Scenario: "single-cold"}, Due: 0, Sent: 1, End: 2,
		FirstByte: -1, FirstContent: -1, Outcome: record.Refused,
		PromptTokens: -1, CachedTokens: -1, OutputTokens: -1,
		Server: record.ServerTiming{FirstByte: -1, Total: -1, Queue: -1, Prefill: -1,
			Decode: -1}}
	recs := []record.Record{refused}
	sum := record.Summarize("single-cold", recs, time.Second, -1)
	for name, r := range map[string]*report.Report{
		"nothing": {},
		"no records": {Results: []report.Result{{Pooled: record.Summarize("single-cold", nil, 0,
			-1)}}},
		"all refused": {Meta: report.Meta{Stopped: "the server is gone"},
			Results: []report.Result{{Pooled: sum, Runs: []record.Summary{sum}, Records: recs}}},
		"other server": {Meta: report.Meta{System: report.System{Model: "m"}},
			Results: []report.Result{{Pooled: sum, Records: recs, Agents: 1, Cache: load.Hot}}},
	} {
		var b bytes.Buffer
		if err := Write(&b, r, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, write := range []func() error{func() error { return r.WriteBaseline(&b) },
			func() error { return r.WriteBench(&b) }, func() error {
				return r.WriteTable(&b, false)
			}} {
			if err := write(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if strings.Contains(b.String(), "NaN") ||
			strings.Contains(b.String(), "9223372036854775807") {
			t.Errorf("%s: a number that is none was printed", name)
		}
		if len(r.Missed()) != 4 {
			t.Errorf("%s: %d targets not met, want 4: unmeasured is not met", name, len(r.Missed()))
		}
	}
}

// Computed by hand: four requests on an axis of 1 ms to 10 ms, one of which never arrives.
func TestECDFPath(t *testing.T) {
	x := logAxis{Lo: 1e6, Hi: 1e7, From: 0, To: 100}
	y := func(share float64) float64 { return px(100 - 100*share) }
	got := ecdfPath([]time.Duration{1e6, 2e6, 5e6, never}, x, y)
	if want := "M0 100L0 100L0 75L30.1 75L30.1 50L69.9 50L69.9 25L100 25"; got != want {
		t.Errorf("ecdfPath = %s, want %s", got, want)
	}
}

// Runs are placed one after another whatever their records' clock says, and an end meets a start as
// one in flight.
func TestTimelinePlacesRuns(t *testing.T) {
	rec := func(run int, due, end time.Duration) record.Record {
		return record.Record{Place: record.Place{Run: run}, Due: due, Sent: due,
			FirstContent: due + 1, End: end, Outcome: record.OK}
	}
	r := &report.Report{Results: []report.Result{{Records: []record.Record{
		rec(1, 1000, 1010), rec(0, 100, 120), rec(0, 120, 140), rec(1, 1010, 1060),
	}}}}
	recs, runs, length := placeRuns(r.Results[0].Records)
	type span struct{ Start, End time.Duration }
	var got []span
	for _, p := range recs {
		got = append(got, span{p.start, p.end})
	}
	if diff := cmp.Diff([]span{{0, 20}, {20, 40}, {40, 50}, {50, 100}}, got); diff != "" {
		t.Errorf("placed records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]placedRun{{0, 0, 100, 140}, {1, 40, 1000, 1060}}, runs,
		cmp.AllowUnexported(placedRun{})); diff != "" || length != 100 {
		t.Errorf("runs start at %v, length %v", runs, length)
	}
	if line := newTimeline(&r.Results[0], 0, 0.9); line.Max != 1 {
		t.Errorf("%d in flight, want 1", line.Max)
	}
}
