package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/assert/cmp"
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
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.Command(goTool, args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		assert.NilError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
		return string(out)
	}
	run(dir, "mod", "edit", "-require", "loadstone@v0.0.0", "-replace", "loadstone="+repository)
	run(dir, "mod", "tidy")
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
