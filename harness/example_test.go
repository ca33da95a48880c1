package harness_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
	"loadstone/harness/stub"
)

// A hundred agents ask at one moment, against a server that answers at once. In a test, harness.New
// does what Open and Close do here.
func ExampleStressTestHarness_Run() {
	server := httptest.NewServer(stub.Server(0))
	defer server.Close()
	h, err := harness.Open(context.Background(), harness.Target{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	run, err := h.Run(context.Background(), load.Load{Together: 100})
	fmt.Println(run.Summary().Outcomes[record.OK], "answered,", len(run.Violations), "violations,", err)
	// Output: 100 answered, 0 violations, <nil>
}

// A load that is too long to keep is read record by record.
func ExampleStressTestHarness_Records() {
	server := httptest.NewServer(stub.Server(0))
	defer server.Close()
	h, err := harness.Open(context.Background(), harness.Target{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	n := 0
	for r, err := range h.Records(context.Background(), load.Load{Concurrency: 4, Requests: 1000}) {
		if err != nil || r.Outcome != record.OK {
			fmt.Println(r.Outcome, err)
			return
		}
		n++
	}
	fmt.Println(n, "answered")
	// Output: 1000 answered
}

// Two of the five scenarios of every baseline, two rounds of each.
func ExamplePlan_Run() {
	server := httptest.NewServer(stub.Server(0))
	defer server.Close()
	h, err := harness.Open(context.Background(), harness.Target{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	files, err := scenario.Five("single-cold", "concurrent-5")
	if err != nil {
		fmt.Println(err)
		return
	}
	plan := harness.Plan{Runs: 2}
	for _, f := range files {
		plan.Loads = append(plan.Loads, f.Load)
	}
	runs, _, err := plan.Run(context.Background(), h.Client)
	for _, run := range runs {
		s := run.Summary()
		fmt.Println(run.Index, s.Scenario, s.Requests, s.Outcomes[record.OK])
	}
	fmt.Println(err)
	// Output:
	// 0 single-cold 10 10
	// 0 concurrent-5 50 50
	// 1 single-cold 10 10
	// 1 concurrent-5 50 50
	// <nil>
}
