package metrics_test

import (
	"fmt"
	"strings"

	"loadstone/harness/metrics"
)

// What a server holds after a load is compared with what it held before.
func ExampleState_Above() {
	scrape := func(text string) metrics.State {
		m, err := metrics.Parse(strings.NewReader(text))
		if err != nil {
			panic(err)
		}
		return m.State()
	}
	before := scrape("loadstone_running 0\nloadstone_pool_blocks{state=\"used\"} 2\n")
	after := scrape("loadstone_running 0\nloadstone_pool_blocks{state=\"used\"} 7\n")
	fmt.Println("before:", before)
	fmt.Println("left:", after.Above(before))
	// Output:
	// before: 0 requests that run, 2 blocks in use
	// left: [7 blocks in use, 2 before]
}
