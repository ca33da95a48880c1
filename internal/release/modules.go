package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// Files that a licence is in, or what it wants to be shown.
var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-._].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|attrib|copyright)([-._].*)?$`)
)

// A linkedPackage is what go list says of a package in the program.
type linkedPackage struct {
	Dir      string
	Standard bool
	Module   *linkedModule
}

// A linkedModule is what go list says of the package's module.
type linkedModule struct {
	Path, Version, Dir string
	Main               bool
	Replace            *struct{ Path string }
}

// modules returns the Go modules in a program that was built for a target, and Go itself.
func (s *source) modules(ctx context.Context, t target, program string) ([]component, error) {
	packages, err := s.linkedPackages(ctx, t)
	if err != nil {
		return nil, err
	}
	linked, err := modulesOf(packages)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	if err := sameModules(info, linked); err != nil {
		return nil, err
	}
	golang, err := goComponent(ctx, info.GoVersion)
	if err != nil {
		return nil, err
	}
	return append([]component{golang}, linked...), nil
}

// modulesOf returns the modules that packages are in, by name, with their licences. One without a
// licence that is known and allowed is an error.
func modulesOf(packages []linkedPackage) ([]component, error) {
	byPath := map[string]*component{}
	for _, p := range packages {
		m := p.Module
		if p.Standard || m == nil || m.Main {
			continue
		}
		if m.Replace != nil {
			return nil, fmt.Errorf("%s is replaced by %s; a release is made without replacements",
				m.Path, m.Replace.Path)
		}
		c := byPath[m.Path]
		if c == nil {
			c = &component{name: m.Path, version: m.Version,
				purl: "pkg:golang/" + m.Path + "@" + m.Version}
			byPath[m.Path] = c
		}
		found, err := textsAbove(m.Dir, p.Dir)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			has := func(t text) bool { return t.file == f.file }
			if !slices.ContainsFunc(c.texts, has) {
				c.texts = append(c.texts, f)
			}
		}
	}
	var all []component
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		c := byPath[path]
		if err := c.classify(); err != nil {
			return nil, err
		}
		all = append(all, *c)
	}
	return all, nil
}

// sameModules returns an error unless a program says that it has been linked of these modules.
func sameModules(info *debug.BuildInfo, linked []component) error {
	var has, listed []string
	for _, m := range info.Deps {
		has = append(has, m.Path+" "+m.Version)
	}
	for _, c := range linked {
		listed = append(listed, c.name+" "+c.version)
	}
	slices.Sort(has)
	slices.Sort(listed)
	if !slices.Equal(has, listed) {
		return fmt.Errorf("the program says that it is linked of %v, and the go command lists %v", has,
			listed)
	}
	return nil
}

// linkedPackages asks the go command what is in the program for a target.
func (s *source) linkedPackages(ctx context.Context, t target) ([]linkedPackage, error) {
	args := []string{"list", "-deps", "-json=Dir,Standard,Module"}
	cgo := "CGO_ENABLED=0"
	if t.mlx {
		args, cgo = append(args, "-tags=mlx,release"), "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./harness/cmd/loadstone")...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOOS="+t.goos, "GOARCH="+t.goarch, cgo)
	out, err := cmd.Output()
	if err != nil {
		return nil, commandError(cmd, err)
	}
	var all []linkedPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p linkedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// textsAbove reads the licences and notices in a package's folder and in those above it, as far as
// the module's own.
func textsAbove(module, dir string) ([]text, error) {
	var all []text
	for {
		in, err := filepath.Rel(module, dir)
		if err != nil || strings.HasPrefix(in, "..") {
			return nil, fmt.Errorf("%s is not in %s", dir, module)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() || strings.HasSuffix(name, ".go") ||
				!licenceFile.MatchString(name) && !noticeFile.MatchString(name) {
				continue
			}
			body, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			all = append(all, text{path.Join(filepath.ToSlash(in), name), body})
		}
		if in == "." {
			return all, nil
		}
		dir = filepath.Dir(dir)
	}
}

// classify sets the component's licences to those of its licence files.
func (c *component) classify() error {
	slices.SortFunc(c.texts, func(a, b text) int { return strings.Compare(a.file, b.file) })
	for _, t := range c.texts {
		if !licenceFile.MatchString(path.Base(t.file)) {
			continue
		}
		ids, err := licencesOf(t)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.name, c.version, err)
		}
		for _, id := range ids {
			if !slices.Contains(c.licences, id) {
				c.licences = append(c.licences, id)
			}
		}
	}
	return c.check()
}

// goComponent is Go's runtime and standard library, which are in every program.
func goComponent(ctx context.Context, version string) (component, error) {
	c := component{name: "Go", version: version,
		purl: "pkg:golang/std@" + strings.TrimPrefix(version, "go")}
	root, err := output(ctx, "", "go", "env", "GOROOT")
	if err != nil {
		return c, err
	}
	for _, name := range []string{"LICENSE", "PATENTS"} {
		body, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) { // distributions have it elsewhere
			body, err = os.ReadFile(filepath.Join(filepath.Dir(root), name))
		}
		if err != nil {
			return c, fmt.Errorf("the licence of Go itself: %w", err)
		}
		c.texts = append(c.texts, text{name, body})
	}
	return c, c.classify()
}
