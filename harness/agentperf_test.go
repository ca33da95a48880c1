package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// A bodies is a server that keeps the bodies of the requests that it gets, and answers each with as
// many tokens as it asks for.
type bodies struct {
	mu  sync.Mutex
	all []map[string]any
}

func (b *bodies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/models" {
		io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		return
	}
	var body map[string]any
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&body) != nil {
		http.NotFound(w, r)
		return
	}
	b.mu.Lock()
	b.all = append(b.all, body)
	b.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	n := int(body["max_tokens"].(float64))
	fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":%q}}]}\n\n",
		strings.Repeat("so ", n))
	io.WriteString(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n")
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n",
		n, n+9)
	io.WriteString(w, "data: [DONE]\n\n")
}

// by are the bodies by their messages.
func (b *bodies) by(t *testing.T) map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, body := range b.all {
		key, err := json.Marshal(body["messages"])
		assert.NilError(t, err)
		all[string(key)] = body
	}
	return all
}

// The bodies of all 168 turns of agentperf-local's default replays are those that its own client
// sends, but for the sampling (temperature, top_k, top_p, min_p), which its client chooses, and
// min_tokens, which ours sends as well. LOADSTONE_AGENTPERF is the path of its command;
// .ci/loadtools installs it.
func TestAgentPerfBodies(t *testing.T) {
	command := os.Getenv("LOADSTONE_AGENTPERF")
	if command == "" {
		t.Skip("LOADSTONE_AGENTPERF is not the path of agentperf-local, which .ci/loadtools agentperf installs")
	}
	theirs, ours := &bodies{}, &bodies{}
	s := httptest.NewServer(theirs)
	defer s.Close()
	run := exec.CommandContext(t.Context(), command, "run", "--base-url", s.URL+"/v1", "--model", "m", "--output-dir",
		filepath.Join(t.TempDir(), "out"), "--no-power", "--no-progress", "--no-cache-isolation")
	output, err := run.CombinedOutput()
	assert.NilError(t, err, string(output))

	python := filepath.Join(filepath.Dir(command), "python")
	folder, err := exec.CommandContext(t.Context(), python, "-c",
		"import agentperf_local; print(agentperf_local.__path__[0])").Output()
	assert.NilError(t, err)
	source, err := load.OpenSource(filepath.Join(strings.TrimSpace(string(folder)),
		"data/replays/agentperf-default-v1/traces"), 0)
	assert.NilError(t, err)
	own := httptest.NewServer(ours)
	defer own.Close()
	l := load.Load{Sessions: source.Sessions, Concurrency: 1, Speed: 1000, Replay: load.Replay{AsIs: true}}
	c := client.New(own.URL)
	c.Model = "m"
	runs, _, err := Plan{Loads: []load.Load{l}}.Run(t.Context(), c)
	assert.NilError(t, err)
	assert.Equal(t, len(runs[0].Records), 168)

	want, got := theirs.by(t), ours.by(t)
	differ := map[string]int{}
	turns := 0
	for key, w := range want {
		g := got[key]
		if g == nil {
			continue // of the requests that ask whether the server forces lengths
		}
		turns++
		for name := range maps.Keys(w) {
			if !reflect.DeepEqual(w[name], g[name]) {
				differ[name]++
			}
		}
		for name := range maps.Keys(g) {
			if _, there := w[name]; !there {
				differ[name]++
			}
		}
	}
	assert.Equal(t, turns, 168)
	assert.DeepEqual(t, slices.Sorted(maps.Keys(differ)), []string{"min_p", "min_tokens", "temperature", "top_k",
		"top_p"})
	t.Logf("168 bodies; fields that differ, and in how many: %v", differ)
}
