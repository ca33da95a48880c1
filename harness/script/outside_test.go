package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/assert/cmp"
	"gotest.tools/v3/poll"
)

// Somebody else's module, outside the repository, stress-tests, benchmarks and scripts a server of
// its own with no more than a require and a replace, and benchstat reads what its benchmark prints.
func TestOutside(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not in PATH, and the test builds a module with it")
	}
	repository, err := filepath.Abs("../..")
	assert.NilError(t, err)
	dir := t.TempDir()
	assert.NilError(t, os.CopyFS(dir, os.DirFS("testdata/outside")))
	assert.NilError(t, os.Rename(filepath.Join(dir, "go.mod.txt"), filepath.Join(dir, "go.mod")))
	try := func(in string, args ...string) (said string, err error) {
		cmd := exec.Command(goTool, args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	run := func(in string, args ...string) string {
		t.Helper()
		out, err := try(in, args...)
		assert.NilError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
		return out
	}
	run(dir, "mod", "edit", "-require", "loadstone@v0.0.0", "-replace", "loadstone="+repository)
	// It downloads modules, whose registry may be away for a moment.
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		if out, err := try(dir, "mod", "tidy"); err != nil {
			return poll.Continue("go mod tidy: %v: %s", err, out)
		}
		return poll.Success()
	}, poll.WithTimeout(3*time.Minute), poll.WithDelay(20*time.Second))
	tests := run(dir, "test", "-v", "-run", ".", ".")
	for _, name := range []string{"TestHundredAtOnce", "TestFlows/flow"} {
		assert.Assert(t, cmp.Contains(tests, "--- PASS: "+name))
	}
	bench := run(dir, "test", "-run", "^$", "-bench", ".", "-count", "6", "-benchtime", "1x", ".")
	assert.Equal(t, strings.Count(bench, "\nBenchmarkServe/scenario=talk/agents=4/prompt=64/gen=16/cache=warm"), 6, bench)
	file := filepath.Join(dir, "bench.txt")
	assert.NilError(t, os.WriteFile(file, []byte(bench), 0o644))
	table := run(repository, "tool", "benchstat", file)
	for _, want := range []string{"p50-e2e-sec", "tok/s", " ± "} {
		assert.Assert(t, cmp.Contains(table, want))
	}
	assert.Assert(t, !strings.Contains(table, "∞"), "fewer samples than an interval takes:\n%s", table)
}
