package command

import (
	"context"
	"fmt"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"loadstone/metal"
)

const versionAbout = `Prints the version of this program, the commit that it was built from, and what runs models in it:
MLX, with the kernels for this machine's processor, or pure Go alone.`

const versionExamples = `  loadstone version
`

func version(_ context.Context, e *env, args []string) error {
	f := flags("version", versionAbout, versionExamples, e.stdout)
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usageError("version takes no arguments")
	}
	v, commit := buildVersion()
	if v == "" {
		v = "(development)"
	}
	if commit != "" {
		v += " " + commit
	}
	mlx := "without MLX"
	if metal.Available {
		mlx = metal.Runtime()
	}
	_, err := fmt.Fprintf(e.stdout, "loadstone %s, %s %s/%s, %s\n",
		v, runtime.Version(), runtime.GOOS, runtime.GOARCH, mlx)
	return err
}

// buildVersion is what the build recorded: the module's version, and the commit that it was built
// from.
func buildVersion() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	if version = info.Main.Version; version == "(devel)" {
		version = ""
	}
	changes := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				changes = "+changes"
			}
		}
	}
	if commit == "" {
		commit, changes = checkout()
	}
	return version, commit[:min(len(commit), 12)] + changes
}

// checkout asks git for the commit of the folder that this file was compiled from: go run records
// no commit in what it builds, and a baseline without one cannot be traced. Without the folder or
// without git the commit is unknown.
func checkout() (commit, changes string) {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) { // built with -trimpath
		return "", ""
	}
	git := func(args ...string) string {
		args = append([]string{"-C", filepath.Dir(file)}, args...)
		out, err := osexec.Command("git", args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	commit = git("rev-parse", "HEAD")
	if commit != "" && git("status", "--porcelain", "--untracked-files=no") != "" {
		changes = "+changes"
	}
	return commit, changes
}
