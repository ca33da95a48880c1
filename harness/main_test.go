package harness_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/server/service"
)

// serveVariable makes this test binary the server under test, so that the stress tests attack a process of its own.
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

// A subject is a running server under test and a client for it.
type subject struct {
	*proc.Process
	*client.Client
	harness.StressTestHarness
}

// startSubject starts the server on the embedded default; on MLX where this test is built with -tags mlx. It ends with
// the test, which fails if the server does not end cleanly.
func startSubject(tb testing.TB, flags ...string) *subject {
	tb.Helper()
	self, err := os.Executable()
	assert.NilError(tb, err)
	tb.Setenv(serveVariable, "daemon")
	log, err := os.Create(filepath.Join(tb.TempDir(), "server.log"))
	assert.NilError(tb, err)
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	p, err := proc.Start(ctx, log, self, append([]string{"-addr", "127.0.0.1:0", "-model", "tiny"}, flags...)...)
	assert.NilError(tb, err)
	s := &subject{Process: p, Client: client.New(p.URL)}
	s.StressTestHarness.Client = s.Client
	tb.Cleanup(func() {
		s.Client.Close()
		err := p.Stop(30 * time.Second)
		log.Close()
		if text, _ := os.ReadFile(log.Name()); err != nil || strings.Contains(string(text), "panic") {
			tb.Errorf("server ended with %v; its log:\n%s", err, text)
		}
	})
	return s
}

func (s *subject) metric(tb testing.TB, name string, labels ...string) float64 {
	tb.Helper()
	m, err := s.Scrape(tb.Context())
	assert.NilError(tb, err)
	v := m.Value(name, labels...)
	assert.Assert(tb, v >= 0, "the server has no metric %s %v", name, labels)
	return v
}

// agents makes n conversations, a function of the seed.
func agents(n int, seed uint64) []*harness.Conversation {
	all := make([]*harness.Conversation, n)
	for i := range all {
		all[i] = harness.NewConversation(fmt.Sprintf("agent-%d-%d", seed, i), seed<<16+uint64(i))
	}
	return all
}

// prompts makes n first questions of as many new agents.
func prompts(n int, seed uint64, words, maxTokens int) []client.Prompt {
	all := make([]client.Prompt, n)
	for i, a := range agents(n, seed) {
		all[i] = a.Ask(words, maxTokens)
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

// firstError is the error of the first record that ended in one of the given ways.
func firstError(records []record.Record, not ...record.Outcome) string {
next:
	for _, r := range records {
		for _, o := range not {
			if r.Outcome == o {
				continue next
			}
		}
		return fmt.Sprintf("%s: %s", r.Outcome, r.Error)
	}
	return ""
}
