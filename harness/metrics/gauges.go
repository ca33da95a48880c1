package metrics

import (
	"strconv"
	"time"

	"loadstone/harness/record"
)

// The names by which servers publish what a Sample holds: ours, vLLM's, SGLang's, llama.cpp's. The
// last list is without ours, which counts blocks instead.
var (
	queueGauges = []string{
		"loadstone_queue_depth", "vllm:num_requests_waiting", "sglang:num_queue_reqs",
		"llamacpp:requests_deferred"}
	runningGauges = []string{
		"loadstone_running", "vllm:num_requests_running", "sglang:num_running_reqs",
		"llamacpp:requests_processing"}
	poolGauges        = append([]string{"loadstone_pool_utilization_ratio"}, foreignPoolGauges...)
	foreignPoolGauges = []string{
		"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage",
		"llamacpp:kv_cache_usage_ratio"}
)

// utilizations is the histogram in which our server counts steps by the utilisation of its pool.
const utilizations = "loadstone_pool_step_utilization_ratio"

// Sample reads the server's queue, its running requests and the utilisation of its pool. at is the
// time of the scrape on the clock of the records, and begun an earlier scrape, from which on the
// peak counts. ok is false where the server publishes none of the three.
func (m Metrics) Sample(at time.Duration, begun Metrics) (s record.Sample, ok bool) {
	s = record.Sample{At: at, Queue: m.first(queueGauges), Running: m.first(runningGauges),
		Pool: m.first(poolGauges), Peak: m.exceeded(utilizations, begun)}
	return s, s.Queue >= 0 || s.Running >= 0 || s.Pool >= 0
}

// exceeded is the largest bound of a histogram's buckets that an observation since an earlier
// scrape was above; 0 where there was none.
func (m Metrics) exceeded(name string, begun Metrics) (bound float64) {
	above := func(of Metrics, le string) float64 { // how many observations are above a bound
		return of.Value(name+"_count") - of.Value(name+"_bucket", "le", le)
	}
	for _, s := range m[name+"_bucket"] {
		le := s.Label("le")
		v, err := strconv.ParseFloat(le, 64)
		if err == nil && above(m, le) > above(begun, le) {
			bound = max(bound, v)
		}
	}
	return bound
}
