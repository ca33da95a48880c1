package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

// A report of one run with three requests, as a benchmark file that benchstat and loadstone gate
// read.
func ExampleNew() {
	chat := load.Load{Name: "chat", Concurrency: 1, Prompt: load.Fixed(64), Answer: load.Fixed(16),
		Cache: load.Cold}
	run := record.Run{Scenario: "chat", PeakPool: -1, Elapsed: time.Second}
	for i := range 3 {
		due := time.Duration(i) * 300 * time.Millisecond
		run.Records = append(run.Records, record.Record{Outcome: record.OK, Due: due, Sent: due,
			FirstContent: due + 100*time.Millisecond, End: due + 250*time.Millisecond,
			PromptTokens: 64, OutputTokens: 16})
	}
	meta := report.Meta{System: report.System{Name: "server", Model: "example"},
		Workload: report.NewWorkload(&chat, nil),
		Start:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	r := report.New(meta, []load.Load{chat}, []record.Run{run})
	var bench bytes.Buffer
	if err := r.WriteBench(&bench); err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(bench.String()) {
		if values := strings.Fields(line); strings.HasPrefix(line, "Benchmark") {
			fmt.Println(values[0])
			for pair := range slices.Chunk(values[2:], 2) {
				fmt.Println(" ", pair[0], pair[1])
			}
		}
	}
	// Output:
	// BenchmarkServe/scenario=chat/agents=1/prompt=64/gen=16/cache=cold
	//   1e+08 p50-ttft-ns
	//   1e+08 p95-ttft-ns
	//   1e+08 p99-ttft-ns
	//   2.5e+08 p50-e2e-ns
	//   2.5e+08 p95-e2e-ns
	//   2.5e+08 p99-e2e-ns
	//   3 req/s
	//   48 tok/s
	//   0 hit-ratio
	//   0 error-ratio
	//   0 reject-ratio
	//   0 p99-lag-ns
	//   3 n-ttft
	//   3 n-e2e
	//   3 n-lag
}
