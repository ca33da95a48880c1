package table_test

import (
	"fmt"
	"time"

	"loadstone/harness/table"
)

// The first column is set to the left, the others, which are numbers, to the right.
func ExampleAlign() {
	rows := [][]string{{"scenario", "p50", "hits"},
		{"single-cold", table.Duration(6910 * time.Microsecond), table.Percent(0)},
		{"concurrent-10", table.Duration(51500 * time.Microsecond), table.Percent(0.917)}}
	for _, line := range table.Align(rows, 0) {
		fmt.Println(line)
	}
	fmt.Println(table.Plural(1, "request") + ", " + table.Plural(2, "request"))
	// Output:
	// scenario           p50    hits
	// single-cold    6.91 ms     0 %
	// concurrent-10  51.5 ms  91.7 %
	// 1 request, 2 requests
}
