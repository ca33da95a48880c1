package history

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/internal/git/gittest"
)

func open(t *testing.T, r *gittest.Repository) *Repository {
	t.Helper()
	repository, err := OpenRepository(t.Context(), r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

// Every version of a committed file is a measurement, also from before the file was renamed; a
// broken one in the middle is skipped with its reason.
func TestVersions(t *testing.T) {
	r := gittest.New(t)
	var hashes []string
	for i := range 14 {
		name, ms := "old name.txt", 10.0
		if i >= 5 {
			if name = "tiny.txt"; i == 5 {
				r.Git("mv", "old name.txt", name)
				r.Commit("the file has another name")
			}
			ms = 12
		}
		text := bench("here", around(ms+float64(i)/1000)...)
		if i == 8 {
			text = "side: base\n<<<<<<< a conflict that was committed\n"
		}
		hashes = append(hashes, r.Commit(fmt.Sprintf("server: change %d", i), name, text))
	}
	repository := open(t, r)
	all, skipped, err := repository.ReadVersions(t.Context(), filepath.Join(r.Dir, "tiny.txt"), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if len(skipped) != 1 || !strings.Contains(skipped[0].String(), hashes[8][:7]) {
		t.Errorf("skipped %v, want the version of %s", skipped, hashes[8][:7])
	}
	all, skipped, timeline, err := repository.Place(t.Context(), all, "HEAD")
	if err != nil || len(skipped) > 0 || len(timeline) != 15 {
		t.Fatalf("%v, skipped %v, %d commits", err, skipped, len(timeline))
	}
	h := mustHistory(t, all, timeline)
	c := h.Series[0].Changes
	if len(h.Series[0].Points) < 13 || len(c) != 1 || c[0].By.Hash != hashes[5] || c[0].Better != -1 {
		t.Fatalf("%d points, changes %+v; want one at %s", len(h.Series[0].Points), c, hashes[5])
	}
}

// Commits that the repository does not know are named, with what is the matter.
func TestUnknownCommits(t *testing.T) {
	r := gittest.New(t)
	base := r.Commit("base")
	r.Git("checkout", "-q", "-b", "side")
	side := r.Commit("on another branch")
	r.Git("checkout", "-q", "--orphan", "other")
	other := r.Commit("unrelated")
	r.Git("checkout", "-q", "main")
	head := r.Commit("head")
	of := func(hash string) Measurement {
		return NewMeasurement(hash, Commit{Hash: base}, Commit{Hash: hash}, nil, nil)
	}
	placed, skipped, timeline, err := open(t, r).Place(t.Context(),
		[]Measurement{of(head[:10]), of(side), of(other), of("1234567")}, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if len(placed) != 1 || placed[0].Head.Subject != "head" || len(timeline) != 2 {
		t.Errorf("placed %+v in %d commits", placed, len(timeline))
	}
	for i, want := range []string{"on another branch", "unrelated history", "not in this repository"} {
		if !strings.Contains(skipped[i].Why, want) {
			t.Errorf("skipped %q, want a reason with %q", skipped[i].Why, want)
		}
	}
	if _, err := open(t, r).Commit(t.Context(), "no-such-tag"); err == nil {
		t.Error("a revision that there is not was found")
	}
}

// A shallow clone says so.
func TestShallow(t *testing.T) {
	r := gittest.New(t)
	first := r.Commit("first", "a", "1")
	r.Commit("second", "a", "2")
	clone := filepath.Join(t.TempDir(), "clone")
	r.Git("clone", "-q", "--depth", "1", "file://"+r.Dir, clone)
	repository, err := OpenRepository(t.Context(), clone)
	if err != nil {
		t.Fatal(err)
	}
	if !repository.Shallow(t.Context()) || open(t, r).Shallow(t.Context()) {
		t.Error("the clone is shallow, and what it was made of is not")
	}
	m := NewMeasurement("x", Commit{Hash: first}, Commit{Hash: first}, nil, nil)
	_, skipped, _, err := repository.Place(t.Context(), []Measurement{m}, "HEAD")
	if err != nil || len(skipped) != 1 || !strings.Contains(skipped[0].Why, "git fetch --unshallow") {
		t.Errorf("%v, skipped %v", err, skipped)
	}
	if _, err := OpenRepository(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder that is in no repository was opened as one")
	}
}
