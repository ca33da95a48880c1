package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: growth FOLDER")
		os.Exit(2)
	}
	written, err := draw(os.Args[1])
	for _, name := range written {
		fmt.Println(name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// draw writes the plots and the tables of a folder, and returns the names of the files that it
// wrote.
func draw(folder string) (written []string, err error) {
	made, err := files(folder)
	if err != nil {
		return nil, err
	}
	for _, f := range made {
		if err := os.WriteFile(filepath.Join(folder, f.name), f.text, 0o666); err != nil {
			return written, err
		}
		written = append(written, f.name)
	}
	return written, nil
}

// A file is one that the command writes.
type file struct {
	name string
	text []byte
}

// files returns what the folder's results make of its README.md, and its plots.
func files(folder string) (made []file, err error) {
	scales, err := read(folder)
	if err != nil {
		return nil, err
	}
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		return nil, err
	}
	text := string(readme)
	for _, s := range scales {
		if text, err = replaced(text, s.name, s.table()); err != nil {
			return nil, err
		}
		made = append(made, file{s.name + ".svg", s.svg()})
	}
	return append(made, file{"README.md", []byte(text)}), nil
}

// replaced puts a table between its two marks in a text.
func replaced(text, name, table string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	if !ok {
		return "", fmt.Errorf("README.md has no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("README.md has no line %q", end)
	}
	return before + begin + table + end + after, nil
}
