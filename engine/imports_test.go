package engine

import (
	"os/exec"
	"strings"
	"testing"
)

// list runs go list in the repository's root.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not in PATH, and the test asks it for the imports")
	}
	cmd := exec.Command(goTool, append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	return strings.Fields(string(out))
}

// The engine, all its internal packages, and the server stand on the standard library alone. The
// one exception is engine/tokenizer, which wraps libraries for tokenizers and templates; only
// commands may import it, so nothing here may reach it either.
func TestStandardLibraryOnly(t *testing.T) {
	packages := []string{"./engine", "./engine/internal/...", "./server"}
	deps := append([]string{"-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"},
		packages...)
	for _, path := range list(t, deps...) {
		ours := strings.HasPrefix(path+"/", "loadstone/")
		if !ours || strings.HasPrefix(path, "loadstone/engine/tokenizer") ||
			strings.HasPrefix(path, "loadstone/metal") {
			t.Errorf("%s imports %s", strings.Join(packages, " or "), path)
		}
	}
}

// The engine's internal packages can be used without it: of this module they import each other and
// its internal packages only.
func TestInternalPackagesStandAlone(t *testing.T) {
	const own = "loadstone/engine/internal/"
	found := 0
	for _, path := range list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}",
		"./engine/internal/...") {
		if !strings.HasPrefix(path, own) && !strings.HasPrefix(path, "loadstone/internal/") {
			t.Errorf("a package in %s imports %s", own, path)
		}
		found++
	}
	if found < 3 {
		t.Errorf("%d packages found in %s", found, own)
	}
}
