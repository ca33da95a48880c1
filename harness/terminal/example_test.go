package terminal_test

import (
	"os"
	"time"

	"loadstone/harness"
	"loadstone/harness/record"
	"loadstone/harness/terminal"
)

// In a log there is a line at the end of each round.
func ExampleProgress() {
	p := terminal.NewProgress(os.Stdout, 2)
	for round := 1; round <= 2; round++ {
		p.Show(harness.Progress{Scenario: "chat", Done: round, Total: 2,
			Outcomes: map[record.Outcome]int{record.OK: 100 * round},
			Elapsed:  time.Duration(round) * time.Second})
	}
}
