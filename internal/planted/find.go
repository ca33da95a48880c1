package planted

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Build compiles the test binaries of packages, given by their folders, with an overlay, into a
// folder.
func Build(ctx context.Context, repository, overlay, dir string, packages []string) error {
	args := []string{"test", "-c", "-overlay", overlay, "-o", dir + string(filepath.Separator)}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// A Finding is what a finder has said.
type Finding struct {
	Failed bool
	Where  string // the test that failed first, or its case
	Took   time.Duration
	Output string
}

// Only returns a finder that runs one case of f, given as firstFailure returns it.
func (f Finder) Only(name string) Finder {
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
	_, args, _ := strings.Cut(f.Test, " ")
	return Finder{f.Package, strings.TrimSpace(pattern + " " + args)}
}

// Run runs a finder, compiled into a folder, in a repository with a bug; "" for none. It fails if
// the test could not be run, or ran for longer than it may.
func (f Finder) Run(
	ctx context.Context, repository, dir, bug string, limit time.Duration,
) (Finding, error) {
	binary := filepath.Join(dir, path.Base(f.Package)+".test")
	pattern, args, _ := strings.Cut(f.Test, " ")
	cmd := exec.CommandContext(ctx, binary, append([]string{"-test.run", pattern, "-test.failfast",
		"-test.timeout", limit.String(), "-test.v"}, strings.Fields(args)...)...)
	cmd.Dir = filepath.Join(repository, f.Package)
	cmd.Env = append(os.Environ(), Switch+"="+bug)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	found := Finding{Took: time.Since(began), Output: string(out)}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return found, fmt.Errorf("%s: %w", f, err)
	}
	found.Failed = err != nil
	found.Where = firstFailure(found.Output)
	switch {
	case strings.Contains(found.Output, "panic: test timed out after"):
		return found, fmt.Errorf("%s did not end within %v", f, limit)
	case !strings.Contains(found.Output, "=== RUN"):
		return found, fmt.Errorf("%s: there is no such test", f)
	case found.Failed && found.Where == "":
		return found, fmt.Errorf("%s ended without a test that failed:\n%s", f, found.Output)
	}
	return found, nil
}

var (
	failure = regexp.MustCompile(`(?m)^( *)--- FAIL: (\S+)`)
	begun   = regexp.MustCompile(`(?m)^=== RUN +(\S+)`)
)

// firstFailure returns the name of the first test in an output that failed, the innermost one, ""
// if none did. Of a panic outside the test's goroutine, nothing tells more than that it was the
// last test that began.
func firstFailure(output string) (name string) {
	depth := -1
	for _, m := range failure.FindAllStringSubmatch(output, -1) {
		if len(m[1]) <= depth {
			break
		}
		depth, name = len(m[1]), m[2]
	}
	if tests := begun.FindAllStringSubmatch(output, -1); name == "" && len(tests) > 0 &&
		strings.Contains(output, "\npanic: ") {
		name = tests[len(tests)-1][1]
	}
	return name
}
