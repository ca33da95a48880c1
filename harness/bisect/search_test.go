package bisect_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"

	"loadstone/harness/bisect"
	"loadstone/internal/git/gittest"
)

// quiet is a machine without noise, where commits from one on are slower.
func quiet(from int, size float64) func(context.Context, int) ([]float64, error) {
	return func(_ context.Context, commit int) ([]float64, error) {
		time.Sleep(time.Minute)
		if commit >= from {
			return []float64{math.Log1p(size), math.Log1p(size)}, nil
		}
		return []float64{0, 0}, nil
	}
}

func builds(context.Context, int) (string, error) { return "", nil }

// Without noise it is a bisection: few sessions beside those of the ends and those that make sure.
func TestFewSteps(t *testing.T) {
	for _, from := range []int{1, 2, 33, 63, 64} {
		synctest.Test(t, func(t *testing.T) {
			r, err := bisect.Search{Commits: 65, Budget: 2 * time.Hour, Rounds: 2, Build: builds,
				Measure: quiet(from, 0.2)}.Run(t.Context())
			assert.NilError(t, err)
			assert.Equal(t, r.Ending, bisect.Found)
			assert.Equal(t, len(r.Culprits), 1)
			c := r.Culprits[0]
			if c.From != from || c.To != from || math.Abs(c.Change.By-0.2) > 0.03 {
				t.Errorf("planted at %d, found %+v", from, c)
			}
			if len(r.Sessions) > 14 {
				t.Errorf("planted at %d, found in %d sessions", from, len(r.Sessions))
			}
		})
	}
}

// Where each commit makes it a little worse, none is named.
func TestDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := bisect.Search{Commits: 65, Budget: 4 * time.Hour, Rounds: 2, Build: builds,
			Measure: func(_ context.Context, commit int) ([]float64, error) {
				time.Sleep(time.Minute)
				level := math.Log1p(0.001) * float64(commit)
				return []float64{level - 0.001, level + 0.001}, nil
			}}.Run(t.Context())
		assert.NilError(t, err)
		assert.Equal(t, r.Ending, bisect.Drifts)
		assert.Equal(t, len(r.Culprits), 0)
		var text strings.Builder
		assert.NilError(t, r.Write(&text, make([]bisect.Commit, 65), "p50-ttft of chat", 0.02))
		said := text.String()
		assert.Assert(t, strings.HasPrefix(said, "no single commit: p50-ttft of chat drifts, with ") &&
			strings.Contains(said, " +0.1 % with each of 64 commits\n"), said)
	})
}

// What cannot be built is not measured, and where it hides the commit all are named. Two builds
// that are one program are measured as one, and nothing changes between them.
func TestSkipsAndSame(t *testing.T) {
	measured := map[int]int{}
	measure := quiet(6, 0.1)
	s := bisect.Search{Commits: 13, Budget: 2 * time.Hour, Rounds: 2,
		Build: func(_ context.Context, commit int) (string, error) {
			switch commit {
			case 4, 5:
				return "", &bisect.SkipError{Commit: commit, Err: errors.New("broken")}
			case 7, 8, 9, 10, 11, 12:
				return "the same", nil
			}
			return fmt.Sprint("program ", commit), nil
		},
		Measure: func(ctx context.Context, commit int) ([]float64, error) {
			measured[commit]++
			return measure(ctx, commit)
		}}
	synctest.Test(t, func(t *testing.T) {
		r, err := s.Run(t.Context())
		assert.NilError(t, err)
		assert.Equal(t, len(r.Culprits), 1)
		assert.DeepEqual(t, [2]int{r.Culprits[0].From, r.Culprits[0].To}, [2]int{4, 6})
		assert.Equal(t, len(r.Skips), 2)
		for commit := 8; commit < 12; commit++ {
			assert.Equal(t, measured[commit], 0, "commit %d is the same program as 12", commit)
		}
	})
	// Where the ends are one program, nothing is measured at all.
	s.Build = func(context.Context, int) (string, error) { return "one", nil }
	clear(measured)
	r, err := s.Run(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, r.Ending, bisect.NoChange)
	assert.Equal(t, r.None, 1.0)
	assert.Equal(t, len(measured), 0)
}

// An end that cannot be built ends the search, and so does an error that is none of a commit.
func TestErrors(t *testing.T) {
	broken := func(_ context.Context, commit int) (string, error) {
		if commit == 4 {
			return "", &bisect.SkipError{Commit: commit, Err: errors.New("broken")}
		}
		return "", nil
	}
	_, err := bisect.Search{Commits: 5, Budget: time.Hour, Build: broken}.Run(t.Context())
	var skip *bisect.SkipError
	assert.Assert(t, errors.As(err, &skip) && skip.Commit == 4, "%v", err)
	full := errors.New("the disk is full")
	_, err = bisect.Search{Commits: 5, Budget: time.Hour, Build: builds,
		Measure: func(context.Context, int) ([]float64, error) { return nil, full }}.Run(t.Context())
	assert.ErrorIs(t, err, full)
	_, err = bisect.Search{Commits: 1}.Run(t.Context())
	assert.ErrorContains(t, err, "two commits")
}

// A search that is interrupted says what it knows.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	measured := 0
	r, err := bisect.Search{Commits: 9, Budget: time.Hour, Rounds: 2, Build: builds,
		Measure: func(context.Context, int) ([]float64, error) {
			if measured++; measured == 4 {
				cancel()
				return nil, ctx.Err()
			}
			return []float64{0.1, 0.12}, nil
		}}.Run(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, r.Ending, bisect.Interrupted)
	var text strings.Builder
	assert.NilError(t, r.Write(&text, make([]bisect.Commit, 9), "p50-ttft of chat", 0.02))
	assert.Assert(t, strings.HasPrefix(text.String(), "interrupted: which commit made p50-ttft of chat worse is not sure.\n"), text.String())
}

// Where the budget is spent, the search says how much more would do in half of all cases. With
// twice that and its sessions it ends in most. How often is printed with -simulate.
func TestForecast(t *testing.T) {
	n := 2
	if *simulate > 0 {
		n = min(*simulate, 20)
	}
	ended, spent, wrong := 0, 0, 0
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 17))
		commit := 1 + rng.IntN(simulatedCommits)
		m := newMachine(rng, 1, 0, []regression{{commit, 0.04}})
		first := m.find(t, 25*time.Minute)
		if first.Ending != bisect.BudgetSpent {
			continue
		}
		spent++
		if first.More == 0 {
			continue
		}
		var r *bisect.Result
		synctest.Test(t, func(t *testing.T) {
			var err error
			r, err = bisect.Search{Commits: len(m.levels), Budget: 2 * first.More,
				Rounds: simulatedRounds, Build: m.build, Measure: m.measure,
				Earlier: first.Sessions}.Run(t.Context())
			assert.NilError(t, err)
		})
		if len(r.Sessions) < len(first.Sessions) {
			t.Errorf("the earlier sessions are gone")
		}
		if r.Ending == bisect.Found {
			ended++
			for _, c := range r.Culprits {
				wrong += int(count(commit < c.From || commit > c.To))
			}
		}
	}
	if *simulate > 0 {
		fmt.Printf("of %d searches %d ended in the time that was forecast, %d of them wrong\n", spent, ended, wrong)
	}
	if spent == 0 || ended*2 < spent {
		t.Errorf("of %d searches %d ended in the time that was forecast", spent, ended)
	}
}

// History is of first parents, and refuses ends that have none between them.
func TestHistory(t *testing.T) {
	r := gittest.New(t)
	r.Commit("one")
	r.Commit("two\ttabs")
	r.Git("checkout", "-q", "-b", "side", "main~1")
	r.Commit("aside")
	r.Git("checkout", "-q", "main")
	r.Git("merge", "-q", "--no-ff", "-m", "a merge", "side")
	r.Commit("three")
	commits, err := bisect.History(t.Context(), r.Dir, "main~3", "main")
	assert.NilError(t, err)
	var subjects []string
	for _, c := range commits {
		subjects = append(subjects, c.Subject)
	}
	if d := cmp.Diff([]string{"one", "two\ttabs", "a merge", "three"}, subjects); d != "" {
		t.Error(d)
	}
	_, err = bisect.History(t.Context(), r.Dir, "side", "main~2")
	assert.ErrorContains(t, err, "side is no ancestor of main~2; both come from "+commits[0].Short())
	_, err = bisect.History(t.Context(), r.Dir, "--help", "main")
	assert.ErrorContains(t, err, `"--help" is no commit`)
}

// A build that takes too long ends, with all that it started, and is skipped.
func TestBuildTimeout(t *testing.T) {
	r := gittest.New(t)
	r.Commit("one")
	// A busy machine may take longer than a limit to start the shell.
	for limit := 100 * time.Millisecond; ; limit *= 10 {
		b := bisect.Builds{Repository: r.Dir, Dir: filepath.Join(t.TempDir(), "w"),
			Commits: []bisect.Commit{{Hash: "HEAD"}}, Command: "echo working; sleep 600 & sleep 600",
			Timeout: limit}
		began := time.Now()
		_, err := b.Build(t.Context(), 0)
		took := time.Since(began)
		var skip *bisect.SkipError
		assert.Assert(t, errors.As(err, &skip), "%v", err)
		assert.NilError(t, b.Remove())
		if strings.HasSuffix(err.Error(), fmt.Sprintf("it took longer than %v", limit)) && limit < time.Minute {
			continue // it had not even begun to work
		}
		assert.ErrorContains(t, err, fmt.Sprintf("it took longer than %v: working", limit))
		assert.Assert(t, took < 5*time.Minute, "it ended after %v", took)
		return
	}
}
