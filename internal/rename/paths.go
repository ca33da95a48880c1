package main

import (
	"bytes"
	"go/format"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// paths finds the paths of a module's packages in text and gives them another beginning.
type paths struct {
	from, to string
	packages *regexp.Regexp // a package's path, or FROM/... for all
	modules  *regexp.Regexp // module FROM, and modules inside it, in go.mod
}

// newPaths is for the module from, whose git checkout has the files. What follows from and a slash
// is a package's path only if the checkout has Go files in that folder; "loadstone/NAME" in an
// example is none.
func newPaths(from, to string, files []string) *paths {
	var dirs []string
	for _, f := range files {
		dir, _, inside := strings.Cut(f, "/")
		if inside && path.Ext(f) == ".go" && !slices.Contains(dirs, regexp.QuoteMeta(dir)) {
			dirs = append(dirs, regexp.QuoteMeta(dir))
		}
	}
	old := regexp.QuoteMeta(from)
	return &paths{
		from: from, to: to,
		packages: regexp.MustCompile(
			`(^|[^\w./~-])` + old + `/(\.\.\.|(?:` + strings.Join(dirs, "|") + `)(?:[^\w-]|$))`),
		modules: regexp.MustCompile(`(?m)^(module\s+)` + old + `(/\S*)?$`),
	}
}

// rename returns the text of the file name with the new paths.
func (p *paths) rename(name string, text []byte) []byte {
	// A match takes the character before it, so that of two paths with one character between them
	// the second is found in another pass.
	for range 2 {
		text = p.packages.ReplaceAll(text, []byte("${1}"+p.to+"/${2}"))
	}
	switch {
	case path.Base(name) == "go.mod":
		text = p.modules.ReplaceAll(text, []byte("${1}"+p.to+"${2}"))
	case path.Ext(name) == ".go":
		// The beginning that all packages share, as tests of import paths compare it.
		text = bytes.ReplaceAll(text, []byte(`"`+p.from+`/"`), []byte(`"`+p.to+`/"`))
	}
	return text
}

// renameFile renames the paths in one file and reports whether there were any.
func (p *paths) renameFile(name string) (bool, error) {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	old, err := os.ReadFile(name)
	if err != nil || bytes.IndexByte(old, 0) >= 0 { // not text
		return false, err
	}
	text := p.rename(name, old)
	if bytes.Equal(text, old) {
		return false, nil
	}
	if path.Ext(name) == ".go" { // import paths are in order, and the order is another now
		if text, err = format.Source(text); err != nil {
			return false, err
		}
	}
	return true, os.WriteFile(name, text, info.Mode().Perm())
}
