package metrics

import (
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

// Sample reads the server's queue, its running requests and the utilisation of its pool. at is the
// time of the scrape on the clock of the records. ok is false where the server publishes none of
// the three.
func (m Metrics) Sample(at time.Duration) (s record.Sample, ok bool) {
	s = record.Sample{At: at, Queue: m.first(queueGauges), Running: m.first(runningGauges),
		Pool: m.first(poolGauges)}
	return s, s.Queue >= 0 || s.Running >= 0 || s.Pool >= 0
}
