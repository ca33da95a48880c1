package metrics

import (
	"fmt"
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
		got, ok := m.Sample(0, nil)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: ok %v (-want +got):\n%s", name, ok, diff)
		}
	}
}

// What a server's histogram says of the steps between two scrapes is the peak of a run: the largest
// bound that a step was above.
func TestPeakBetweenScrapes(t *testing.T) {
	scrape := func(upTo5, upTo10, upTo90, all int) Metrics {
		const name = "loadstone_pool_step_utilization_ratio"
		m, err := Parse(strings.NewReader(fmt.Sprintf("%[1]s_bucket{le=\"0.05\"} %[2]d\n"+
			"%[1]s_bucket{le=\"0.1\"} %[3]d\n%[1]s_bucket{le=\"0.9\"} %[4]d\n"+
			"%[1]s_bucket{le=\"+Inf\"} %[5]d\n%[1]s_count %[5]d\n", name, upTo5, upTo10, upTo90, all)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	begun := scrape(3, 3, 3, 10) // with peaks of what came before
	for _, c := range []struct {
		name string
		now  Metrics
		want float64
	}{
		{"no step", begun, 0},
		{"steps in the first bucket", scrape(5, 5, 5, 12), 0},
		{"a step above 5 %", scrape(5, 6, 6, 13), 0.05},
		{"a step above 90 %", scrape(5, 6, 6, 14), 0.9},
		{"a server that began anew", scrape(1, 1, 2, 2), 0},
		{"a server without it", Metrics{}, 0},
	} {
		if got, _ := c.now.Sample(0, begun); got.Peak != c.want {
			t.Errorf("%s: a peak of %g, want %g", c.name, got.Peak, c.want)
		}
	}
}
