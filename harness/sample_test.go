package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestSampleOfServers(t *testing.T) {
	for name, c := range map[string]struct {
		metrics string
		want    Sample
		ok      bool
	}{
		"loadstone": {"loadstone_queue_depth 3\nloadstone_running 8\nloadstone_pool_utilization_ratio 0.25\n", Sample{Queue: 3, Running: 8, Pool: 0.25}, true},
		"loadstone, sliding layers": {"loadstone_pool_utilization_ratio 0.25\nloadstone_pool_locals{state=\"used\"} 3\nloadstone_pool_locals{state=\"cached\"} 0\nloadstone_pool_locals{state=\"free\"} 1\n",
			Sample{Queue: -1, Running: -1, Pool: 0.75}, true},
		"vllm": {"vllm:num_requests_waiting{model_name=\"a\"} 2\nvllm:num_requests_running{model_name=\"a\"} 4\nvllm:gpu_cache_usage_perc{model_name=\"a\"} 0.5\n",
			Sample{Queue: 2, Running: 4, Pool: 0.5}, true},
		"llama.cpp without a pool": {"llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n", Sample{Queue: 0, Running: 1, Pool: -1}, true},
		"a stranger":               {"go_goroutines 12\n", Sample{Queue: -1, Running: -1, Pool: -1}, false},
	} {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		m, err := parser.TextToMetricFamilies(strings.NewReader(c.metrics))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Metrics(m).sample(0)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: ok %v (-want +got):\n%s", name, ok, diff)
		}
	}
}

// A long run has as many samples as a short one, in order, and its peaks are among them.
func TestSeriesIsBounded(t *testing.T) {
	var s series
	const looks = 37*maxSamples + 5
	for i := range looks {
		look := Sample{At: time.Duration(i), Queue: -1, Running: float64(i % 7), Pool: 0.1}
		if i == 12_345 {
			look.Pool = 0.9
		}
		s.add(look)
		if len(s.samples) > maxSamples {
			t.Fatalf("%d samples after %d looks, want at most %d", len(s.samples), i+1, maxSamples)
		}
	}
	if n := len(s.samples); n < maxSamples/2 || s.samples[n-1].At < looks*9/10 {
		t.Errorf("%d samples, the last of %v of %d", n, int(s.samples[n-1].At), looks)
	}
	for i := 1; i < len(s.samples); i++ {
		if s.samples[i].At <= s.samples[i-1].At {
			t.Fatalf("sample %d of %v comes after %v", i, s.samples[i].At, s.samples[i-1].At)
		}
	}
	if got := peakPool(s.samples); got != 0.9 {
		t.Errorf("the peak is %g, want 0.9", got)
	}
	if got := s.samples[5].Queue; got != -1 {
		t.Errorf("an unknown queue became %g", got)
	}
}

func TestSamplesKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	want := []Sample{{Scenario: "a", Run: 1, At: 5, Queue: 2, Running: -1, Pool: 0.5}, {Scenario: "b"}}
	if err := WriteSamples(path, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadSamples(bytes.NewReader(text))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
