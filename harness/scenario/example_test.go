package scenario_test

import (
	"fmt"

	"loadstone/harness/scenario"
)

// A scenario file is read into a load, what must come of it, and how often it is run.
func ExampleParse() {
	f, err := scenario.Parse("chat.txtar", []byte(`Eight agents talk for three turns each.
-- load --
concurrency: 8
turns: 3
duration: 30s
runs: 6
-- expect --
error-ratio == 0
p95-ttft < 500ms
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s, %d runs\n", f.Load.Name, f.Load.Shape(), f.Runs)
	for _, limit := range f.Expect {
		fmt.Println("it must hold that", limit.Text)
	}
	// Output:
	// chat: closed loop, 8 at a time, 6 runs
	// it must hold that error-ratio == 0
	// it must hold that p95-ttft < 500ms
}

// What is wrong in a file is said with its line and the way out.
func ExampleParse_error() {
	_, err := scenario.Parse("chat.txtar", []byte("-- load --\nconcurrency: eight\nrequests: 40\n"))
	fmt.Println(err)
	// Output:
	// chat.txtar:2: concurrency: "eight" is not a whole number; want a number, 1 or more
}
