package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// The committed plots and tables are those of the committed results.
func TestCommitted(t *testing.T) {
	folder := filepath.Join("..", "..", "benchdata", "growth")
	made, err := files(folder)
	assert.NilError(t, err)
	for _, f := range made {
		there, err := os.ReadFile(filepath.Join(folder, f.name))
		assert.NilError(t, err)
		assert.Assert(t, string(there) == string(f.text),
			"%s is not of these results: go run ./internal/growth benchdata/growth", f.name)
	}
}

// Of several results the smallest counts, what is before stands before what is now, and a cost that
// is proportional to the size has the exponent 1.
func TestTable(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		assert.NilError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o666))
	}
	write("now.txt", `pkg: loadstone/engine
goos: linux
BenchmarkGrowthAgents/what=turn/agents=10-2 	 100	 2000 ns/op	 1500 B/agent
BenchmarkGrowthAgents/what=turn/agents=1000-2 	 100	 2100 ns/op	 1400 B/agent
BenchmarkGrowthAgents/what=turn/agents=1000-2 	 100	 2000 ns/op	 1500 B/agent
BenchmarkOther/agents=10-2 	 100	 1 ns/op
pkg: loadstone/server
BenchmarkGrowthAgents/what=list/agents=10-2 	 100	 100000 ns/op
BenchmarkGrowthAgents/what=list/agents=1000-2 	 100	 10000000 ns/op
`)
	write("before.txt", `pkg: loadstone/engine
BenchmarkGrowthAgents/what=turn/agents=10-2 	 100	 2000 ns/op
BenchmarkGrowthAgents/what=turn/agents=1000-2 	 100	 20000000 ns/op
`)
	write("README.md", "Agents\n<!-- agents -->\nold\n<!-- /agents -->\nend\n")
	written, err := draw(folder)
	assert.NilError(t, err)
	assert.DeepEqual(t, written, []string{"agents.svg", "README.md"})
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	assert.NilError(t, err)
	assert.Equal(t, string(readme), `Agents
<!-- agents -->
| agents | 10 | 1 000 | exponent |
|---|---:|---:|---:|
| turn, before | 2.00 µs | 20.0 ms | 2.0 |
| turn | 2.00 µs | 2.00 µs | 0.0 |
| turn, B/agent | 1.50 kB | 1.40 kB | 0.0 |
| HTTP: list | 100 µs | 10.0 ms | 1.0 |
<!-- /agents -->
end
`)
	svg, err := os.ReadFile(filepath.Join(folder, "agents.svg"))
	assert.NilError(t, err)
	assert.Equal(t, strings.Count(string(svg), "<path"), 4)
	assert.Equal(t, strings.Count(string(svg), "stroke-dasharray"), 1)

	write("README.md", "nothing\n")
	_, err = draw(folder)
	assert.Error(t, err, `README.md has no line "<!-- agents -->"`)
}
