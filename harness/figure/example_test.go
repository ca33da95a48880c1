package figure_test

import (
	"fmt"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/record"
)

// A figure is found by its name and read from the summary of a run.
func ExampleFind() {
	s := record.Summarize("chat", []record.Record{
		{Outcome: record.OK, FirstContent: 80 * time.Millisecond, End: 300 * time.Millisecond},
		{Outcome: record.Rejected},
	}, 2*time.Second, -1)
	for _, name := range []string{"p50-ttft", "req/s", "reject-ratio", "hit-ratio"} {
		f, _ := figure.Find(name)
		if v, ok := f.Value(&s); ok {
			fmt.Printf("%s is %s, %s is better\n", f.BenchUnit(), f.Format(v), f.Better)
		} else {
			fmt.Printf("%s was not measured\n", f.BenchUnit())
		}
	}
	// Output:
	// p50-ttft-ns is 80.0 ms, lower is better
	// req/s is 0.500, higher is better
	// reject-ratio is 50.0 %, lower is better
	// hit-ratio was not measured
}
