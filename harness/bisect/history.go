package bisect

import (
	"context"
	"fmt"
	"strings"

	"loadstone/internal/git"
)

// A Commit is one of a git repository.
type Commit struct {
	Hash, Subject string
}

// Short is the hash as people write it.
func (c Commit) Short() string { return c.Hash[:min(len(c.Hash), 10)] }

// A RevisionError says that two revisions have no history between them that can be searched.
type RevisionError struct{ Why string }

func (e *RevisionError) Error() string { return e.Why }

// History lists the commits of a repository from good to bad, both included, along first parents: a
// merge is one commit, which brings in all that it merges.
func History(ctx context.Context, dir, good, bad string) ([]Commit, error) {
	var ends [2]string
	for i, rev := range []string{good, bad} {
		hash, err := git.Run(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options",
			rev+"^{commit}")
		if err != nil {
			return nil, &RevisionError{fmt.Sprintf("%q is no commit of the repository at %s", rev, dir)}
		}
		ends[i] = hash
	}
	if ends[0] == ends[1] {
		return nil, &RevisionError{fmt.Sprintf("%s and %s are one commit", good, bad)}
	}
	if _, err := git.Run(ctx, dir, "merge-base", "--is-ancestor", ends[0], ends[1]); err != nil {
		why := fmt.Sprintf("%s is no ancestor of %s", good, bad)
		if base, err := git.Run(ctx, dir, "merge-base", ends[0], ends[1]); err == nil {
			why += fmt.Sprintf("; both come from %.10s, which may be the good commit", base)
		}
		return nil, &RevisionError{why}
	}
	const format = "--format=%H%x09%s"
	first, err := git.Run(ctx, dir, "show", "--no-patch", format, ends[0])
	if err != nil {
		return nil, err
	}
	rest, err := git.Run(ctx, dir, "rev-list", "--first-parent", "--reverse",
		"--no-commit-header", format, ends[0]+".."+ends[1])
	if err != nil {
		return nil, err
	}
	var commits []Commit
	for line := range strings.SplitSeq(first+"\n"+rest, "\n") {
		hash, subject, ok := strings.Cut(line, "\t")
		if !ok {
			hash = line
		}
		if hash != "" {
			commits = append(commits, Commit{hash, subject})
		}
	}
	return commits, nil
}
