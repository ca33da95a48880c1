package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"loadstone/harness/verify"
)

// release writes the files of the release into the folder out.
func (s *source) release(ctx context.Context, chosen []target, out string) error {
	for _, t := range chosen {
		if err := t.check(s.root); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "loadstone-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	// This machine's own program writes the completions, which are in every archive the same, and
	// the table of formats.
	start := time.Now()
	own := filepath.Join(tmp, "own")
	host := target{name: "own", goos: runtime.GOOS, goarch: runtime.GOARCH}
	if err := s.build(ctx, host, own); err != nil {
		return err
	}
	common, err := s.commonFiles(ctx, own)
	if err != nil {
		return err
	}
	step(start, "%d files that all archives have", len(common))

	var made []string
	for _, t := range chosen {
		names, err := s.makeTarget(ctx, t, common, tmp, out)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		made = append(made, names...)
	}
	notes, err := s.writeNotes(ctx, own, out)
	if err != nil {
		return err
	}
	return writeSums(out, append(made, notes))
}

// step reports what was done since start.
func step(start time.Time, format string, args ...any) {
	fmt.Printf("%5.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
}

// makeTarget writes the archive of one target and its bill of materials, and returns their names.
func (s *source) makeTarget(ctx context.Context, t target, common []file, tmp,
	out string) ([]string,
	error) {
	start := time.Now()
	program := filepath.Join(tmp, t.name)
	if err := s.build(ctx, t, program); err != nil {
		return nil, err
	}
	components, err := s.modules(ctx, t, program)
	if err != nil {
		return nil, err
	}
	files := slices.Clone(common)
	var libraries []file
	if t.mlx {
		var native []component
		native, libraries, err = nativeLibraries(filepath.Join(s.root, "metal", ".mlx"))
		if err != nil {
			return nil, err
		}
		components, files = append(components, native...), append(files, libraries...)
	}
	bom, err := s.billOfMaterials(t, program, components, libraries)
	if err != nil {
		return nil, err
	}
	files = append(files,
		file{name: "loadstone", mode: 0o755, path: program},
		file{name: "NOTICES.txt", mode: 0o644, data: notices(components)},
		file{name: "sbom.cdx.json", mode: 0o644, data: bom})

	name := "loadstone-" + s.version + "-" + t.name
	archive := filepath.Join(out, name+".tar.gz")
	if err := writeArchive(archive, name, files, s.time); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(out, name+".cdx.json"), bom, 0o644); err != nil {
		return nil, err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return nil, err
	}
	step(start, "%s.tar.gz, %.1f MB, %d components of others", name, float64(info.Size())/1e6,
		len(components))
	return []string{name + ".tar.gz", name + ".cdx.json"}, nil
}

// commonFiles returns what every archive has: documents, and completions that the program writes.
func (s *source) commonFiles(ctx context.Context, program string) ([]file, error) {
	var files []file
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		files = append(files, file{name: name, mode: 0o644, path: filepath.Join(s.root, name)})
	}
	for _, c := range []struct{ shell, name string }{
		{"bash", "loadstone.bash"}, {"zsh", "_loadstone"}, {"fish", "loadstone.fish"}} {
		cmd := exec.CommandContext(ctx, program, "completion", c.shell)
		text, err := cmd.Output()
		if err != nil {
			return nil, commandError(cmd, err)
		}
		files = append(files, file{name: "completions/" + c.name, mode: 0o644, data: text})
	}
	return files, nil
}

// writeNotes writes what changed, from CHANGELOG.md, and which files of other versions are read.
func (s *source) writeNotes(ctx context.Context, program, out string) (name string, err error) {
	changes, err := os.ReadFile(filepath.Join(s.root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	formats, err := output(ctx, "", program, "version", "-v")
	if err != nil {
		return "", err
	}
	_, formats, _ = strings.Cut(formats, "\n\n")
	text := fmt.Sprintf("# Loadstone %s\n\nCommit %s.\n\n## Files of other "+
		"versions\n\n```\n%s\n```\n\n%s\n", s.version, s.revision(), formats,
		changesOf(string(changes), s.version))
	name = "loadstone-" + s.version + "-notes.md"
	return name, os.WriteFile(filepath.Join(out, name), []byte(text), 0o644)
}

var heading = regexp.MustCompile(`(?m)^## .*$`)

// changesOf returns the changelog's section of a version, or what is not released yet.
func changesOf(changelog, version string) string {
	all := heading.FindAllStringIndex(changelog, -1)
	for _, title := range []string{"## " + version, "## Unreleased"} {
		for i, at := range all {
			end := len(changelog)
			if i+1 < len(all) {
				end = all[i+1][0]
			}
			line := changelog[at[0]:at[1]]
			if line == title || strings.HasPrefix(line, title+" ") {
				return "## Changes\n\n" + strings.TrimSpace(changelog[at[1]:end])
			}
		}
	}
	return ""
}

// writeSums writes SHA256SUMS of files in out.
func writeSums(out string, names []string) error {
	var text strings.Builder
	slices.Sort(names)
	for _, name := range names {
		sum, err := verify.SumFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum.SHA256, name)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(text.String()), 0o644)
}
