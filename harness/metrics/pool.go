package metrics

import "strconv"

// The names by which our server publishes its KV pool. Those of older versions follow the present
// ones.
var (
	poolBlocks         = []string{"loadstone_pool_blocks"}
	poolBlockTokens    = []string{"loadstone_pool_block_tokens"}
	poolWindowSlots    = []string{"loadstone_pool_window_slots", "loadstone_pool_locals"}
	requestWindowSlots = []string{
		"loadstone_pool_request_window_slots", "loadstone_pool_request_locals"}
	poolAdmitBelow = []string{"loadstone_pool_admit_below_ratio"}
)

// defaultAdmitBelow is the share of the pool at which a server of ours refuses new work that is too
// old to publish it.
const defaultAdmitBelow = 0.9

// PoolSize is the size of the server's KV pool, in blocks, and of a block, in tokens. Both are 0
// where the server does not publish them.
func (m Metrics) PoolSize() (blocks, blockTokens int) {
	b, t := m.first(poolBlocks), m.first(poolBlockTokens)
	if b <= 0 || t <= 0 {
		return 0, 0
	}
	return int(b), int(t)
}

// ReuseTokens is the tokens in whole numbers of which the server reuses the beginning of a prompt:
// the block size that vLLM publishes. It is 1 of ours, which copies the part of a block that two
// prompts share, and of servers that do not say.
func (m Metrics) ReuseTokens() int {
	for _, s := range m["vllm:cache_config_info"] {
		if n, err := strconv.Atoi(s.Label("block_size")); err == nil && n > 0 {
			return n
		}
	}
	return 1
}

// WindowSlots is how many window slots the pool has, and how many of them one request takes at
// most, however long it is. Both are 0 where the model has no sliding-window layers.
func (m Metrics) WindowSlots() (total, perRequest int) {
	return max(0, int(m.first(poolWindowSlots))), max(0, int(m.first(requestWindowSlots)))
}

// AdmitBelow is the share of the pool, from 0 to 1, at which the server refuses new work: 0.9 where
// it does not publish another.
func (m Metrics) AdmitBelow() float64 {
	if v := m.first(poolAdmitBelow); v > 0 {
		return v
	}
	return defaultAdmitBelow
}
