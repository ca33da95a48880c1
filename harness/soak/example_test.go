package soak_test

import (
	"fmt"
	"time"

	"loadstone/harness/metrics"
	"loadstone/harness/record"
	"loadstone/harness/soak"
)

// A server whose memory grows by 1 MiB in every half of a minute has a trend; its latency has none.
func ExampleNew() {
	const window = 30 * time.Second
	log := soak.NewLog(window)
	for second := range 3600 {
		at := time.Duration(second) * time.Second
		log.Add(at, &record.Record{Outcome: record.OK, Due: at, Sent: at,
			FirstContent: at + 20*time.Millisecond, End: at + time.Second/2})
		log.AddState(at, metrics.State{metrics.Memory: float64(200<<20 + second/30<<20)})
	}
	report := soak.New(log.Windows())
	for _, v := range report.Verdicts {
		if v.Standing != soak.Unknown {
			fmt.Printf("%s: %s\n", v.Name, v.Standing)
		}
	}
	// Output:
	// first token: no trend
	// memory: trend
}
