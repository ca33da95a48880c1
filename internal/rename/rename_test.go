package main

import (
	"testing"
)

// Paths of packages get the new beginning; other words and files with the same letters stay.
func TestPaths(t *testing.T) {
	p := newPaths("loadstone", "example.com/you/loadstone",
		[]string{"go.mod", "README.md", "engine/engine.go", "harness/command/main.go", "benchdata/a.txt"})
	for _, c := range []struct{ name, old, new string }{
		{"a.go", `import "loadstone/engine"`, `import "example.com/you/loadstone/engine"`},
		{"a.go", `import _ "loadstone/harness/command"`,
			`import _ "example.com/you/loadstone/harness/command"`},
		{"a.go", `strings.HasPrefix(path+"/", "loadstone/")`,
			`strings.HasPrefix(path+"/", "example.com/you/loadstone/")`},
		{"a.go", `"model": "loadstone/NAME"`, ""},
		{"a.go", `filepath.Join(cache, "loadstone", "models")`, ""},
		{"a.go", `"loadstone/enginebench"`, ""},
		{"a.go", `"/tmp/loadstone/engine"`, ""},
		{"a.go", `"other.com/loadstone/engine"`, ""},
		{"a.md", "`go doc loadstone/engine`, `loadstone/harness`.",
			"`go doc example.com/you/loadstone/engine`, `example.com/you/loadstone/harness`."},
		{"a.md", "a folder loadstone/ and benchdata: loadstone/benchdata", ""},
		{".ci/run", "staticcheck loadstone/... loadstone/harness/...",
			"staticcheck example.com/you/loadstone/... example.com/you/loadstone/harness/..."},
		{".ci/run", "go run ./harness/cmd/loadstone model", ""},
		{"go.mod", "module loadstone\n\ngo 1.26.0\n",
			"module example.com/you/loadstone\n\ngo 1.26.0\n"},
		{"sub/go.mod", "module loadstone/server/sdktest\n",
			"module example.com/you/loadstone/server/sdktest\n"},
		{"a.md", "module loadstone\n", ""},
	} {
		if c.new == "" {
			c.new = c.old
		}
		if got := string(p.rename(c.name, []byte(c.old))); got != c.new {
			t.Errorf("%s: %s\nbecomes %s\nwant    %s", c.name, c.old, got, c.new)
		}
	}
	back := newPaths("example.com/you/loadstone", "loadstone", []string{"engine/engine.go"})
	if got := string(back.rename("a.go", []byte(`"example.com/you/loadstone/engine"`))); got != `"loadstone/engine"` {
		t.Errorf("renamed back: %s", got)
	}
}
