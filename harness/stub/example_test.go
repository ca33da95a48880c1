package stub_test

import (
	"fmt"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stub"
)

// The densest three seconds of a small load are replayed: four requests that were due within 2.1 s.
func ExampleNewReplay() {
	const ms = time.Millisecond
	var records []record.Record
	for _, due := range []time.Duration{0, 5000 * ms, 6000 * ms, 6400 * ms, 7100 * ms, 20000 * ms} {
		records = append(records, record.Record{Outcome: record.OK, Due: due, Sent: due,
			End: due + 500*ms, Chunks: make([]time.Duration, 50)})
	}
	replay, ok := stub.NewReplay(records)
	fmt.Println(ok, replay.Due)
	fmt.Println(replay.Tokens, "tokens,", replay.Interval, "apart")
	// Output:
	// true [0s 1s 1.4s 2.1s]
	// 50 tokens, 10ms apart
}
