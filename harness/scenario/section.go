package scenario

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// A section is one file of the archive.
type section struct {
	file string // where the section stands, for errors
	name string
	text []byte
	line int // of file, of the section's first line, from 1
}

func (s section) err(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", s.file, s.line+line, fmt.Errorf(format, args...))
}

// lines calls each with every line that says something, without comment, and its number in the
// section from 0.
func (s section) lines(each func(line int, text string) error) error {
	for i, text := range strings.Split(string(s.text), "\n") {
		text, _, _ = strings.Cut(text, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := each(i, text); err != nil {
			return s.err(i, "%w", err)
		}
	}
	return nil
}

func known(name string) bool {
	for _, pattern := range []string{"load", "expect", "system*.txt", "prompts.txt", "tools.json",
		"schema.json", "*.jsonl", "trace*.json",
		"*.csv"} {
		if ok, _ := filepath.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// unpacked is the sections of a scenario that testscript, or a person, keeps as a folder. Other
// files are none of its business.
func unpacked(dir string) ([]section, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var sections []section
	for _, e := range entries {
		if e.IsDir() || !known(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if text, err = plain(text); err != nil {
			return nil, fmt.Errorf("%s:1: %w", filepath.Join(dir, e.Name()), err)
		}
		sections = append(sections, section{filepath.Join(dir, e.Name()), e.Name(), text, 1})
	}
	return sections, nil
}

// plain is a text without the byte order mark that some editors begin it with. UTF-16, which others
// write, is an error that says so.
func plain(text []byte) ([]byte, error) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, errors.New("the text is UTF-16; want UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// withoutTrailingBlanks takes away what nobody sees behind the lines that begin sections, which
// txtar would not take for such lines.
func withoutTrailingBlanks(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i, line := range lines {
		marker := bytes.TrimRightFunc(line, unicode.IsSpace)
		if bytes.HasPrefix(line, []byte("-- ")) && bytes.HasSuffix(marker, []byte(" --")) {
			lines[i] = append(slices.Clip(marker), '\n')
		}
	}
	return bytes.Join(lines, nil)
}

// clean makes a name that fits into a benchmark line and a path.
func clean(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, name), "-.")
}

// paragraphs are the parts of a text that blank lines separate.
func paragraphs(text []byte) []string {
	var all []string
	for part := range strings.SplitSeq(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}
