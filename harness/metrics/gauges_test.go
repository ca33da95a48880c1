package metrics

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstone/harness/record"
)

func TestSampleOfServers(t *testing.T) {
	for name, c := range map[string]struct {
		metrics string
		want    record.Sample
		ok      bool
	}{
		"loadstone": {"loadstone_queue_depth 3\nloadstone_running 8\nloadstone_pool_utilization_ratio 0.25\n", record.Sample{Queue: 3, Running: 8, Pool: 0.25}, true},
		"vllm": {"vllm:num_requests_waiting{model_name=\"a\"} 2\nvllm:num_requests_running{model_name=\"a\"} 4\nvllm:gpu_cache_usage_perc{model_name=\"a\"} 0.5\n",
			record.Sample{Queue: 2, Running: 4, Pool: 0.5}, true},
		"llama.cpp without a pool": {"llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n", record.Sample{Queue: 0, Running: 1, Pool: -1}, true},
		"a stranger":               {"go_goroutines 12\n", record.Sample{Queue: -1, Running: -1, Pool: -1}, false},
	} {
		m, err := Parse(strings.NewReader(c.metrics))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := m.Sample(0)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: ok %v (-want +got):\n%s", name, ok, diff)
		}
	}
}
