//go:build !mlx

// With -tags mlx the same would be built and run once more: it is built without tags here.

package planted

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	update = flag.Bool("update", false, "write README.md anew")
	all    = flag.Bool("all", false, "run each finder from its first case, not from the known one")
	plants = flag.String("plant", "", "write the overlay into this folder, and end")
)

// limit is how long a finder may take.
const limit = 2 * time.Minute

// A hunt is the finders of all bugs, compiled, and what they have found.
type hunt struct {
	bugs      []*Bug
	root, dir string         // the repository, and the folder of the binaries
	committed map[Row]string // the cases in README.md

	mu    sync.Mutex
	cases map[Row]string // as they are found
	sound map[Finder]bool
}

// TestFound: each bug is found by each of its finders, in the case that README.md names, which
// fails in nothing without the bug.
func TestFound(t *testing.T) {
	h := prepare(t)
	t.Run("found", func(t *testing.T) {
		for _, b := range h.bugs {
			for _, f := range b.Finders {
				t.Run(fmt.Sprintf("%s/%s", b.Name, f.Package), func(t *testing.T) {
					t.Parallel()
					h.find(t, b, f)
				})
			}
		}
	})
	t.Run("sound", func(t *testing.T) {
		for f := range h.sound {
			t.Run(f.String(), func(t *testing.T) {
				t.Parallel()
				found, err := f.Run(t.Context(), h.root, h.dir, "", limit)
				if err != nil {
					t.Fatal(err)
				}
				if found.Failed {
					t.Errorf("it fails without a bug:\n%s", found.Output)
				}
			})
		}
	})
	if *update && !t.Failed() {
		maps.Copy(h.committed, h.cases)
		table := Table(h.bugs, h.committed)
		if err := os.WriteFile("README.md", []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// plantAll writes the overlay with all bugs into a folder. root is the repository.
func plantAll(t *testing.T, dir string) (bugs []*Bug, root, overlay string) {
	t.Helper()
	bugs, err := Read(os.DirFS("bugs"))
	if err != nil {
		t.Fatal(err)
	}
	if root, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	if overlay, err = WriteOverlay(root, dir, bugs); err != nil {
		t.Fatal(err)
	}
	return bugs, root, overlay
}

// prepare compiles the finders with all bugs.
func prepare(t *testing.T) *hunt {
	dir := *plants
	if dir == "" {
		dir = t.TempDir()
	}
	bugs, root, overlay := plantAll(t, dir)
	h := &hunt{bugs: bugs, root: root, dir: dir, cases: map[Row]string{}, sound: map[Finder]bool{}}
	if *plants != "" {
		t.Skipf("for instance: %s=%s go test -overlay %s ./%s", Switch, bugs[0].Name, overlay,
			bugs[0].Finders[0].Package)
	}
	var packages []string
	for _, b := range bugs {
		for _, f := range b.Finders {
			if !slices.Contains(packages, f.Package) {
				packages = append(packages, f.Package)
			}
		}
	}
	if err := Build(t.Context(), root, overlay, h.dir, packages); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("README.md")
	if err != nil && !*update {
		t.Fatal(err)
	}
	h.committed = ReadTable(string(text))
	return h
}

// find has a finder find a bug. It begins with the case in which the finder found it before.
func (h *hunt) find(t *testing.T, b *Bug, f Finder) {
	row := Row{b.Name, f.String()}
	known := h.committed[row]
	if known != "" && !*all {
		only := f.Only(known)
		found, err := only.Run(t.Context(), h.root, h.dir, b.Name, limit)
		if err == nil && found.Failed {
			h.note(t, row, known, only, found)
			return
		}
		t.Logf("README.md says that %s finds it: %v, %s", known, err, tail(found.Output))
	}
	found, err := f.Run(t.Context(), h.root, h.dir, b.Name, limit)
	if err != nil {
		t.Fatal(err)
	}
	if !found.Failed {
		t.Fatalf("%s does not find it: %s", f, b.Mistake)
	}
	h.note(t, row, found.Where, f.Only(found.Where), found)
	if found.Where != known && !*update {
		t.Errorf("%s finds it in %s: run go test ./internal/planted -update", f, found.Where)
	}
}

// note notes in which case a bug was found, and that this case must be sound without the bug.
func (h *hunt) note(t *testing.T, row Row, name string, only Finder, found Finding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cases[row], h.sound[only] = name, true
	t.Logf("%s, %.1f s", name, found.Took.Seconds())
}

// tail returns the last lines of an output.
func tail(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// TestTable: README.md has a row for each bug and finder, and no others.
func TestTable(t *testing.T) {
	bugs, err := Read(os.DirFS("bugs"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if Table(bugs, ReadTable(string(text))) != string(text) {
		t.Error("README.md is not what the bugs are: run go test ./internal/planted -update")
	}
}
