package metrics

import (
	"time"

	"loadstone/harness/record"
)

// gauges are the names that servers give to what a Sample holds: ours, vLLM's, SGLang's, llama.cpp's.
var gauges = [3][]string{
	{"loadstone_queue_depth", "vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"},
	{"loadstone_running", "vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"},
	{"loadstone_pool_utilization_ratio", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "llamacpp:kv_cache_usage_ratio"},
}

// Sample reads the gauges; ok is false where the server knows none of them.
func (m Metrics) Sample(at time.Duration) (s record.Sample, ok bool) {
	s = record.Sample{At: at}
	for i, v := range []*float64{&s.Queue, &s.Running, &s.Pool} {
		*v = -1
		for _, name := range gauges[i] {
			if *v = m.Value(name); *v >= 0 {
				ok = true
				break
			}
		}
	}
	return s, ok
}
