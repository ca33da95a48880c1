// Package metrics is what a server says of itself in a scrape of its /metrics, by the names that servers have for it: ours,
// vLLM's, SGLang's and llama.cpp's.
package metrics

import (
	dto "github.com/prometheus/client_model/go"
)

// Metrics is one scrape of a server's /metrics.
type Metrics map[string]*dto.MetricFamily

// Value is the sum of a counter's or gauge's series whose labels include the given pairs of name and value, or -1 where
// there is none.
func (m Metrics) Value(name string, labels ...string) float64 {
	sum, found := 0.0, false
	for _, series := range m[name].GetMetric() {
		if !labelled(series, labels) {
			continue
		}
		found = true
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue() + series.GetUntyped().GetValue()
	}
	if !found {
		return -1
	}
	return sum
}

func labelled(series *dto.Metric, want []string) bool {
	has := map[string]string{}
	for _, l := range series.GetLabel() {
		has[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(want); i += 2 {
		if has[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

// PoolSize is the size of the server's KV pool, in blocks, and of a block, in tokens; 0 where it does not say.
func (m Metrics) PoolSize() (blocks, blockTokens int) {
	b, t := m.Value(poolBlocks), m.Value(poolBlockTokens)
	if b <= 0 || t <= 0 {
		return 0, 0
	}
	return int(b), int(t)
}

// PoolLocals is how many blocks the pool has for sliding layers, and how many of them one request takes at most, however
// long it is; 0 where there are no such layers.
func (m Metrics) PoolLocals() (all, each int) {
	return max(0, int(m.Value(poolLocals))), max(0, int(m.Value(poolLocalsEach)))
}

// What the server calls its KV pool.
const (
	poolBlocks      = "loadstone_pool_blocks"
	poolBlockTokens = "loadstone_pool_block_tokens"
	poolLocals      = "loadstone_pool_window_slots" // KV of sliding-window layers; none where there are no such layers
	poolLocalsEach  = "loadstone_pool_request_window_slots"
)
