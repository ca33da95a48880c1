package main

import (
	"os"
	"testing"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/script"
)

// The test binary is the server as well: a target that is started for the test.
func TestMain(m *testing.M) {
	if os.Getenv("ECHO_SERVE") != "" {
		main()
		return
	}
	script.Main(m, map[string]func(){"echo-server": main})
}

func target(tb testing.TB) harness.Target {
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Setenv("ECHO_SERVE", "1")
	return harness.Target{Command: []string{self}, Model: "echo"}
}

func TestHundredAtOnce(t *testing.T) {
	run, err := harness.New(t, target(t)).Run(t.Context(), load.Load{Together: 100})
	if err != nil {
		t.Fatal(err)
	}
	if s := run.Summary(); s.Outcomes[record.OK] != 100 || len(run.Violations) > 0 {
		t.Errorf("%v, violations %v", s.Outcomes, run.Violations)
	}
}

func TestFlows(t *testing.T) { script.Run(t, "testdata/script") }

func BenchmarkServe(b *testing.B) {
	harness.Benchmark(b, target(b), load.Load{Name: "talk", Together: 4, Rounds: 5, Turns: load.Endless, Cache: load.Hot})
}
