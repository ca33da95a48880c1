package history

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// benchName is the file of a folder of results that has its benchmark lines.
const benchName = "bench.txt"

// isBench reports whether a file's name is one that benchmark results have.
func isBench(name string) bool { return strings.HasSuffix(name, ".txt") }

// ReadFiles reads the measurements of a folder: its files that end in .txt, and the bench.txt of
// each folder in it, at any depth. It also reads a single file. What is no measurement is skipped
// with the reason; an error is of the file system.
func ReadFiles(path string) ([]Measurement, []Skipped, error) {
	var all []Measurement
	var skipped []Skipped
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if why := incomplete(name); why != "" {
				skipped = append(skipped, Skipped{name, why})
			}
			return nil
		}
		if name != path && !isBench(name) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m, err := Parse(name, text)
		if err != nil {
			skipped = append(skipped, Skipped{name, err.Error()})
			return nil
		}
		m.written = len(all)
		all = append(all, m)
		return nil
	})
	return all, skipped, err
}

// incomplete says what a folder of results lacks, "" where it is whole or has no results.
func incomplete(folder string) string {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(folder, name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	if has(benchName) || !slices.ContainsFunc([]string{"results.json", "records.jsonl"}, has) {
		return ""
	}
	return "it has no bench.txt; loadstone report makes it of the records"
}
