// Package deploy_test holds the files of this folder to the programs that they are for.
package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/internal/broker"
	"loadstone/internal/buckets"
	"loadstone/internal/freeport"
	"loadstone/internal/objects"
	"loadstone/server/service"
)

// serveVariable makes this test binary a server.
const serveVariable = "LOADSTONE_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) == "" {
		os.Setenv(serveVariable, "1") // of all that is started here
		os.Exit(m.Run())
	}
	proc.FollowParent()
	program := service.Program{Store: openStore}
	if err := program.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "loadstone:", err)
		os.Exit(1)
	}
}

// openStore opens an object store, as loadstone serve does.
func openStore(ctx context.Context, address string, _ service.StoreAccess) (objects.Bucket, error) {
	return buckets.Open(ctx, address, broker.Access{})
}

// serve starts a server with the embedded model.
func serve(t *testing.T, addr string, more ...string) *proc.Process {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	args := append([]string{"-addr", addr, "-model", "tiny", "-backend", "ref", "-kv-bytes", "32MiB"}, more...)
	p, err := proc.Start(t.Context(), io.Discard, self, args...)
	assert.NilError(t, err)
	return p
}

// installed is a program's path; the test is skipped where it is not installed.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed (apt-get install %[1]s); .ci/run installs it", program)
	}
	return path
}

// background runs a program until the test ends.
func background(t *testing.T, command ...string) {
	t.Helper()
	(&program{command: command}).start(t)
}

// A program is one of others' that runs until the test ends.
type program struct {
	command []string
	cmd     *exec.Cmd
}

func (p *program) start(t *testing.T) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	assert.NilError(t, cmd.Start())
	p.cmd = cmd
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", p.command[0], said.String())
		}
	})
}

// kill ends it as kill -9 does.
func (p *program) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// until waits for something that other processes do.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		if holds() {
			return poll.Success()
		}
		return poll.Continue("%s", what)
	}, poll.WithTimeout(2*time.Minute), poll.WithDelay(50*time.Millisecond))
}

func get(address string) (body []byte, status int) {
	res, err := http.Get(address)
	if err != nil {
		return nil, 0
	}
	defer res.Body.Close()
	body, _ = io.ReadAll(res.Body)
	return body, res.StatusCode
}

// A target is a query of a panel.
type target struct{ panel, expr string }

// targets are the queries of the dashboard, which Grafana's own types read without a doubt.
func targets(t *testing.T) (all []target) {
	t.Helper()
	text, err := os.ReadFile("grafana.json")
	assert.NilError(t, err)
	//lint:ignore SA1019 Grafana reads this form of dashboards, and older ones read no other
	var strict dashboard.Dashboard
	// Where it finds nothing, the error of this version is one without a text.
	if err := strict.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	assert.Equal(t, *strict.Uid, "loadstone")
	var own struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	assert.NilError(t, json.Unmarshal(text, &own))
	for _, p := range own.Panels {
		assert.Assert(t, len(p.Targets) > 0, p.Title)
		for _, q := range p.Targets {
			all = append(all, target{p.Title, q.Expr})
		}
	}
	assert.Assert(t, len(all) > 20)
	return all
}

var metricName = regexp.MustCompile(`\b(?:loadstone|process|go)_[a-z_]+`)

// Grafana reads the dashboard, and every metric in it is one that a server has.
func TestDashboard(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	defer p.Kill()
	c := client.New(p.URL)
	defer c.Close()
	_, err := c.Do(t.Context(), "POST", "/v1/chat/completions",
		[]byte(`{"max_tokens":4,"messages":[{"role":"user","content":"so"}]}`))
	assert.NilError(t, err)
	scrape, _ := get(p.URL + "/metrics")
	has := map[string]bool{}
	for line := range strings.Lines(string(scrape)) {
		if !strings.HasPrefix(line, "#") {
			has[metricName.FindString(line)] = true
		}
	}
	for _, q := range targets(t) {
		names := metricName.FindAllString(q.expr, -1)
		assert.Assert(t, len(names) > 0, "%s: %s", q.panel, q.expr)
		for _, name := range names {
			assert.Check(t, has[name], "%s: the server has no %s", q.panel, name)
		}
	}
}

// The reader of dashboards that TestDashboard relies on finds mistakes.
func TestDashboardIsReadStrictly(t *testing.T) {
	text, err := os.ReadFile("grafana.json")
	assert.NilError(t, err)
	for _, edit := range [][2]string{{`"templating"`, `"templatin"`}, {`"schemaVersion": 39`, `"schemaVersion": "39"`},
		{`"gridPos"`, `"gridPo"`}} {
		//lint:ignore SA1019 as above
		var strict dashboard.Dashboard
		err := strict.UnmarshalJSONStrict([]byte(strings.Replace(string(text), edit[0], edit[1], 1)))
		assert.Check(t, err != nil && err.Error() != "", "%s passes", edit[1])
	}
}

// Prometheus, as Debian has it, scrapes a server by prometheus.yml, and every query of the
// dashboard means something to it and finds samples.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	prometheus := installed(t, "prometheus")
	p := serve(t, "127.0.0.1:0")
	defer p.Kill()
	text, err := os.ReadFile("prometheus.yml")
	assert.NilError(t, err)
	dir, addr := t.TempDir(), freeport.Address()
	file := filepath.Join(dir, "prometheus.yml")
	own := strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(p.URL, "http://"), "scrape_interval: 5s",
		"scrape_interval: 500ms\n  scrape_timeout: 500ms").Replace(string(text))
	assert.Assert(t, own != string(text))
	assert.NilError(t, os.WriteFile(file, []byte(own), 0o600))
	background(t, prometheus, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn")
	type answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value []any }
		}
	}
	query := func(expr string) (a answer) {
		body, _ := get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(expr))
		json.Unmarshal(body, &a)
		return a
	}
	c := client.New(p.URL)
	defer c.Close()
	until(t, "the server is scraped often enough for a rate", func() bool {
		c.Do(t.Context(), "POST", "/v1/chat/completions",
			[]byte(`{"max_tokens":4,"messages":[{"role":"user","content":"so"}]}`))
		a := query(`rate(loadstone_requests_total{route="/v1/chat/completions"}[1m]) > 0`)
		return len(a.Data.Result) > 0
	})
	until(t, "the last scrape went well", func() bool { return len(query(`up == 1`).Data.Result) == 1 })
	for _, q := range targets(t) {
		expr := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(q.expr)
		a := query(expr)
		assert.Check(t, a.Status == "success", "%s: %s: %s", q.panel, q.expr, a.Error)
		if q.panel != "Refused" { // nothing was
			until(t, q.panel+" finds "+q.expr, func() bool { return len(query(expr).Data.Result) > 0 })
		}
	}
	promtool := installed(t, "promtool")
	scrape, _ := get(p.URL + "/metrics")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(scrape)
	said, err := check.CombinedOutput()
	assert.NilError(t, err, "%s", said)
}
