package history

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"loadstone/internal/git"
)

// A Repository reads git's history by the git command.
type Repository struct{ dir string }

// A NoRepositoryError says that a folder is in no git repository.
type NoRepositoryError struct{ Dir string }

func (e *NoRepositoryError) Error() string { return e.Dir + " is in no git repository" }

// ErrNoGit says that the git command is not installed.
var ErrNoGit = git.ErrNotInstalled

// OpenRepository returns the repository that a folder is in. An error is ErrNoGit, a
// [*NoRepositoryError] or what git said.
func OpenRepository(ctx context.Context, dir string) (*Repository, error) {
	r := &Repository{dir}
	_, err := r.git(ctx, "rev-parse", "--show-toplevel")
	var failed *git.Error
	if errors.As(err, &failed) && failed.NoRepository() {
		return nil, &NoRepositoryError{dir}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	return git.Run(ctx, r.dir, args...)
}

// commitFormat is how log is asked for commits: [parseCommit] reads it.
const commitFormat = "%H%x09%cI%x09%s"

func parseCommit(line string) (Commit, error) {
	fields := strings.SplitN(line, "\t", 3)
	if len(fields) != 3 {
		return Commit{}, fmt.Errorf("git log said %q; want a commit", line)
	}
	date, err := time.Parse(time.RFC3339, fields[1])
	return Commit{Hash: fields[0], Date: date, Subject: fields[2]}, err
}

// Timeline returns all commits up to a revision, parents before their children.
func (r *Repository) Timeline(ctx context.Context, revision string) (Timeline, error) {
	out, err := r.git(ctx, "log", "--topo-order", "--reverse", "--format="+commitFormat,
		"--end-of-options", revision, "--")
	if err != nil {
		return nil, err
	}
	var t Timeline
	for line := range strings.Lines(out) {
		c, err := parseCommit(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		t = append(t, c)
	}
	return t, nil
}

// Commit returns the commit of a revision, such as HEAD~3 or v1.2.
func (r *Repository) Commit(ctx context.Context, revision string) (Commit, error) {
	out, err := r.git(ctx, "log", "-1", "--format="+commitFormat, "--end-of-options", revision, "--")
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(out)
}

// Shallow reports whether the repository was cloned without all of its history.
func (r *Repository) Shallow(ctx context.Context) bool {
	out, err := r.git(ctx, "rev-parse", "--is-shallow-repository")
	return err == nil && out == "true"
}

// whyUnknown says why a commit is not in the timeline of a revision.
func (r *Repository) whyUnknown(ctx context.Context, hash, revision string) string {
	_, missing := r.git(ctx, "cat-file", "-e", hash+"^{commit}")
	switch {
	case missing != nil && r.Shallow(ctx):
		return fmt.Sprintf("commit %s is not in this clone, which is shallow: git fetch --unshallow "+
			"brings its whole history", hash)
	case missing != nil:
		return fmt.Sprintf("commit %s is not in this repository", hash)
	}
	if _, err := r.git(ctx, "merge-base", hash, revision); err != nil {
		return fmt.Sprintf("commit %s is of an unrelated history: it has no ancestor in common with %s",
			hash, revision)
	}
	return fmt.Sprintf("commit %s is not an ancestor of %s but on another branch", hash, revision)
}

// A version is a state of a file in git's history.
type version struct {
	commit Commit // that wrote it
	path   string // its name then, from the root
	gone   bool   // the commit deleted it
}

// versions returns those of a file, from the oldest to the newest, also under the names that it had
// before.
func (r *Repository) versions(ctx context.Context, file, revision string) ([]version, error) {
	out, err := r.git(ctx, "log", "--follow", "--name-status", "--format=%x01"+commitFormat,
		"--end-of-options", revision, "--", file)
	if err != nil {
		return nil, err
	}
	var all []version
	for entry := range strings.SplitSeq(out, "\x01") {
		lines := strings.Split(strings.TrimSpace(entry), "\n")
		if lines[0] == "" {
			continue
		}
		v := version{}
		if v.commit, err = parseCommit(lines[0]); err != nil {
			return nil, err
		}
		status := strings.Split(lines[len(lines)-1], "\t")
		if len(lines) < 2 || len(status) < 2 {
			continue // a merge that changed nothing of it
		}
		v.path, v.gone = unquote(status[len(status)-1]), status[0] == "D"
		all = append([]version{v}, all...)
	}
	return all, nil
}

// unquote undoes what git does to names with a quote, a tab or a line end in them.
func unquote(path string) string {
	if plain, err := strconv.Unquote(path); err == nil && strings.HasPrefix(path, `"`) {
		return plain
	}
	return path
}

// files returns the files of a folder that git knows at a revision, or the file itself; named from
// the folder that the repository was opened with.
func (r *Repository) files(ctx context.Context, path, revision string) ([]string, error) {
	out, err := r.git(ctx, "ls-tree", "-r", "-z", "--name-only", "--end-of-options", revision, "--",
		path)
	if err != nil {
		return nil, err
	}
	var all []string
	for name := range strings.SplitSeq(out, "\x00") {
		if name != "" {
			all = append(all, name)
		}
	}
	return all, nil
}

// ReadVersions reads every version that git has of a file, or of the files of a folder, up to a
// revision. A version that is no measurement is skipped with the reason. The commit of a version is
// the one that the file names, or else the one that wrote the version.
func (r *Repository) ReadVersions(ctx context.Context, path, revision string) ([]Measurement,
	[]Skipped, error) {
	path, err := filepath.Rel(r.dir, path)
	if err != nil {
		return nil, nil, err
	}
	files, err := r.files(ctx, path, revision)
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("%s: git has no such file or folder at %s; -git reads what is "+
			"committed", path, revision)
	}
	var all []Measurement
	var skipped []Skipped
	for _, file := range files {
		if !isBench(file) {
			continue
		}
		found, err := r.versions(ctx, file, revision)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range found {
			if v.gone {
				continue
			}
			name := file + "@" + v.commit.Short()
			text, err := r.git(ctx, "cat-file", "blob", v.commit.Hash+":"+v.path)
			if err != nil {
				return nil, nil, err
			}
			m, err := Parse(name, []byte(text))
			if err != nil {
				skipped = append(skipped, Skipped{name, err.Error()})
				continue
			}
			if m.Head.Hash == "" {
				m.Head = v.commit
			}
			m.written = len(all)
			all = append(all, m)
		}
	}
	return all, skipped, nil
}

// Place looks the commits of measurements up in the repository, and skips what it does not know. It
// returns the timeline up to the revision: none where not one commit is known, so that results of
// another repository are ordered by their dates.
func (r *Repository) Place(ctx context.Context, all []Measurement, revision string) ([]Measurement,
	[]Skipped, Timeline, error) {
	timeline, err := r.Timeline(ctx, revision)
	if err != nil {
		return nil, nil, nil, err
	}
	var placed []Measurement
	var skipped []Skipped
	for _, m := range all {
		unknown := ""
		for _, c := range []*Commit{&m.Base, &m.Head} {
			if i := timeline.find(c.Hash); i >= 0 {
				*c = timeline[i]
			} else if c.Hash != "" {
				unknown = c.Hash
			}
		}
		if unknown != "" {
			skipped = append(skipped, Skipped{m.Name, r.whyUnknown(ctx, unknown, revision)})
			continue
		}
		placed = append(placed, m)
	}
	if len(placed) == 0 && !r.Shallow(ctx) {
		return all, nil, nil, nil
	}
	return placed, skipped, timeline, nil
}
