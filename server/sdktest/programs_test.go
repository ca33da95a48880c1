package sdktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// install says how to install the packages of the programs in other languages.
const install = `they are installed and run by .ci/run; by hand:
  python3 -m venv server/sdktest/testdata/python/.venv
  server/sdktest/testdata/python/.venv/bin/pip install -r server/sdktest/testdata/python/requirements.txt
  npm ci --prefix server/sdktest/testdata/node
  LOADSTONE_TEST_CLIENTS=1 go test ./server/sdktest`

// TestPrograms runs the programs in testdata, which use the official Python and Node SDKs.
func TestPrograms(t *testing.T) {
	if os.Getenv("LOADSTONE_TEST_CLIENTS") == "" {
		t.Skip("the packages are not asked for; " + install)
	}
	python, err := filepath.Abs("testdata/python/.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	url, limited := serve(t), serve(t, "-rate", "60")
	for _, p := range programs {
		t.Run(p.file, func(t *testing.T) { p.run(t, python, url, limited) })
	}
}

// A program is one in testdata.
type program struct{ dir, interpreter, file string }

var programs = []program{
	{"python", "", "openai_client.py"},
	{"python", "", "responses_client.py"},
	{"python", "", "anthropic_client.py"},
	{"node", "node", "openai_client.mjs"},
	{"node", "node", "responses_client.mjs"},
	{"node", "node", "anthropic_client.mjs"},
}

// run runs a program against a server, and one that takes few requests a minute.
func (p program) run(t *testing.T, python, url, limited string) {
	interpreter := p.interpreter
	if interpreter == "" {
		interpreter = python
	}
	cmd := exec.CommandContext(t.Context(), interpreter, p.file)
	cmd.Dir = filepath.Join("testdata", p.dir)
	// The machine may have a proxy; requests to this machine must not go through it.
	cmd.Env = append(os.Environ(), "LOADSTONE_URL="+url, "LOADSTONE_LIMITED_URL="+limited,
		"LOADSTONE_KEY="+key, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, install)
	}
	if !strings.HasPrefix(string(out), "ok") {
		t.Errorf("it ran nothing: %s", out)
	}
}
