package harness_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/server/service"
)

// serveVariable makes this test binary the server under test, so that the stress tests attack a
// process of its own.
const serveVariable = "LOADSTONE_TEST_SERVE"

func TestMain(m *testing.M) {
	serve := map[string]func() error{
		"daemon": func() error { return service.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr) },
		"null":   serveNull,
	}[os.Getenv(serveVariable)]
	if serve != nil {
		proc.FollowParent()
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "loadstone:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		// Before the first result: benchstat needs to know which way is better.
		for _, unit := range benchUnits {
			fmt.Printf("Unit %s better=%s\n", unit.name, unit.better)
		}
	}
	os.Exit(m.Run())
}

// embedded is the server on the embedded default; on MLX where this test is built with -tags mlx.
func embedded(tb testing.TB, flags ...string) harness.Target {
	tb.Helper()
	self, err := os.Executable()
	assert.NilError(tb, err)
	tb.Setenv(serveVariable, "daemon")
	return harness.Target{Command: append([]string{self, "-addr", "127.0.0.1:0", "-model", "tiny"}, flags...)}
}

// start starts the server on the embedded default.
func start(tb testing.TB, flags ...string) *harness.StressTestHarness {
	tb.Helper()
	return harness.New(tb, embedded(tb, flags...))
}

func metric(tb testing.TB, h *harness.StressTestHarness, name string, labels ...string) float64 {
	tb.Helper()
	m, err := h.Client.Scrape(tb.Context())
	assert.NilError(tb, err)
	v := m.Value(name, labels...)
	assert.Assert(tb, v >= 0, "the server has no metric %s %v", name, labels)
	return v
}

// prompts makes n first questions of as many new agents.
func prompts(n int, seed uint64, words, maxTokens int) []client.Prompt {
	all := make([]client.Prompt, n)
	for i := range all {
		all[i] = harness.NewConversation(fmt.Sprintf("agent-%d-%d", seed, i), seed<<16+uint64(i)).Ask(words, maxTokens)
	}
	return all
}

func outcomes(records []record.Record) map[record.Outcome]int {
	n := map[record.Outcome]int{}
	for _, r := range records {
		n[r.Outcome]++
	}
	return n
}

// firstError is the error of the first record that ended in none of the given ways.
func firstError(records []record.Record, not ...record.Outcome) string {
	for _, r := range records {
		if !slices.Contains(not, r.Outcome) {
			return fmt.Sprintf("%s: %s", r.Outcome, r.Error)
		}
	}
	return ""
}
