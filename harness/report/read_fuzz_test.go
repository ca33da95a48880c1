package report

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// FuzzRead reads what was stored, however it was changed or cut since then: it is made into every
// form, or refused with an error, and never ends the program. Reports read files that come from
// elsewhere.
func FuzzRead(f *testing.F) {
	lines := func(records []record.Record) []byte {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		for _, r := range records {
			enc.Encode(r)
		}
		return b.Bytes()
	}
	seed := func(r *Report) { // small, or the fuzzer is busy with its bytes
		for i := range r.Results {
			s := &r.Results[i]
			s.Runs, s.Records = s.Runs[:1], s.Records[:4]
		}
		var results bytes.Buffer
		if err := r.WriteJSON(&results); err != nil {
			f.Fatal(err)
		}
		var records []record.Record
		for _, s := range r.Results {
			records = append(append(records, s.Warmup...), s.Records...)
		}
		f.Add(results.Bytes(), lines(records), []byte(`{"scenario":"x","run":0,"at_ns":5000000,"queue":1,"running":2,"pool":0.5}`))
	}
	bench := fixed()
	bench.Results = bench.Results[3:]
	seed(bench)
	searched := generated()
	searched.Workload.Search, searched.Workload.Expect = "rate",
		[]string{"p95-ttft < 20ms", "error-ratio == 0", "hit-ratio > 2%"}
	searched.Highest = load.Level{Kind: "rate", Value: 2}
	seed(searched)
	f.Add([]byte(nil), lines([]record.Record{{Place: record.Place{Scenario: "x"},
		Outcome: record.OK, Due: 1, End: 1 << 62, Chunks: []time.Duration{5, 3}, Reasoning: 9}}),
		[]byte(nil))
	f.Fuzz(func(t *testing.T, results, records, samples []byte) {
		requests, err := record.Read(bytes.NewReader(records))
		if err != nil {
			return
		}
		looks, err := record.ReadSamples(bytes.NewReader(samples))
		if err != nil {
			return
		}
		var stored io.Reader
		if len(results) > 0 {
			stored = bytes.NewReader(results)
		}
		r, err := Read(stored, requests, looks)
		if err != nil {
			return
		}
		r.SetGoodput(load.Objective{TTFT: time.Millisecond})
		for _, write := range []func(io.Writer) error{r.WriteJSON, r.WriteBench, r.WriteSummaryCSV,
			r.WriteRequestsCSV, r.WriteBaseline,
			func(w io.Writer) error { return r.WriteTable(w, true) }} {
			write(io.Discard) // an error is an answer
		}
		if whole, err := Merge([]*Report{r, r}); err == nil {
			whole.WriteBaseline(io.Discard)
		}
	})
}

// A highest level of which there is no result is an error. That happens where results.json lies
// beside the records of another measurement.
func TestHighestOfNothing(t *testing.T) {
	r := generated()
	r.Workload.Search, r.Workload.Expect = "rate", []string{"p95-ttft < 20ms"}
	r.Highest = load.Level{Kind: "rate", Value: 3}
	err := r.Hold()
	if err == nil ||
		err.Error() != "the highest level that was found is rate=3, of which there are no results" {
		t.Errorf("%v", err)
	}
}
