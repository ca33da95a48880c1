package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Commit is a state of the program that was measured.
type Commit struct {
	Hash    string    // of git, whole or abbreviated, or any other name of a version
	Date    time.Time // when it was committed; zero: unknown
	Subject string    // the first line of its message, where git told it
}

// Short is the hash as people write it.
func (c Commit) Short() string {
	if len(c.Hash) >= 7 && strings.Trim(c.Hash, "0123456789abcdef") == "" {
		return c.Hash[:7]
	}
	return c.Hash
}

// A Timeline is all commits of a history, measured or not, from the oldest to the newest.
type Timeline []Commit

// find returns where the commit of this hash stands, which may be abbreviated; -1: nowhere, or in
// several places.
func (t Timeline) find(hash string) int {
	found := -1
	for i, c := range t {
		if hash != "" && strings.HasPrefix(c.Hash, hash) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// A Span is where a change lies: it came with one of the commits after After, up to By.
type Span struct {
	After, By Commit
	Commits   int // how many they are: 1 where there is none between the two; 0: unknown
}

func (s Span) String() string {
	text := s.After.Short() + ".." + s.By.Short()
	if s.Commits > 1 {
		text += fmt.Sprintf(" (%d)", s.Commits)
	}
	return text
}

// sortCommits puts the measured commits in the order of the timeline, or by their dates where that
// knows none of them.
func sortCommits(commits []Commit, t Timeline) {
	place := map[string]int{}
	for i, c := range t {
		place[c.Hash] = i
	}
	slices.SortStableFunc(commits, func(a, b Commit) int {
		return cmp.Or(cmp.Compare(place[a.Hash], place[b.Hash]), a.Date.Compare(b.Date))
	})
}
