package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"loadstone/harness/figure"
	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// What is stored is what was measured: a report made again is the same, figure by figure.
func TestReadWhatWasWritten(t *testing.T) {
	r := fixed()
	r.Stopped = "the server is gone"
	r.Limits = []limit.Outcome{}
	r.Highest = load.Level{Kind: "rate", Value: 4}
	r.Results[4].Agents = 0
	r.Results[0].Warmup = []record.Record{{Place: record.Place{Scenario: "single-cold",
		Warmup: true}, Outcome: record.OK}, {Place: record.Place{Warmup: true}, Outcome: record.OK}}
	var records []record.Record
	var samples []record.Sample
	for _, s := range r.Results {
		records = append(append(records, s.Warmup...), s.Records...)
		samples = append(samples, s.Samples...)
	}
	var stored bytes.Buffer
	if err := r.WriteJSON(&stored); err != nil {
		t.Fatal(err)
	}
	again, err := Read(&stored, records, samples)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("-stored +read:\n%s", diff)
	}
	var first, second bytes.Buffer
	r.WriteBaseline(&first)
	again.WriteBaseline(&second)
	if first.String() != second.String() {
		t.Error("the document made again is another")
	}
}

// Records alone make a report as well; they then tell how long the load was.
func TestReadRecordsAlone(t *testing.T) {
	want := fixed()
	var records []record.Record
	for _, s := range want.Results {
		records = append(records, s.Records...)
	}
	r, err := Read(nil, records, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Results {
		w, got := &want.Results[i], &r.Results[i]
		if diff := cmp.Diff(w.Pooled.E2E, got.Pooled.E2E); diff != "" || got.Agents != w.Agents ||
			len(got.Runs) != len(w.Runs) {
			t.Errorf("%s: %d agents, %d runs, (-want +got):\n%s", got.Pooled.Scenario, got.Agents,
				len(got.Runs), diff)
		}
		// A repetition ends with its last answer and the next is due a millisecond later, which is
		// not load.
		if d := w.Pooled.Elapsed - got.Pooled.Elapsed; d != 100*time.Millisecond {
			t.Errorf("%s: under load for %v less than measured with the pauses",
				got.Pooled.Scenario, d)
		}
	}
	if r.Workload.Runs != 10 || r.Workload.Reps != 10 {
		t.Errorf("%d runs of %d", r.Workload.Runs, r.Workload.Reps)
	}
	if _, err := Read(nil, nil, nil); err == nil {
		t.Error("a report was made of nothing")
	}
	if _, err := Read(strings.NewReader(`{"format":"loadstone-results/99"}`), records, nil); err == nil {
		t.Error("a format of the future was read")
	}
}

// A time that never came, or that was not measured, is not a number in the file. Every summary has
// every distribution.
func TestJSONOfTimes(t *testing.T) {
	s := answered("a", 1, 1, 1e6, 2e6, 3e6, 4e6, 1)
	s.Records = append(s.Records, record.Record{Place: record.Place{Scenario: "a"},
		Outcome: record.Timeout, FirstContent: -1})
	s.Pooled = record.Summarize("a", s.Records, time.Second, -1)
	var b bytes.Buffer
	if err := (&Report{Results: []Result{s}}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Scenarios []struct {
			Name string `json:"scenario"`
			All  struct {
				Figures map[string]*float64
				Times   map[string]map[string]any
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &file); err != nil {
		t.Fatal(err)
	}
	all := file.Scenarios[0].All
	if e2e := all.Times["e2e"]; e2e["p50_ns"] != 10e6 || e2e["p99_ns"] != "never" ||
		e2e["n"] != 2.0 {
		t.Errorf("e2e is %v", e2e)
	}
	if itl := all.Times["itl"]; itl["p50_ns"] != nil || all.Figures["peak-pool-ratio"] != nil ||
		file.Scenarios[0].Name != "a" {
		t.Errorf("what was not measured is %v, %v", itl, all.Figures["peak-pool-ratio"])
	}
	if len(all.Times) != len(figure.AllTimes) {
		t.Errorf("%d distributions, want %d", len(all.Times), len(figure.AllTimes))
	}
}

func TestCSV(t *testing.T) {
	r := fixed()
	var summary, requests bytes.Buffer
	if err := r.WriteSummaryCSV(&summary); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteRequestsCSV(&requests); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&summary).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 5*11*(len(figure.Scalars())+len(figure.AllTimes)); len(rows) != want {
		t.Errorf("%d rows, want %d: 5 scenarios, all and each of 10 runs", len(rows), want)
	}
	rows, err = csv.NewReader(&requests).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if sent, _ := r.requests(); len(rows) != 1+sent {
		t.Errorf("%d rows, want one for each of %d requests", len(rows)-1, sent)
	}
	first := map[string]string{}
	for i, name := range rows[0] {
		first[name] = rows[1][i]
	}
	if first["ttft_ms"] != "51.177" || first["run"] != "1" || first["outcome"] != "ok" ||
		first["prompt_tokens"] != "512" {
		t.Errorf("the first request is %v", first)
	}
}

// A server's words do not become a formula in the reader's spreadsheet.
func TestCSVRunsNothing(t *testing.T) {
	row := requestRow(&record.Record{Place: record.Place{Agent: "@a"}, Outcome: record.Failed, Error: `=HYPERLINK("x")`, Finish: "+1", FirstContent: -1}, load.Objective{})
	for _, cell := range row {
		if cell != "" && strings.ContainsRune("=+@", rune(cell[0])) {
			t.Errorf("a cell begins like a formula: %s", cell)
		}
	}
}

// What an earlier version wrote is read: format 1, whose figures have other spellings and whose
// outcomes say met and judged, beside records that carry a verdict of their own.
func TestReadFormat1(t *testing.T) {
	const results = `{"format": "loadstone-results/1", "system": {"name": "loadstone", "model": "m", "backend": "metal"},
		"load": {"runs": 1, "reps": 2, "goodput": "e2e < 15ms"}, "start_up_ns": 5, "client": {"floors": null, "busy_ratio": 0.25},
		"scenarios": [{"scenario": "a", "agents": 3, "cache": "warm", "prompt_tokens": 64, "max_tokens": 16, "about": "x",
			"all": {"elapsed_ns": 2000000000, "peak_pool_ratio": 0.5, "goodput_req_per_s": 1, "good_ratio": 1, "hit_ratio": null},
			"by_run": [{"run": 1, "elapsed_ns": 2000000000, "peak_pool_ratio": 0.5}]}],
		"limits": [{"name": "p95-e2e", "limit": "< 1 s", "figure": "20.0 ms", "scenario": "a", "met": false, "judged": false,
			"needs_requests": 76, "fraction": 0.02}],
		"targets": []}`
	const lines = `{"scenario":"a","run":0,"rep":0,"outcome":"ok","end_ns":10000000,"slo":"missed","plan":"x","cache":"warm"}
		{"scenario":"a","run":0,"rep":1,"outcome":"ok","end_ns":20000000,"slo":"met","cache":"warm"}`
	records, err := record.Read(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(strings.NewReader(results), records, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &r.Results[0]
	if r.System.Backend != "mlx" || r.Generator.Busy != 0.25 || s.Cache != load.Hot ||
		s.Agents != 3 || records[0].Intent != "x" {
		t.Errorf("head is %+v, result %+v", r.Meta, s)
	}
	if s.Pooled.PeakPool != 0.5 || s.Pooled.Elapsed != 2*time.Second || s.Pooled.Judged != 2 ||
		s.Pooled.GoodRatio != 0.5 {
		t.Errorf("pool %g, %v, %d judged, %g good", s.Pooled.PeakPool, s.Pooled.Elapsed,
			s.Pooled.Judged, s.Pooled.GoodRatio)
	}
	want := limit.Outcome{Limit: limit.Limit{Unit: "p95-e2e"}, Standing: limit.NotShown, Needs: 76,
		Name: "p95-e2e", Bound: "< 1 s",
		Figure: "20.0 ms", Scenario: "a", Fraction: 0.02}
	if len(r.Limits) != 1 || r.Limits[0] != want {
		t.Errorf("limits are %+v, want %+v", r.Limits, want)
	}
}
