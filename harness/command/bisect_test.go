package command

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/internal/git/gittest"

	"gotest.tools/v3/assert"
)

// tinyServer is a server of one file: what it answers takes the milliseconds of delay.
const tinyServer = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const delay = %d * time.Millisecond

func main() {
	go func() { os.Stdin.Read(make([]byte, 1)); os.Exit(0) }() // ends with the program that started it
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%%s\n", l.Addr())
	http.HandleFunc("/v1/models", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "{\"data\":[{\"id\":\"m\"}]}")
	})
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(delay)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"a stone\"},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
	})
	panic(http.Serve(l, nil))
}
`

// newRepository is where Go programs are built as well.
func newRepository(t *testing.T) *gittest.Repository {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	return gittest.New(t)
}

// slowHistory is a repository whose server became ten times as slow at one of its commits. The
// commit before that one does not compile, and the commits after it, the newest among them, change
// only a document: whichever of them a search tries, which the noise of the machine has a say in,
// is a program that it knows from the newest. The slowdown is so large that no noise can hide it.
func slowHistory(t *testing.T) (r *gittest.Repository, good, broken, culprit string) {
	r = newRepository(t)
	server := func(delay int, more string) string { return fmt.Sprintf(tinyServer, delay) + more }
	good = r.Commit("a server", "go.mod", "module tiny\n\ngo 1.26\n", "main.go", server(20, ""))
	r.Commit("note 2", "main.go", server(20, "\nvar note = 2\n"))
	broken = r.Commit("a typo", "main.go", server(20, "\nfunc {\n"))
	culprit = r.Commit("be thorough", "main.go", server(200, "\nvar note = 3\n"))
	for i := range 6 {
		r.Commit(fmt.Sprintf("read me %d", i), "README.md", fmt.Sprint("about ", i))
	}
	return r, good, broken, culprit
}

// The whole program finds the commit: it builds, measures, skips what does not compile, does not
// measure what is the same program, and leaves the repository as it was. What was measured is kept,
// and the same search goes on from it.
func TestBisect(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("builds with the go command, which is not there")
	}
	r, good, broken, culprit := slowHistory(t)
	t.Chdir(t.TempDir())
	// Built at one path, commits that differ in documents are one program without -trimpath, for which
	// the standard library would have to be built once more.
	t.Setenv("AT", filepath.Join(t.TempDir(), "source"))
	const build = `rm -rf "$AT" && cp -r . "$AT" && cd "$AT" && go build -buildvcs=false -o "$OUT" .`
	args := []string{"bisect", "-repo", r.Dir, "-good", good, "-bad", "main", "-budget", "1h",
		"-build", build, "-start", "$OUT", "-scenario", "single-cold",
		"-unit", "p50-e2e", "-effect", "10%", "-rounds", "2", "-n", "3", "-out", "kept"}
	code, stdout, stderr := loadstone(t, "", append(args, "-json")...)
	t.Log(stderr)
	assert.Equal(t, code, exitOK, stderr)
	var found struct {
		Ending   string
		Culprits []struct {
			Commits     []string
			Probability float64
			Change      struct{ By float64 }
		}
	}
	assert.NilError(t, json.Unmarshal([]byte(stdout), &found), stdout)
	assert.Equal(t, len(found.Culprits), 1, stdout)
	c := found.Culprits[0]
	// The commit before it does not compile, so it may be either.
	assert.DeepEqual(t, c.Commits, []string{broken, culprit})
	assert.Assert(t, c.Probability >= 0.95 && c.Change.By > 0.5 && c.Change.By < 10, stdout)
	assert.Assert(t, strings.Contains(stderr, "is skipped: it does not build: exit status 1: "), stderr)
	assert.Assert(t, strings.Contains(stderr, "is the same program as "), stderr)
	if left := r.Git("worktree", "list"); strings.Contains(left, "\n") {
		t.Errorf("worktrees are left: %s", left)
	}
	code, stdout, stderr = loadstone(t, "", args...)
	assert.Equal(t, code, exitOK, stderr)
	assert.Assert(t, strings.Contains(stderr, "goes on after "), stderr)
	assert.Assert(t, strings.Contains(stdout, "one of 2 commits is where p50-e2e of single-cold got worse"),
		stdout)
}

// Mistakes get one line that says why.
func TestBisectMistakes(t *testing.T) {
	r := newRepository(t)
	first := r.Commit("first", "a", "1")
	second := r.Commit("second", "a", "2")
	r.Git("checkout", "-q", "-b", "aside", first)
	aside := r.Commit("aside", "a", "3")
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "want -good REVISION"},
		{"-good nosuch", exitUsage, `"nosuch" is no commit`},
		{"-good " + first + " -bad " + first, exitUsage, "are one commit"},
		{"-good " + aside + " -bad " + second, exitUsage, "is no ancestor of"},
		{"-good a -rounds 1", exitUsage, "-rounds is 1"},
		{"-good a -effect 0", exitUsage, "-effect 0; want a share from 0.1% to 1000%"},
		{"-good a -confidence 100%", exitUsage, "-confidence 100%"},
		{"-good a -unit elapsed", exitUsage, "is no figure that is better or worse"},
		{"-good a -scenario x", exitUsage, `unknown scenario "x"`},
		{"-good " + first + " -bad " + second + " -build false", exitUnreachable,
			"the good commit, " + first[:10] + ": it does not build: exit status 1"},
		{"-good " + first + " -bad " + second + " -build true", exitUnreachable, "left no program at $OUT"},
	} {
		args := append([]string{"bisect", "-repo", r.Dir, "-q"}, strings.Fields(c.args)...)
		code, stdout, stderr := loadstone(t, "", args...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 ||
			stdout != "" {
			t.Errorf("bisect %s: exit %d, %q %q; want exit %d and one line with %q", c.args, code, stdout,
				stderr, c.code, c.want)
		}
	}
}
