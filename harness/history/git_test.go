package history

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A repo is a git repository in a temporary folder.
type repo struct {
	t   *testing.T
	dir string
	n   int
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := &repo{t: t, dir: t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	r.n++
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=a", "-c",
		"user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	date := fmt.Sprintf("2026-11-01T12:00:%02d+00:00", r.n%60)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date,
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files and commits them; it returns the commit's hash.
func (r *repo) commit(subject string, files ...string) string {
	r.t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(r.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", subject)
	return r.git("rev-parse", "HEAD")
}

func (r *repo) open() *Repository {
	r.t.Helper()
	repository, err := OpenRepository(r.t.Context(), r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return repository
}

// Every version of a committed file is a measurement, also from before the file was renamed; a
// broken one in the middle is skipped with its reason.
func TestVersions(t *testing.T) {
	r := newRepo(t)
	var hashes []string
	for i := range 14 {
		name, ms := "old name.txt", 10.0
		if i >= 5 {
			if name = "tiny.txt"; i == 5 {
				r.git("mv", "old name.txt", name)
				r.commit("the file has another name")
			}
			ms = 12
		}
		text := bench("here", around(ms+float64(i)/1000)...)
		if i == 8 {
			text = "side: base\n<<<<<<< a conflict that was committed\n"
		}
		hashes = append(hashes, r.commit(fmt.Sprintf("server: change %d", i), name, text))
	}
	repository := r.open()
	all, skipped, err := repository.ReadVersions(t.Context(), filepath.Join(r.dir, "tiny.txt"), "HEAD")
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
	r := newRepo(t)
	base := r.commit("base")
	r.git("checkout", "-q", "-b", "side")
	side := r.commit("on another branch")
	r.git("checkout", "-q", "--orphan", "other")
	other := r.commit("unrelated")
	r.git("checkout", "-q", "main")
	head := r.commit("head")
	of := func(hash string) Measurement {
		return NewMeasurement(hash, Commit{Hash: base}, Commit{Hash: hash}, nil, nil)
	}
	placed, skipped, timeline, err := r.open().Place(t.Context(),
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
	if _, err := r.open().Commit(t.Context(), "no-such-tag"); err == nil {
		t.Error("a revision that there is not was found")
	}
}

// A shallow clone says so.
func TestShallow(t *testing.T) {
	r := newRepo(t)
	first := r.commit("first", "a", "1")
	r.commit("second", "a", "2")
	clone := filepath.Join(t.TempDir(), "clone")
	r.git("clone", "-q", "--depth", "1", "file://"+r.dir, clone)
	repository, err := OpenRepository(t.Context(), clone)
	if err != nil {
		t.Fatal(err)
	}
	if !repository.Shallow(t.Context()) || r.open().Shallow(t.Context()) {
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
