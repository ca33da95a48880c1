package engine

import (
	"os/exec"
	"strings"
	"testing"
)

// The engine and the server stand on the standard library alone. The one exception is
// engine/tokenizer, which wraps kept libraries for tokenizers and templates; only commands may
// import it, so nothing here may reach it either.
func TestStandardLibraryOnly(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not in PATH, and the test asks it for the imports")
	}
	packages := []string{"./engine", "./server"}
	cmd := exec.Command(goTool, append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"}, packages...)...)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	for path := range strings.FieldsSeq(string(out)) {
		ours := path == "loadstone" || strings.HasPrefix(path, "loadstone/")
		if !ours || strings.HasPrefix(path, "loadstone/engine/tokenizer") || strings.HasPrefix(path, "loadstone/metal") {
			t.Errorf("%s imports %s", strings.Join(packages, " or "), path)
		}
	}
}
