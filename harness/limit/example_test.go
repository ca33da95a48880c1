package limit_test

import (
	"fmt"
	"time"

	"loadstone/harness/limit"
	"loadstone/harness/record"
)

// A percentile that is within its limit is not shown to hold by a sample that is too small to bound
// it.
func ExampleLimit_Judge() {
	var records []record.Record
	for range 20 {
		records = append(records, record.Record{Outcome: record.OK,
			FirstContent: 80 * time.Millisecond, End: 300 * time.Millisecond})
	}
	s := record.Summarize("chat", records, time.Second, -1)
	for _, text := range []string{"p50-ttft < 100ms", "p99-e2e < 5s", "req/s >= 25"} {
		l, err := limit.Parse(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		o := l.Judge(&s)
		fmt.Printf("%s %s: %s, %s\n", o.Name, o.Bound, o.Figure, o.Word())
	}
	// Output:
	// p50-ttft < 100 ms: 80.0 ms, met
	// p99-e2e < 5.00 s: 300 ms, not shown: needs 441 requests
	// req/s >= 25.0: 20.0, missed
}
