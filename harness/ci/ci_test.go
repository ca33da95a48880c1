package ci_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"loadstone/internal/git/gittest"

	"go.yaml.in/yaml/v3"
	"gotest.tools/v3/assert"
)

// TestMain is also gh, GitHub's tool, by that name: see gh_test.go.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "gh" {
		if err := gh(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "gh:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// These are the parts of GitHub's files that ours have; a key that is none of them is an error, as
// it is to GitHub.
type (
	action struct {
		Name, Description string
		Branding          struct{ Icon, Color string }
		Inputs            map[string]struct{ Description, Default string }
		Outputs           map[string]struct{ Description, Value string }
		Runs              struct {
			Using string
			Steps []step
		}
	}
	step struct {
		Name, ID, If, Uses, Shell, Run string
		Directory                      string `yaml:"working-directory"`
		Env, With                      map[string]string
	}
	workflow struct {
		Name        string
		On          map[string]any
		Permissions map[string]string
		Concurrency struct {
			Group  string
			Cancel bool `yaml:"cancel-in-progress"`
		}
		Jobs map[string]struct {
			RunsOn  string `yaml:"runs-on"`
			Timeout int    `yaml:"timeout-minutes"`
			Steps   []step
		}
	}
	gitlab map[string]struct {
		Stage, Image string
		Rules        []struct{ If string }
		Variables    map[string]any
		Before       []string `yaml:"before_script"`
		Script       []string
		Artifacts    struct {
			When    string
			Paths   []string
			Reports map[string]string
		}
	}
)

func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	assert.NilError(t, err)
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	assert.NilError(t, in.Decode(into), name)
}

const tinyServer = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	go func() { os.Stdin.Read(make([]byte, 1)); os.Exit(0) }() // ends with the program that started it
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%%s\n", l.Addr())
	http.HandleFunc("/v1/models", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "{\"data\":[{\"id\":\"tiny\"}]}")
	})
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(%d * time.Millisecond)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"a stone\"},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":64,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
	})
	panic(http.Serve(l, nil))
}
`

// A platform is a made-up one: a repository with a base and a head that is slower, and what the
// platform keeps of comments.
type platform struct {
	t          *testing.T
	repository *gittest.Repository
	temp       string
	api        *httptest.Server
	env        []string

	mu       sync.Mutex
	comments []string // those of the change, by id - 1
	writes   []string // method and path of every request that is no GET
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, repository: gittest.New(t), temp: t.TempDir(), comments: []string{"LGTM"}}
	p.env = slices.DeleteFunc(gittest.Env(), func(v string) bool {
		return strings.HasPrefix(v, "GITHUB_") || strings.HasPrefix(v, "CI_")
	})
	p.api = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.api.Close)
	p.repository.Commit("base", "go.mod", "module tiny\n\ngo 1.26\n", "main.go", fmt.Sprintf(tinyServer, 20))
	p.repository.Git("checkout", "-q", "-b", "change")
	p.repository.Commit("head", "main.go", fmt.Sprintf(tinyServer, 140))
	return p
}

// serve is the platform's API of comments, of GitHub and of GitLab.
func (p *platform) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const github, lab = "/repos/o/r/issues/7/comments", "/api/v4/projects/3/merge_requests/7/notes"
	if r.Header.Get("Authorization") != "token secret" && r.Header.Get("PRIVATE-TOKEN") != "secret" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	body := r.FormValue("body")
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		var in struct{ Body string }
		json.NewDecoder(r.Body).Decode(&in)
		body = in.Body
	}
	if r.Method != http.MethodGet {
		p.writes = append(p.writes, r.Method+" "+r.URL.Path)
	}
	var id int
	at := strings.LastIndexByte(r.URL.Path, '/')
	fmt.Sscan(r.URL.Path[at+1:], &id)
	switch folder := r.URL.Path[:at]; {
	case r.Method == http.MethodGet && (r.URL.Path == github || r.URL.Path == lab):
		if page := r.FormValue("page"); page != "" && page != "1" {
			fmt.Fprint(w, "[]")
			return
		}
		type note struct {
			ID   int     `json:"id"`
			Type *string `json:"type"`
			Body string  `json:"body"`
		}
		var all []note
		for i, c := range p.comments {
			all = append(all, note{i + 1, nil, strings.ReplaceAll(c, "\n", "\r\n")})
		}
		text, _ := json.Marshal(all) // has \u003c in place of <, as GitLab
		w.Write(text)
	case r.Method == http.MethodPost && (r.URL.Path == github || r.URL.Path == lab) && body != "":
		p.comments = append(p.comments, body)
		w.WriteHeader(http.StatusCreated)
	case (r.Method == http.MethodPatch && folder == "/repos/o/r/issues/comments" ||
		r.Method == http.MethodPut && folder == lab) && id > 0 && id <= len(p.comments) && body != "":
		p.comments[id-1] = body
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// shell runs a script as the platforms do: bash, which ends at the first error.
func (p *platform) shell(dir, script string, env ...string) (code int, output string) {
	p.t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(slices.Clone(p.env), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// flags make a measurement short: of two servers, one of which takes seven times as long. So it is
// no test of the machine, nor are two measurements of the same.
const flags = "-scenario single-cold -unit p50-ttft -runs 6 -n 12 -effect p50-ttft=50% -q"

// github runs the action's steps, with the expressions that GitHub would have evaluated.
func (p *platform) github(a *action, root string) (code int, output, summary string) {
	p.t.Helper()
	summaryFile, outputFile := filepath.Join(p.temp, "summary.md"), filepath.Join(p.temp, "output")
	os.Remove(summaryFile)
	values := map[string]string{"github.action_path": root, "github.event.pull_request.number": "7"}
	for name, input := range a.Inputs {
		values["inputs."+name] = input.Default
	}
	values["inputs.base"], values["inputs.token"] = p.repository.Git("rev-parse", "main"), "secret"
	values["inputs.build"], values["inputs.flags"] = `go build -o "$OUT" .`, flags
	for _, s := range a.Runs.Steps {
		if s.Uses != "" || code != 0 && !strings.Contains(s.If, "always()") {
			continue
		}
		env := []string{"GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + summaryFile, "GITHUB_OUTPUT=" + outputFile,
			"GITHUB_ACTION_PATH=" + root, "GITHUB_REPOSITORY=o/r", "RUNNER_TEMP=" + p.temp,
			"GITHUB_API_URL=" + p.api.URL, "PATH=" + p.temp + "/bin:" + os.Getenv("PATH")}
		if !strings.Contains(s.Directory, "action_path") {
			env = append(env, "GOFLAGS=", "GOWORK=off")
		}
		for name, value := range s.Env {
			env = append(env, name+"="+p.evaluate(value, values))
		}
		dir := p.repository.Dir
		if s.Directory != "" {
			dir = p.evaluate(s.Directory, values)
		}
		if strings.Contains(s.Run, "${{") {
			p.t.Errorf("step %s: an expression in a script is a way in for whoever names a branch", s.Name)
		}
		own, out := p.shell(dir, s.Run, env...)
		code, output = max(code, own), output+out
		if s.ID != "" {
			text, _ := os.ReadFile(outputFile)
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				values["steps."+s.ID+".outputs."+name] = value
			}
		}
	}
	text, _ := os.ReadFile(summaryFile)
	return code, output, string(text)
}

// evaluate replaces expressions by their values, which must be known.
func (p *platform) evaluate(text string, values map[string]string) string {
	p.t.Helper()
	for {
		before, rest, ok := strings.Cut(text, "${{")
		if !ok {
			return text
		}
		expression, after, _ := strings.Cut(rest, "}}")
		value, ok := values[strings.TrimSpace(expression)]
		if !ok {
			p.t.Fatalf("nobody gives %s a value", expression)
		}
		text = before + value + after
	}
}

// The action, run as GitHub runs it on a change that is slower: it fails, says so in the summary,
// in annotations, in JUnit's XML and in one comment. When the lines that the comment shows are
// committed, it passes, and the comment is another one.
func TestAction(t *testing.T) {
	root, err := filepath.Abs("../..")
	assert.NilError(t, err)
	var a action
	read(t, filepath.Join(root, "action.yml"), &a)
	assert.Equal(t, a.Runs.Using, "composite")
	p := newPlatform(t)
	assert.NilError(t, os.Mkdir(p.temp+"/bin", 0o755))
	self, err := os.Executable()
	assert.NilError(t, err)
	assert.NilError(t, os.Symlink(self, p.temp+"/bin/gh"))

	code, output, summary := p.github(&a, root)
	assert.Equal(t, code, 1, output)
	assert.Assert(t, strings.Contains(summary, "### ❌ gate: of 1 cells 1 worse"), summary)
	assert.Assert(t, strings.Contains(output, "\n::error title=gate%3A p50-ttft of single-cold::worse: more than 50 %25"), output)
	assert.DeepEqual(t, failures(t, p.temp+"/loadstone-results/junit.xml"), []string{"verdict", "p50-ttft"})
	assert.DeepEqual(t, p.writes, []string{"POST /repos/o/r/issues/7/comments"})
	comment := p.comments[1]
	assert.Assert(t, strings.HasPrefix(comment, "<!-- loadstone: gate -->\n### ❌"), comment)
	assert.Assert(t, strings.Contains(comment, "at the end of .loadstone/accepted"), comment)
	assert.Equal(t, p.repository.Git("worktree", "list"), p.repository.Dir+"  "+p.repository.Git("rev-parse", "--short", "HEAD")+" [change]")

	_, after, _ := strings.Cut(comment, "```text\n")
	line, _, _ := strings.Cut(after, "```")
	p.repository.Commit("accept it", ".loadstone/accepted", strings.ReplaceAll(line, "WHY", "it is thorough now"))
	code, output, summary = p.github(&a, root)
	assert.Equal(t, code, 0, output)
	assert.Assert(t, strings.Contains(summary, "### ✅ gate: pass, 1 accepted"), summary)
	assert.Assert(t, strings.Contains(output, "::notice title=gate%3A p50-ttft of single-cold::accepted on"), output)
	assert.DeepEqual(t, failures(t, p.temp+"/loadstone-results/junit.xml"), []string(nil))
	assert.Equal(t, p.writes[1], "PATCH /repos/o/r/issues/comments/2")
	assert.Assert(t, strings.Contains(p.comments[1], "it is thorough now"), p.comments[1])
	assert.DeepEqual(t, p.comments[0], "LGTM")
}

// failures are the names of tests that fail in a file of JUnit's XML.
func failures(t *testing.T, name string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	assert.NilError(t, err)
	var suites struct {
		Suites []struct {
			Cases []struct {
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	assert.NilError(t, xml.Unmarshal(text, &suites))
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			if c.Failure != nil {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// The workflow names what the action has, and asks for no right that it does not need.
func TestWorkflow(t *testing.T) {
	var a action
	read(t, "../../action.yml", &a)
	var w workflow
	read(t, "github-workflow.yml", &w)
	assert.DeepEqual(t, w.Permissions, map[string]string{"contents": "read", "pull-requests": "write"})
	_, ok := w.On["pull_request"]
	assert.Assert(t, ok && len(w.On) == 1, "pull_request_target would run a stranger's code with a token")
	used := false
	for _, s := range w.Jobs["gate"].Steps {
		if !strings.HasPrefix(s.Uses, "OWNER/loadstone@") {
			continue
		}
		used = true
		for name := range s.With {
			if _, ok := a.Inputs[name]; !ok {
				t.Errorf("the action has no input %s", name)
			}
		}
	}
	assert.Assert(t, used)
}

// GitLab's job, run as a runner does, with a source that has our scripts and a program that is the
// one which TestAction builds. Advisory: it reports and passes.
func TestGitLab(t *testing.T) {
	root, err := filepath.Abs("../..")
	assert.NilError(t, err)
	var jobs gitlab
	read(t, "gitlab-ci.yml", &jobs)
	job := jobs["loadstone"]
	p := newPlatform(t)
	source := p.source(root)
	var env []string
	for name, value := range job.Variables {
		if full, ok := value.(map[string]any); ok {
			value = full["value"]
		}
		env = append(env, fmt.Sprintf("%s=%v", name, value))
	}
	env = append(env, "LOADSTONE_SOURCE="+source, "LOADSTONE_REF=main", "FLAGS="+flags, `BUILD=go build -o "$OUT" .`,
		"CI_PIPELINE_SOURCE=merge_request_event", "CI_BUILDS_DIR="+p.temp, "CI_PROJECT_DIR="+p.repository.Dir,
		"CI_MERGE_REQUEST_DIFF_BASE_SHA="+p.repository.Git("rev-parse", "main"), "CI_MERGE_REQUEST_IID=7",
		"CI_PROJECT_ID=3", "CI_API_V4_URL="+p.api.URL+"/api/v4", "LOADSTONE_GITLAB_TOKEN=secret",
		"CI_COMMIT_SHA="+p.repository.Git("rev-parse", "HEAD"), "GOFLAGS=", "GOWORK=off")
	script := strings.Join(slices.Concat(job.Before, job.Script), "\n")
	code, output := p.shell(p.repository.Dir, script, env...)
	assert.Equal(t, code, 0, output)
	assert.DeepEqual(t, p.writes, []string{"POST /api/v4/projects/3/merge_requests/7/notes"})
	assert.Assert(t, strings.HasPrefix(p.comments[1],
		"<!-- loadstone: gate -->\n### ⚠️ gate: of 1 cells 1 worse (advisory: nothing fails for it)"), p.comments[1])
	results := filepath.Join(p.repository.Dir, filepath.Dir(job.Artifacts.Reports["junit"]))
	assert.DeepEqual(t, failures(t, filepath.Join(results, "junit.xml")), []string(nil))
	// Another pipeline updates the note, and without a token none is written.
	code, output = p.shell(p.repository.Dir, root+"/harness/ci/comment-gitlab.sh",
		append(env, "COMMENT="+results+"/comment.md")...)
	assert.Equal(t, code, 0, output)
	assert.Equal(t, p.writes[1], "PUT /api/v4/projects/3/merge_requests/7/notes/2")
	code, output = p.shell(p.repository.Dir, root+"/harness/ci/comment-gitlab.sh",
		append(env, "COMMENT="+results+"/comment.md", "LOADSTONE_GITLAB_TOKEN=")...)
	assert.Equal(t, code, 0, output)
	assert.Equal(t, len(p.writes), 2)
}

// source is a repository in Loadstone's place: it has the scripts, and a program that becomes the
// real one, which is built here in the repository itself, where its packages are built already.
func (p *platform) source(root string) string {
	t := p.t
	t.Helper()
	built := filepath.Join(p.temp, "real")
	code, output := p.shell(root, `go build -o "$BUILT" ./harness/cmd/loadstone`, "BUILT="+built)
	assert.Equal(t, code, 0, output)
	r := gittest.New(t)
	var files []string
	for _, name := range []string{"gate.sh", "comment-gitlab.sh"} {
		text, err := os.ReadFile(name)
		assert.NilError(t, err)
		files = append(files, "harness/ci/"+name, string(text))
	}
	files = append(files, "go.mod", "module loadstone\n\ngo 1.26\n", "harness/cmd/loadstone/main.go",
		fmt.Sprintf("package main\n\nimport (\n\t\"os\"\n\t\"syscall\"\n)\n\nfunc main() { panic(syscall.Exec(%q, os.Args, os.Environ())) }\n", built))
	r.Commit("a source", files...)
	assert.NilError(t, os.Chmod(r.Dir+"/harness/ci/gate.sh", 0o755))
	assert.NilError(t, os.Chmod(r.Dir+"/harness/ci/comment-gitlab.sh", 0o755))
	r.Commit("that runs")
	return "file://" + r.Dir
}

// A comment that may not be posted is a warning and no failure, and a base that is not there is
// said.
func TestScriptsFailSoftly(t *testing.T) {
	p := newPlatform(t)
	assert.NilError(t, os.Mkdir(p.temp+"/bin", 0o755))
	self, err := os.Executable()
	assert.NilError(t, err)
	assert.NilError(t, os.Symlink(self, p.temp+"/bin/gh"))
	file := filepath.Join(p.temp, "comment.md")
	assert.NilError(t, os.WriteFile(file, []byte("<!-- loadstone: gate -->\ntext\n"), 0o600))
	root, err := filepath.Abs(".")
	assert.NilError(t, err)
	code, output := p.shell(p.repository.Dir, root+"/comment-github.sh", "COMMENT="+file, "PULL_REQUEST=7",
		"GITHUB_REPOSITORY=o/r", "GH_TOKEN=wrong", "GITHUB_API_URL="+p.api.URL,
		"PATH="+p.temp+"/bin:"+os.Getenv("PATH"))
	assert.Equal(t, code, 0, output)
	assert.Assert(t, strings.Contains(output, "::warning title=loadstone::the comment was not posted"), output)
	code, output = p.shell(p.repository.Dir, root+"/gate.sh", "BASE=nosuch", "LOADSTONE=false", "BUILD=false", "RESULTS="+p.temp)
	assert.Equal(t, code, 2, output)
	assert.Assert(t, strings.Contains(output, "nosuch and HEAD have no common history here"), output)
	code, output = p.shell(p.repository.Dir, root+"/gate.sh", "BASE=main", "LOADSTONE=false", "BUILD=false", "RESULTS="+p.temp)
	assert.Equal(t, code, 4, output)
	assert.Assert(t, strings.Contains(output, "cannot be built: false"), output)
}
