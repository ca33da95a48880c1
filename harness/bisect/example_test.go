package bisect_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"loadstone/harness/bisect"
)

// A search needs to know how a commit is built and how it is measured against the good one. Here
// commit 4 of 0 to 8 makes the server 8 % slower, and the machine is free of noise.
func ExampleSearch() {
	s := bisect.Search{
		Commits: 9,
		Budget:  time.Hour,
		Build:   func(context.Context, int) (program string, err error) { return "", nil },
		Measure: func(_ context.Context, commit int) ([]float64, error) {
			if commit >= 4 {
				return []float64{math.Log(1.08), math.Log(1.08)}, nil
			}
			return []float64{0, 0}, nil
		},
	}
	result, err := s.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	commits := make([]bisect.Commit, 9)
	for i := range commits {
		commits[i] = bisect.Commit{Hash: fmt.Sprintf("%d%d%d%d", i, i, i, i), Subject: fmt.Sprintf("change %d", i)}
	}
	result.Took = 0 // is that of this machine
	result.Write(os.Stdout, commits, "p50-ttft of chat", 0.02)
	// Output:
	// 4444 is where p50-ttft of chat got worse, with probability > 99 %: +7.9 % (+7.3 … +8.6 %)
	//   change 4
	// 8 sessions of 5 builds in 0s; a build differs by 0.11 % from session to session
}
