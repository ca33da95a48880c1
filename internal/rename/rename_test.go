package main

import (
	"testing"
)

// Paths of packages get the new beginning; other words and files with the same letters stay. The
// module has another name here, so that this file stays as it is when ours is renamed.
func TestPaths(t *testing.T) {
	p := newPaths("lodestar", "example.com/you/lodestar",
		[]string{"go.mod", "README.md", "engine/engine.go", "harness/command/main.go", "benchdata/a.txt"})
	for _, c := range []struct{ name, old, new string }{
		{"a.go", `import "lodestar/engine"`, `import "example.com/you/lodestar/engine"`},
		{"a.go", `import _ "lodestar/harness/command"`,
			`import _ "example.com/you/lodestar/harness/command"`},
		{"a.go", `strings.HasPrefix(path+"/", "lodestar/")`,
			`strings.HasPrefix(path+"/", "example.com/you/lodestar/")`},
		{"a.go", `"model": "lodestar/NAME"`, ""},
		{"a.go", `filepath.Join(cache, "lodestar", "models")`, ""},
		{"a.go", `"lodestar/enginebench"`, ""},
		{"a.go", `"/tmp/lodestar/engine"`, ""},
		{"a.go", `"other.com/lodestar/engine"`, ""},
		{"a.md", "`go doc lodestar/engine`, `lodestar/harness`.",
			"`go doc example.com/you/lodestar/engine`, `example.com/you/lodestar/harness`."},
		{"a.md", "a folder lodestar/ and benchdata: lodestar/benchdata", ""},
		{".ci/run", "staticcheck lodestar/... lodestar/harness/...",
			"staticcheck example.com/you/lodestar/... example.com/you/lodestar/harness/..."},
		{".ci/run", "go run ./harness/cmd/lodestar model", ""},
		{"go.mod", "module lodestar\n\ngo 1.26.0\n",
			"module example.com/you/lodestar\n\ngo 1.26.0\n"},
		{"sub/go.mod", "module lodestar/server/sdktest\n",
			"module example.com/you/lodestar/server/sdktest\n"},
		{"a.md", "module lodestar\n", ""},
	} {
		if c.new == "" {
			c.new = c.old
		}
		if got := string(p.rename(c.name, []byte(c.old))); got != c.new {
			t.Errorf("%s: %s\nbecomes %s\nwant    %s", c.name, c.old, got, c.new)
		}
	}
	back := newPaths("example.com/you/lodestar", "lodestar", []string{"engine/engine.go"})
	if got := string(back.rename("a.go", []byte(`"example.com/you/lodestar/engine"`))); got != `"lodestar/engine"` {
		t.Errorf("renamed back: %s", got)
	}
}
