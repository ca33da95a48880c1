package command

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"gotest.tools/v3/assert"

	"loadstone/harness/record"
)

// collected are the spans that a collector was sent, by the service that sent them.
type collected struct {
	mu    sync.Mutex
	spans map[string][]span
	wrong []string
}

type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Start                               string `json:"startTimeUnixNano"`
	End                                 string `json:"endTimeUnixNano"`
	Kind                                int
	Status                              struct{ Code int }
}

func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	// The protocol's own types know each field. Only ids are otherwise in OTLP's JSON, which has
	// them in hexadecimal digits; they are read below.
	var strict tracepb.TracesData
	if err := protojson.Unmarshal(body, &strict); err != nil || r.URL.Path != "/v1/traces" {
		c.wrong = append(c.wrong, r.URL.Path+": "+string(body))
		http.Error(w, "no OTLP", http.StatusBadRequest)
		return
	}
	var own struct {
		ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
	}
	json.Unmarshal(body, &own)
	for i, rs := range strict.ResourceSpans {
		service := rs.Resource.Attributes[0].Value.GetStringValue()
		for _, ss := range own.ResourceSpans[i].ScopeSpans {
			c.spans[service] = append(c.spans[service], ss.Spans...)
		}
	}
}

// A load that is traced has a span for each request, below its job's, and the server one below each
// of those: the ids are those of the records and of the server's logs.
func TestTraced(t *testing.T) {
	c := &collected{spans: map[string][]span{}}
	collector := httptest.NewServer(c)
	defer collector.Close()
	dir := t.TempDir()
	out, log := filepath.Join(dir, "out"), filepath.Join(dir, "access.json")
	code, text := program(t, "", "run", scenarioFile(t, "concurrency: 2\njobs: 4\nturns: 2\n"), "-q", "-out", out,
		"-otlp", collector.URL, "--", "-otlp", collector.URL, "-access-log", log, "-access-format", "json")
	assert.Equal(t, code, exitOK, text)
	assert.Equal(t, len(c.wrong), 0, "%v", c.wrong)
	records, err := readLines(filepath.Join(out, "records.jsonl"), record.Read)
	assert.NilError(t, err)
	content, err := os.ReadFile(log)
	assert.NilError(t, err)
	client, server := map[string]span{}, map[string]span{}
	for _, s := range c.spans["loadstone"] {
		client[s.SpanID] = s
	}
	for _, s := range c.spans["loadstone-server"] {
		if s.ParentSpanID != "" {
			server[s.ParentSpanID] = s
		}
	}
	jobs := map[string]bool{}
	n := 0
	for i := range records {
		r := &records[i]
		if r.Intent == record.IntentAgain {
			continue
		}
		n++
		parts := strings.Split(r.Traceparent(true), "-")
		own, ok := client[parts[2]]
		assert.Assert(t, ok && own.TraceID == parts[1] && own.Kind == 3, "%s: %+v", r.Agent, own)
		job, ok := client[own.ParentSpanID]
		assert.Assert(t, ok && job.TraceID == parts[1] && job.ParentSpanID == "", "%+v", job)
		jobs[job.SpanID] = true
		its, ok := server[parts[2]]
		assert.Assert(t, ok && its.TraceID == parts[1] && its.Kind == 2 && its.Status.Code == 0, "%+v", its)
		assert.Assert(t, own.Start <= its.Start && its.End <= own.End, "%+v and %+v", own, its)
		assert.Assert(t, bytes.Contains(content, []byte(`"trace":"`+parts[1]+`"`)))
	}
	assert.Equal(t, n, 10) // eight, and the two that warm the server up
	assert.Equal(t, len(client), n+len(jobs))
	assert.Equal(t, len(server), n)

	// A collector that is not there fails no measurement before its results are written.
	code, text = program(t, "", "run", scenarioFile(t, "concurrency: 1\njobs: 1\n"), "-q", "-out", filepath.Join(dir, "none"),
		"-otlp", "http://127.0.0.1:1")
	assert.Equal(t, code, exitFailed, text)
	assert.Assert(t, strings.Contains(text, "the spans were not exported"), text)
	_, err = os.Stat(filepath.Join(dir, "none", "records.jsonl"))
	assert.NilError(t, err)
}
