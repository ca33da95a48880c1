package report

import (
	"time"

	"loadstone/harness/report/internal/fixture"
)

// fixed is a report of a made-up measurement of the five scenarios.
func fixed() *Report {
	loads, runs := fixture.Bench()
	return New(Meta{
		System: System{Name: "loadstone", Version: "v0.1.0", Commit: "0123456789ab", Model: "tiny",
			Backend: "ref", Quant: "f32", Threads: 2,
			Memory: 48 << 20, CPU: 91 * time.Second},
		Host: Host{OS: "linux", Arch: "amd64", System: "Debian GNU/Linux 12 (bookworm)",
			Kernel: "6.1.0", CPU: "Example CPU @ 2.50GHz",
			SIMD: "avx2", Cores: 2, Memory: 8 << 30, Go: "go1.26.0"},
		Workload: Workload{Runs: 10, Reps: 10, Seed: 1, Goodput: fixture.Objective.String()},
		Start:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		StartUp:  182 * time.Millisecond,
	}, loads, runs)
}

// swept is a report of a load at five rates, of which the server bears three.
func swept() *Report {
	loads, runs := fixture.Sweep()
	return New(Meta{System: System{Model: "m"}, Workload: Workload{Runs: 1, Reps: 1}}, loads, runs)
}
