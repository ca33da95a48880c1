package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"
	core "k8s.io/api/core/v1"

	"loadstone/harness/command"
	"loadstone/internal/freeport"
)

// programVariable makes this test binary loadstone.
const programVariable = "LOADSTONE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		command.Main()
	}
	os.Exit(m.Run())
}

// answering is a server whose answers take so long that no delay of this machine's is long beside
// it.
func answering(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
	case "/v1/chat/completions":
		var q struct{ Messages []json.RawMessage }
		json.NewDecoder(r.Body).Decode(&q)
		time.Sleep(400 * time.Millisecond)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"so\"}}]}\n\n"+
			"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
	default:
		http.NotFound(w, r)
	}
}

// A node is what carries out a cluster's pods here: as processes, with a folder for each volume.
type node struct {
	*cluster
	dir   string
	names map[string]string // addresses of services, by name and port
}

func newNode(t *testing.T, folder string) *node {
	t.Helper()
	c, err := build(folder)
	assert.NilError(t, err)
	n := &node{c, t.TempDir(), map[string]string{}}
	for _, config := range c.configs { // a shorter load of the same kind
		if text, ok := config.Data["scenario.txtar"]; ok {
			short := strings.NewReplacer("duration: 1m", "duration: 2s", "think: lognormal 2s 1s max 10s",
				"think: 100ms").Replace(text)
			assert.Assert(t, strings.Contains(short, "duration: 2s") && strings.Contains(short, "think: 100ms"))
			config.Data["scenario.txtar"] = short
		}
		if _, ok := config.Data["URL"]; ok {
			server := httptest.NewServer(http.HandlerFunc(answering))
			t.Cleanup(server.Close)
			config.Data["URL"] = server.URL
		}
	}
	return n
}

// local returns a replacer for the text of a container's command and environment. The replacer
// turns paths of volumes into folders of this machine, and names of services into addresses.
func (n *node) local(t *testing.T, p *core.PodSpec, one *core.Container) *strings.Replacer {
	t.Helper()
	var change []string
	for _, m := range one.VolumeMounts {
		dir := filepath.Join(n.dir, m.Name)
		assert.NilError(t, os.MkdirAll(dir, 0o755))
		change = append(change, m.MountPath+"/", dir+"/")
		for _, v := range p.Volumes {
			if v.Name == m.Name && v.ConfigMap != nil {
				for name, text := range n.configs[v.ConfigMap.Name].Data {
					assert.NilError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
				}
			}
		}
	}
	for name, address := range n.names {
		change = append(change, name, address)
	}
	return strings.NewReplacer(change...)
}

// process is the process of a container with an index among its Job's.
func (n *node) process(t *testing.T, p *core.PodSpec, index string) *exec.Cmd {
	t.Helper()
	assert.Equal(t, len(p.Containers), 1)
	one := &p.Containers[0]
	here := n.local(t, p, one)
	args, unknown := n.arguments(one, index)
	assert.Equal(t, len(unknown), 0)
	for i := range args {
		args[i] = here.Replace(args[i])
	}
	self, err := os.Executable()
	assert.NilError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = n.dir
	cmd.Env = append(os.Environ(), programVariable+"=1")
	env, _ := n.environment(one, index)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+here.Replace(value))
	}
	return cmd
}

// loadstone runs the program.
func loadstone(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	self, err := os.Executable()
	assert.NilError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// verified holds results to the seeds.
func verified(t *testing.T, dir string) {
	t.Helper()
	said, err := loadstone(t, "verify", dir)
	assert.NilError(t, err, said)
	assert.Assert(t, strings.Contains(said, "made again from the seeds"), said)
}

// The pods of the Indexed Job, with the command lines of its manifest, carry out one load, which
// report puts together.
func TestParts(t *testing.T) {
	t.Parallel()
	n := newNode(t, "parts")
	job := n.jobs["loadstone-parts"]
	parts := int(*job.Spec.Completions)
	// On a busy machine the first start may come too early for some.
	for _, lead := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute} {
		for _, config := range n.configs {
			if _, ok := config.Data["START"]; ok {
				config.Data["START"] = time.Now().Add(lead).UTC().Format(time.RFC3339)
			}
		}
		assert.NilError(t, os.RemoveAll(filepath.Join(n.dir, "results")))
		said, errs := make([]bytes.Buffer, parts), make([]error, parts)
		var pods sync.WaitGroup
		for i := range parts {
			cmd := n.process(t, &job.Spec.Template.Spec, fmt.Sprint(i))
			cmd.Stdout, cmd.Stderr = &said[i], &said[i]
			pods.Go(func() { errs[i] = cmd.Run() })
		}
		pods.Wait()
		late := false
		for i := range said {
			if late = late || strings.Contains(said[i].String(), "give all of them a later start"); !late {
				assert.NilError(t, errs[i], "part %d: %s", i, said[i].String())
			}
		}
		if !late {
			break
		}
	}
	folders, err := filepath.Glob(filepath.Join(n.dir, "results", "part-*"))
	assert.NilError(t, err)
	assert.Equal(t, len(folders), parts)
	all := filepath.Join(n.dir, "all")
	text, err := loadstone(t, append([]string{"report", "-out", all}, folders...)...)
	// That some were sent late says how busy this machine is, not that the parts are no whole.
	assert.Assert(t, err == nil || strings.Contains(text, ": the client sent too late: "), text)
	verified(t, all)
}

// The workers join the NATS server of the manifest, with its token, and the Job leads them.
func TestWorkers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "workers")
	n.serveNATS(t)
	crew := n.deployed["loadstone-workers"]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pods sync.WaitGroup
	defer pods.Wait()
	defer cancel()
	for range *crew.Spec.Replicas {
		cmd := n.process(t, &crew.Spec.Template.Spec, "")
		assert.NilError(t, cmd.Start())
		stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
		pods.Go(func() { defer stop(); cmd.Wait() })
	}
	said, err := n.process(t, &n.jobs["loadstone-led"].Spec.Template.Spec, "").CombinedOutput()
	assert.NilError(t, err, "%s", said)
	assert.Assert(t, strings.Contains(string(said), "4 workers send the load"), "%s", said)
	verified(t, filepath.Join(n.dir, "results", "led"))
}

// serveNATS starts a NATS server as the manifest's container does, at an address of this machine.
func (n *node) serveNATS(t *testing.T) {
	t.Helper()
	pod := &n.deployed["loadstone-nats"].Spec.Template.Spec
	args, unknown := n.arguments(&pod.Containers[0], "")
	assert.Equal(t, len(unknown), 0)
	flags := flag.NewFlagSet("nats-server", flag.ContinueOnError)
	options, err := nats.ConfigureOptions(flags, args, func() {}, func() {}, func() {})
	assert.NilError(t, err)
	assert.Equal(t, options.Authorization, secret)
	options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", nats.RANDOM_PORT, true, true
	s, err := nats.NewServer(options)
	assert.NilError(t, err)
	s.Start()
	t.Cleanup(s.Shutdown)
	assert.Assert(t, s.ReadyForConnections(30*time.Second))
	_, port, err := net.SplitHostPort(s.Addr().String())
	assert.NilError(t, err)
	service := n.services["loadstone-nats"]
	n.names[fmt.Sprintf("%s:%d", service.Name, service.Spec.Ports[0].Port)] = "127.0.0.1:" + port
}

// A replica of the StatefulSet serves with the arguments of its manifest, and what Envoy is told of
// the replicas is what Kubernetes calls them.
func TestReplicas(t *testing.T) {
	n := newNode(t, kustomizations[2])
	set := n.sets["loadstone"]
	one := &set.Spec.Template.Spec.Containers[0]
	port := fmt.Sprint(one.Ports[0].ContainerPort)
	address := freeport.Address()
	n.names["0.0.0.0:"+port] = address
	cmd := n.process(t, &set.Spec.Template.Spec, "")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	assert.NilError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		res, err := http.Get("http://" + address + one.ReadinessProbe.HTTPGet.Path)
		if err != nil {
			return poll.Continue("%v", err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return poll.Continue("%s", res.Status)
		}
		return poll.Success()
	}, poll.WithTimeout(2*time.Minute), poll.WithDelay(50*time.Millisecond))
	_, err := os.Stat(filepath.Join(n.dir, "data", "agents"))
	assert.NilError(t, err)
	for _, config := range n.configs {
		for i := range *set.Spec.Replicas {
			name := fmt.Sprintf("%s-%d", set.Name, i)
			want := fmt.Sprintf("hostname: %s\n                  address: {socket_address: {address: %[1]s.%s, port_value: %s}}",
				name, set.Spec.ServiceName, port)
			assert.Check(t, strings.Contains(config.Data["envoy.yaml"], want), want)
		}
		assert.Equal(t, strings.Count(config.Data["envoy.yaml"], "hostname: "), int(*set.Spec.Replicas))
	}
}
