package planted

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/tools/txtar" // as in harness/scenario
)

// A Bug is one planted bug.
type Bug struct {
	Area    string // the name of its file without .txtar
	Name    string
	Mistake string // what is wrong, in a sentence
	Mended  string // of the track record: the commit that mended it; "" for others
	Edits   []Edit
	Finders []Finder // each of them finds it
}

// An Edit replaces a snippet of a file.
type Edit struct {
	File         string // its path in the repository
	Right, Wrong string
}

// A Finder is a test that fails where there is a bug.
type Finder struct {
	Package string // its folder in the repository
	Test    string // for -test.run; flags may follow behind blanks
}

func (f Finder) String() string { return f.Package + " " + f.Test }

// record is the area of the track record.
const record = "record"

// Read reads the bugs of all files, in the order in which they stand there.
func Read(dir fs.FS) (all []*Bug, err error) {
	files, err := fs.Glob(dir, "*.txtar")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range files {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		for _, f := range txtar.Parse(text).Files {
			b, err := parse(string(f.Data))
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", name, f.Name, err)
			}
			if seen[f.Name] {
				return nil, fmt.Errorf("%s: there are two bugs %q", name, f.Name)
			}
			seen[f.Name] = true
			b.Area, b.Name = strings.TrimSuffix(path.Base(name), ".txtar"), f.Name
			if (b.Mended != "") != (b.Area == record) {
				return nil, fmt.Errorf("%s: %q: the bugs of the track record, and no others, say "+
					"which commit mended them, as in mended: abc1234", name, f.Name)
			}
			all = append(all, b)
		}
	}
	return all, nil
}

// parse reads one bug: the mistake, then its keys, then edits of a file, a right and a wrong
// snippet each.
func parse(text string) (*Bug, error) {
	b := new(Bug)
	var file string
	var into *string // what the lines belong to; nil before the first snippet
	for line := range strings.Lines(text) {
		key, value, isKey := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimSpace(value)
		switch {
		case isKey && key == "file":
			file, into = value, nil
		case isKey && key == "mended":
			b.Mended = value
		case isKey && key == "found by":
			pkg, test, ok := strings.Cut(value, " ")
			if !ok {
				return nil, fmt.Errorf("found by: %q; want a package and a test", value)
			}
			b.Finders = append(b.Finders, Finder{pkg, test})
		case line == "right:\n":
			b.Edits = append(b.Edits, Edit{File: file})
			into = &b.Edits[len(b.Edits)-1].Right
		case line == "wrong:\n" && len(b.Edits) > 0:
			into = &b.Edits[len(b.Edits)-1].Wrong
		case into != nil:
			*into += line
		case file == "":
			b.Mistake = strings.TrimSpace(b.Mistake + " " + strings.TrimSpace(line))
		default:
			return nil, fmt.Errorf("line %q stands before a line right", line)
		}
	}
	for i := range b.Edits {
		e := &b.Edits[i]
		e.Right, e.Wrong = strings.TrimSpace(e.Right), strings.TrimSpace(e.Wrong)
		if e.File == "" || e.Right == "" || e.Right == e.Wrong {
			return nil, fmt.Errorf("edit %d has no file, no right snippet, or two equal ones", i+1)
		}
	}
	if b.Mistake == "" || len(b.Edits) == 0 || len(b.Finders) == 0 {
		return nil, fmt.Errorf("it must say what is wrong, where, and what finds it")
	}
	return b, nil
}
