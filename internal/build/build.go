// Package build tells which build of Loadstone this program is.
package build

import (
	"context"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"loadstone/internal/git"
)

// The linker sets both in a release: -X MODULE/internal/build.release=v1.2.3. A release states them
// itself, because what the go command would record of a clone depends on the tags that the clone
// happens to have, and a release is the same bytes from every clone of its commit.
var release, revision string

// A Build is what is known of this program.
type Build struct {
	Version string // of the release or the module, as in v1.2.3; "" unknown
	Commit  string // the first 12 digits, with "+changes" if files were changed; "" unknown
	Level   string // the instruction set that Go compiled for, as in GOAMD64=v1; "" unknown
}

// Read returns what the linker, the go command or, for go run, git says of this program.
func Read() Build {
	b := Build{Version: release}
	changes := ""
	commit := revision
	info, ok := debug.ReadBuildInfo()
	if ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && revision == "":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true" && revision == "":
				changes = "+changes"
			case s.Key == "GO"+strings.ToUpper(runtime.GOARCH):
				b.Level = s.Key + "=" + s.Value
			}
		}
	}
	if commit == "" {
		commit = pseudoCommit(b.Version)
	}
	if commit == "" && release == "" {
		commit, changes = checkout()
	}
	b.Commit = commit[:min(len(commit), 12)] + changes
	return b
}

// A version that go install made up for a commit without a tag: v0.0.0-DATE-COMMIT,
// v1.2.4-0.DATE-COMMIT.
var pseudoVersion = regexp.MustCompile(`^v[0-9].*[-.][0-9]{14}-([0-9a-f]{12})(\+.*)?$`)

// pseudoCommit returns the commit that a pseudo-version names, "" for another version.
func pseudoCommit(version string) string {
	m := pseudoVersion.FindStringSubmatch(version)
	if m == nil {
		return ""
	}
	return m[1]
}

// checkout asks git for the commit of the folder that this file was compiled from: go run records
// no commit in what it builds, and a baseline without one cannot be traced. Without the folder or
// without git the commit is unknown.
func checkout() (commit, changes string) {
	_, file, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(file) { // built with -trimpath
		return "", ""
	}
	ctx, dir := context.Background(), filepath.Dir(file)
	commit, err := git.Run(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return "", ""
	}
	changed, err := git.Run(ctx, dir, "status", "--porcelain", "--untracked-files=no")
	if err == nil && changed != "" {
		changes = "+changes"
	}
	return commit, changes
}
