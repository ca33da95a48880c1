package page

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/report/internal/fixture"
)

// fixed is a report of a made-up measurement of the five scenarios.
func fixed() *report.Report {
	loads, runs := fixture.Bench()
	return report.New(report.Meta{
		System: report.System{Name: "loadstone", Version: "v0.1.0", Commit: "0123456789ab",
			Model: "tiny", Backend: "ref", Quant: "f32", Threads: 2,
			Memory: 48 << 20, CPU: 91 * time.Second},
		Host: report.Host{OS: "linux", Arch: "amd64", System: "Debian GNU/Linux 12 (bookworm)",
			Kernel: "6.1.0", CPU: "Example CPU @ 2.50GHz",
			SIMD: "avx2", Cores: 2, Memory: 8 << 30, Go: "go1.26.0"},
		Workload: report.Workload{Runs: 10, Reps: 10, Seed: 1, Goodput: fixture.Objective.String()},
		Start:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		StartUp:  182 * time.Millisecond,
	}, loads, runs)
}

// swept is a report of a load at five rates.
func swept() *report.Report {
	loads, runs := fixture.Sweep()
	return report.New(report.Meta{System: report.System{Model: "m"},
		Workload: report.Workload{Runs: 1, Reps: 1}}, loads, runs)
}

// pages are the kinds of page there are.
func pages(t *testing.T) map[string]string {
	earlier := &Earlier{compared(t, 1.3), fixed()}
	var two, beside bytes.Buffer
	if err := WriteComparison(&two, earlier.Comparison); err != nil {
		t.Fatal(err)
	}
	if err := Write(&beside, fixed(), earlier); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"report": render(t, fixed()), "beside another": beside.String(),
		"sweep": render(t, swept()),
		"soak":  soaked(t, 30), "short soak": soaked(t, 5),
		"comparison": two.String(), "nothing": render(t, &report.Report{})}
}

// every calls f with each element below n and its attributes.
func every(n *html.Node, f func(*html.Node, map[string]string)) {
	if n.Type == html.ElementNode {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		f(n, attr)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		every(c, f)
	}
}

// A page is as browsers and screen readers need it: elements nested, ids unique and what refers to
// them there, one main heading, every picture named or hidden, every control reachable and named,
// nothing loaded from elsewhere.
func TestPagesAreSound(t *testing.T) {
	for name, text := range pages(t) {
		t.Run(name, func(t *testing.T) {
			nested(t, text)
			doc, err := html.Parse(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			ids, headings := map[string]int{}, 0
			every(doc, func(n *html.Node, attr map[string]string) {
				if id, ok := attr["id"]; ok {
					ids[id]++
				}
				if n.Data == "h1" {
					headings++
				}
				hidden := attr["aria-hidden"] == "true"
				if n.Data == "svg" && attr["role"] != "" && attr["aria-label"] == "" ||
					(attr["tabindex"] == "0" && attr["aria-label"] == "") {
					t.Errorf("<%s class=%q> has no name", n.Data, attr["class"])
				}
				if n.Data == "svg" && attr["role"] == "" && !hidden && !within(n, "key", "badge") {
					t.Errorf("<svg class=%q> is neither named nor hidden", attr["class"])
				}
				if n.Data == "button" && attr["type"] != "button" {
					t.Error("a button without its type")
				}
				if n.Data == "th" && attr["scope"] == "" {
					t.Error("a heading of a table without its scope")
				}
			})
			for id, n := range ids {
				if n > 1 {
					t.Errorf("id %q is there %d times", id, n)
				}
			}
			if headings != 1 {
				t.Errorf("%d main headings", headings)
			}
			every(doc, func(n *html.Node, attr map[string]string) {
				for _, key := range []string{"for", "aria-labelledby", "href"} {
					ref, ok := attr[key]
					if strings.HasSuffix(name, "soak") && ref == "report.html" {
						continue // lies beside it
					}
					if ok && (key == "href" && !strings.HasPrefix(ref, "#") ||
						ids[strings.TrimPrefix(ref, "#")] == 0) {
						t.Errorf("%s=%q leads nowhere", key, ref)
					}
				}
				for _, key := range []string{"src", "srcset", "data", "action", "poster",
					"background"} {
					if attr[key] != "" {
						t.Errorf("<%s %s=%q> loads something", n.Data, key, attr[key])
					}
				}
				for key, value := range attr {
					if strings.HasPrefix(key, "on") {
						t.Errorf("<%s %s> is a script in an attribute", n.Data, key)
					}
					if strings.Contains(value, "NaN") || strings.Contains(value, "Inf") ||
						strings.Contains(value, "ZgotmplZ") {
						t.Errorf("<%s %s=%q>", n.Data, key, value)
					}
				}
			})
		})
	}
}

// within reports whether a node stands in one of the given classes, whose text says what the
// picture does.
func within(n *html.Node, classes ...string) bool {
	for ; n != nil; n = n.Parent {
		for _, a := range n.Attr {
			for _, class := range strings.Fields(a.Val) {
				if a.Key == "class" && slices.Contains(classes, class) {
					return true
				}
			}
		}
	}
	return false
}

// nested fails where a tag is closed that was not open; the parser would repair it in silence.
func nested(t *testing.T, text string) {
	var open []string
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("never closed: %v", open)
			}
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			if !slices.Contains([]string{"meta", "input", "br", "link", "img"}, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open[max(0, len(open)-3):])
			}
			open = open[:len(open)-1]
		}
	}
}

// paths are the d of all paths of a class within a figure.
func paths(n *html.Node, class string) []string {
	var d []string
	every(n, func(n *html.Node, attr map[string]string) {
		if n.Data == "path" && slices.Contains(strings.Fields(attr["class"]), class) &&
			!within(n, "key") {
			d = append(d, attr["d"])
		}
	})
	return d
}

// charts returns the drawings of a class, in the order of the page.
func charts(doc *html.Node, class string) []*html.Node {
	var found []*html.Node
	every(doc, func(n *html.Node, attr map[string]string) {
		if n.Data == "svg" && slices.Contains(strings.Fields(attr["class"]), class) {
			found = append(found, n)
		}
	})
	return found
}

func strokes(d []string) int { return strings.Count(strings.Join(d, ""), "M") }

// Every chart has as many marks as there are data.
func TestChartsShowTheData(t *testing.T) {
	r := fixed()
	text := render(t, r)
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var page map[string]chartData
	_, rest, _ := strings.Cut(text, `id="data">`)
	data, _, _ := strings.Cut(rest, "</script>")
	if err := json.Unmarshal([]byte(data), &page); err != nil {
		t.Fatal(err)
	}
	curves := charts(doc, "curves")
	if len(curves) != 6 {
		t.Fatalf("%d charts of curves, want three times in two ways", len(curves))
	}
	for i, c := range curves {
		if n := len(paths(c, "curve")); n != len(r.Results) {
			t.Errorf("chart %d has %d curves for %d scenarios", i, n, len(r.Results))
		}
	}
	// 100 requests are enough for an interval of the median and of p95, 441 for one of p99.
	if n, want := len(paths(curves[1], "ci-p")), 5*2+3; n != want {
		t.Errorf("%d intervals, want %d", n, want)
	}
	timelines, lanes := charts(doc, "timeline"), charts(doc, "lanes")
	for i := range r.Results {
		s := &r.Results[i]
		ok := s.Pooled.Outcomes[record.OK]
		if ends, firsts := strokes(paths(timelines[i], "ends")),
			strokes(paths(timelines[i], "firsts")); ends != ok || firsts != ok {
			t.Errorf("%s: %d ends and %d first tokens of %d answers", s.Name(), ends, firsts, ok)
		}
		if n := len(paths(timelines[i], "failure")); n != s.Pooled.Requests-ok {
			t.Errorf("%s: %d crosses for %d unanswered requests", s.Name(), n, s.Pooled.Requests-ok)
		}
		worst := worstRequest(s.Records)
		inRun, failed, decoded := 0, 0, 0
		for _, rec := range s.Records {
			if rec.Run == worst.Run {
				inRun++
				if rec.Outcome != record.OK {
					failed++
				} else if rec.End > rec.FirstContent {
					decoded++
				}
			}
		}
		bars := page[s.Name()].Bars
		if len(bars) != inRun || len(paths(lanes[i], "failure")) != failed ||
			strokes(paths(lanes[i], "part-lost")) != failed ||
			strokes(paths(lanes[i], "part-decode")) != decoded {
			t.Errorf("%s: %d bars, %d crosses, %d decodes in a run of %d requests, %d failed",
				s.Name(), len(bars), len(paths(lanes[i], "failure")),
				strokes(paths(lanes[i], "part-decode")), inRun, failed)
		}
		if n := len(page[s.Name()].Server); n == 0 || n > len(s.Samples) {
			t.Errorf("%s: %d instants of %d samples", s.Name(), n, len(s.Samples))
		}
	}
}

// Beside an earlier measurement every curve has that one's behind it.
func TestCurvesOfBefore(t *testing.T) {
	before := fixed()
	before.Results = before.Results[1:]
	var page bytes.Buffer
	if err := Write(&page, fixed(), &Earlier{compared(t, 1), before}); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&page)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range charts(doc, "curves") {
		before, now := paths(c, "ghost"), paths(c, "curve")
		if len(before) != 4 || !slices.Equal(before, now[1:]) {
			t.Errorf("chart %d has %d curves of before beside %d", i, len(before), len(now))
		}
	}
}

// A sweep is drawn twice, with a point for each level.
func TestSweepChart(t *testing.T) {
	doc, err := html.Parse(strings.NewReader(render(t, swept())))
	if err != nil {
		t.Fatal(err)
	}
	drawn := charts(doc, "sweep")
	if len(drawn) != 2 {
		t.Errorf("%d charts of a sweep", len(drawn))
	}
	for _, c := range drawn {
		n := 0
		every(c, func(_ *html.Node, attr map[string]string) {
			if strings.HasPrefix(attr["class"], "sweep-point") {
				n++
			}
		})
		if n != 5 {
			t.Errorf("%d points of 5 levels", n)
		}
	}
}

// Agents have a lane each; a crowd shares as few as it needs, and nobody overlaps.
func TestLanes(t *testing.T) {
	rec := func(agent string, due, end time.Duration) *record.Record {
		return &record.Record{Place: record.Place{Agent: agent}, Due: due, End: end,
			Outcome: record.OK}
	}
	lane, labels := assignLanes([]*record.Record{rec("a", 0, 5), rec("b", 1, 3), rec("a", 5, 9),
		rec("b", 4, 6)})
	if !slices.Equal(lane, []int{0, 1, 0, 1}) || !slices.Equal(labels, []string{"a", "b"}) {
		t.Errorf("two agents have lanes %v, %v", lane, labels)
	}
	lane, labels = assignLanes([]*record.Record{rec("", 0, 5), rec("", 1, 3), rec("", 4, 6),
		rec("", 6, 7)})
	if !slices.Equal(lane, []int{0, 1, 1, 0}) || labels != nil {
		t.Errorf("a crowd has lanes %v, %v", lane, labels)
	}
	// A long run is shown in part, around its worst request.
	var long []record.Record
	for i := range 5000 {
		r := *rec("a", time.Duration(i)*time.Second, time.Duration(i)*time.Second+time.Second)
		r.FirstContent = r.Due + time.Second/2
		long = append(long, r)
	}
	long[3000].Outcome = record.Failed
	l := newLanes(long)
	if !l.Partly || l.Width != maxLanesWidth || len(l.Failures) != 1 || len(l.Bars) < 100 ||
		len(l.Bars) > 200 {
		t.Errorf("partly %v, %g wide, %d bars, %d failures", l.Partly, l.Width, len(l.Bars),
			len(l.Failures))
	}
}

// Computed by hand: the parts of a request end where the client saw its first token.
func TestPieces(t *testing.T) {
	r := &record.Record{Due: 100, Sent: 110, FirstContent: 200, End: 300, Outcome: record.OK,
		Server: record.ServerTiming{Queue: 20, Prefill: 50, Decode: 90, Total: 180}}
	want := []piece{{report.PartNetwork, 100, 130}, {report.PartQueue, 130, 150},
		{report.PartPrefill, 150, 200}, {report.PartDecode, 200, 300}}
	if got := pieces(r); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	r.Server = record.ServerTiming{Queue: -1, Prefill: -1, Decode: -1, Total: -1}
	if got := pieces(r); !slices.Equal(got, []piece{{report.PartWait, 100, 200},
		{report.PartDecode, 200, 300}}) {
		t.Errorf("of a silent server: %v", got)
	}
}

// Computed by hand: with two nines as wide as 100 pixels, four values lie at the percentiles 12.5,
// 37.5, 62.5, 87.5.
func TestTailPath(t *testing.T) {
	y := logAxis{Lo: 1e6, Hi: 1e7, From: 100, To: 0}
	x := func(p float64) float64 { return px(1000 * p) }
	if got, want := tailPath([]time.Duration{1e6, 2e6, 5e6, never}, x, y),
		"M125 100L375 69.9L625 30.1L875 0"; got != want {
		t.Errorf("tailPath = %s, want %s", got, want)
	}
}

// A measurement that the client itself could explain says so before anything else, in every form.
func TestInvalidIsSaidFirst(t *testing.T) {
	r := fixed()
	r.Generator.Busy = 0.97
	r.Violations = []string{"leak: agent-1, turn 2: <b>", "times: ended before it began", "3", "4",
		"5", "6"}
	if len(r.Invalid()) == 0 {
		t.Fatal("a client that took all processors is not doubted")
	}
	page := render(t, r)
	if at := strings.Index(page, "<strong>Invalid.</strong>"); at < 0 || at > strings.Index(page, `id="targets"`) {
		t.Error("the page does not say so at its head")
	}
	if want := "<strong>Wrong.</strong> 6 requests violate what must always hold: leak: agent-1, turn 2: &lt;b&gt;; times: ended before it began; 3; 4; 5; and more</p>"; !strings.Contains(page, want) {
		t.Errorf("the page lacks %s", want)
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var file struct{ Invalid, Violations []string }
	if err := json.Unmarshal(b.Bytes(), &file); err != nil ||
		!slices.Equal(file.Invalid, r.Invalid()) || !slices.Equal(file.Violations, r.Violations) {
		t.Errorf("results.json has %q, %q, %v", file.Invalid, file.Violations, err)
	}
	b.Reset()
	if err := r.WriteBaseline(&b); err != nil ||
		!strings.Contains(b.String(), "**Wrong:** 6 requests") {
		t.Errorf("the document does not say so, %v", err)
	}
}
