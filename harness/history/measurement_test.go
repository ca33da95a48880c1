package history

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bench is a bench.txt of one scenario, whose runs take so many milliseconds.
func bench(host string, runs ...float64) string {
	var b strings.Builder
	b.WriteString("# loadstone bench, 2026-11-29T10:00:00Z\nUnit p50-e2e-ns better=lower\n" +
		"Unit p50-e2e-ns assume=nothing\nUnit p99-lag-ns better=lower\nUnit tok/s better=higher\n" +
		"hostclass: " + host + "\n")
	for _, ms := range runs {
		fmt.Fprintf(&b, "BenchmarkServe/scenario=solo/agents=1 10 %g p50-e2e-ns 99 p99-lag-ns %g tok/s\n",
			ms*1e6, 1e5/ms)
	}
	return b.String()
}

// around are ten runs that take about so long.
func around(ms float64) []float64 {
	var runs []float64
	for i := range 10 {
		runs = append(runs, ms*(1+0.004*float64((i*7)%10-5)))
	}
	return runs
}

func commit(n int) Commit {
	return Commit{Hash: fmt.Sprintf("%07x%033d", 0xa000000+n*0x11111, n), Subject: fmt.Sprintf("server: change %d", n),
		Date: time.Date(2026, 11, 1+n, 12, 0, 0, 0, time.UTC)}
}

// What is written is read again as it was, without the units that nothing is judged by.
func TestWriteAndParse(t *testing.T) {
	m := NewMeasurement("x", commit(1), commit(2), []byte(bench("here", around(10)...)),
		[]byte(bench("here", around(12)...)))
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.Contains(text, "lag") || strings.Count(text, "Unit p50-e2e-ns better") != 1 {
		t.Errorf("units that are not judged, or twice:\n%s", text)
	}
	again, err := Parse("x", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if again.Base.Hash != m.Base.Hash || !again.Head.Date.Equal(m.Head.Date) {
		t.Errorf("commits %+v and %+v, want %+v and %+v", again.Base, again.Head, m.Base, m.Head)
	}
	h := mustHistory(t, []Measurement{again}, nil)
	for _, s := range h.Series {
		want := map[string]float64{"p50-e2e": 1.2, "tok/s": 1 / 1.2}[s.Unit]
		if got := s.Points[1].Level; got < want-0.01 || got > want+0.01 {
			t.Errorf("%s is at %g of the base, want %g", s.Unit, got, want)
		}
	}
	if len(h.Series) != 2 {
		t.Errorf("%d series, want p50-e2e and tok/s", len(h.Series))
	}
}

func mustHistory(t *testing.T, all []Measurement, timeline Timeline) *History {
	t.Helper()
	h, err := New(all, timeline, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Commits that were not measured lie within the span of a change.
func TestSpanOfUnmeasuredCommits(t *testing.T) {
	var timeline Timeline
	for i := range 41 {
		timeline = append(timeline, commit(i))
	}
	var all []Measurement
	for i := 4; i <= 40; i += 4 {
		ms := 10.0
		if i > 20 {
			ms = 11
		}
		all = append(all, NewMeasurement(fmt.Sprint(i), timeline[0], timeline[i],
			[]byte(bench("host"+fmt.Sprint(i), around(10)...)), // another machine each
			[]byte(bench("host"+fmt.Sprint(i), around(ms)...))))
	}
	h := mustHistory(t, all, timeline)
	if len(h.Skipped) > 0 {
		t.Fatalf("skipped %v", h.Skipped)
	}
	for _, s := range h.Series {
		if len(s.Changes) != 1 {
			t.Fatalf("%s: changes %+v, want one", s.Unit, s.Changes)
		}
		c := s.Changes[0]
		want := Span{After: timeline[20], By: timeline[24], Commits: 4}
		if c.Span != want || c.Better != -1 || c.Size*float64(s.Better) > 0 ||
			!(c.Lo < c.Size && c.Size < c.Hi) {
			t.Errorf("%s: %+v, want a change for the worse in %v", s.Unit, c, want)
		}
	}
	if err := h.Since(timeline[24]); err != nil || len(h.Series[0].Changes) > 0 {
		t.Errorf("since the commit of the change: %v, %+v", err, h.Series[0].Changes)
	}
}

// What cannot be used is skipped with its reason, and the rest is used.
func TestSkipped(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ratio := func(n int, base, head string) string {
		var b bytes.Buffer
		m := NewMeasurement("", commit(0), commit(n), []byte(base), []byte(head))
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	fine := bench("here", around(10)...)
	write("1-fine.txt", ratio(1, fine, fine))
	write("2-failed.txt", ratio(2, fine, strings.Replace(fine, "hostclass",
		"violations: 3, the first: another agent's words\nhostclass", 1)))
	write("3-unlike.txt", ratio(3, fine, bench("there", around(10)...)))
	write("4-half.txt", "side: base\ncommit: abc\n"+fine)
	write("5-alone.txt", "commit: abc\n"+fine)
	write("6-few.txt", ratio(6, bench("here", 10, 11), bench("here", 10, 11)))
	write("7-empty.txt", ratio(7, fine, ""))
	write("8-binary.txt", "side: base\ncommit: a\n\x00\nside: head\ncommit: b\n\x00\n")
	write("9-json/results.json", "{}")
	write("notes.md", "no measurement")
	all, skipped, err := ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := mustHistory(t, all, nil)
	got := map[string]string{}
	for _, s := range append(skipped, h.Skipped...) {
		got[filepath.Base(s.Name)] = s.Why
	}
	for name, want := range map[string]string{
		"2-failed.txt": "another agent's words", "3-unlike.txt": "hostclass",
		"4-half.txt": "one side of the two", "5-alone.txt": "it has one side",
		"6-few.txt": "too few runs", "7-empty.txt": "no benchmark result", "8-binary.txt": "not text",
		"9-json": "loadstone report makes it",
	} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s: %q, want a reason with %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("also skipped: %v", got)
	}
	if len(h.Commits) < 2 || len(h.Series) != 2 {
		t.Errorf("the sound measurement was not used: %+v", h.Series)
	}
}

// Results of one side are compared with the newest sound one, and only with those of its machine.
func TestSingleResults(t *testing.T) {
	var all []Measurement
	for i := range 12 {
		ms, host := 10.0, "here"
		if i >= 6 {
			ms = 12
		}
		if i == 2 {
			host = "there"
		}
		text := bench(host, around(ms)...)
		if i == 11 {
			text += "FAIL\n"
		}
		m, err := Parse(fmt.Sprint(i), []byte("# commit "+commit(i).Hash+"\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		m.Head.Date = commit(i).Date
		all = append(all, m)
	}
	h := mustHistory(t, all, nil)
	if len(h.Skipped) != 2 || !strings.Contains(h.Skipped[0].Why, "only ratios") ||
		!strings.Contains(h.Skipped[1].Why, "FAIL") {
		t.Errorf("skipped %v, want the other machine's and the failed one", h.Skipped)
	}
	s := h.Series[0]
	if s.Unit != "p50-e2e" || len(s.Changes) != 1 || s.Changes[0].By.Hash != commit(6).Hash ||
		s.Points[0].Value != "9.98 ms" || s.Reference.Hash != commit(10).Hash {
		t.Errorf("%s beside %s, first %+v, changes %+v", s.Unit, s.Reference.Short(), s.Points[0], s.Changes)
	}
}
