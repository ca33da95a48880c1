package server

import (
	"strconv"

	"loadstone/engine"
)

// A labelled is a series of a metric that has several.
type labelled struct {
	label string
	value float64
}

// appendStats writes what the engine counts.
func appendStats(b []byte, st engine.Stats) []byte {
	b = appendSeries(b, "loadstone_pool_blocks", "gauge", "KV blocks: used by running requests, cached and evictable, free.", "state",
		labelled{"used", float64(st.Used)}, labelled{"cached", float64(st.Cached)}, labelled{"free", float64(st.Free)})
	if st.WindowSlots > 0 {
		b = appendSeries(b, "loadstone_pool_locals", "gauge", "What sliding layers keep of blocks, for as long as their window sees it.", "state",
			labelled{"used", float64(st.WindowSlotsUsed)}, labelled{"cached", float64(st.WindowSlotsCached)}, labelled{"free", float64(st.WindowSlotsFree)})
		b = appendHead(b, "loadstone_pool_request_locals", "gauge", "Most of them that one request takes at once, however long it is.")
		b = appendSample(b, "loadstone_pool_request_locals", float64(st.WindowSlotsPerRequest))
	}
	b = appendSeries(b, "loadstone_pool_bytes", "gauge", "What the KV pool, all of it, is for: one running request, promised to running requests, several requests or memories at once, one idle memory, nothing.", "purpose",
		labelled{"running", float64(st.Bytes.Running)}, labelled{"promised", float64(st.Bytes.Promised)}, labelled{"shared", float64(st.Bytes.Shared)},
		labelled{"cached", float64(st.Bytes.Cached)}, labelled{"free", float64(st.Bytes.Free)})
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"loadstone_weight_bytes", "The model's weights in memory; 0: it does not say.", float64(st.WeightBytes)},
		{"loadstone_pool_block_tokens", "Tokens that a KV block has room for.", float64(st.BlockTokens)},
		{"loadstone_pool_utilization_ratio", "Used blocks of all, or locals where that is more, 0 to 1; above 0.9 new work is refused.", st.Utilization()},
		{"loadstone_pool_peak_utilization_ratio", "The highest it has been.", st.PeakUtilization()},
		{"loadstone_queue_depth", "Requests that wait.", float64(st.Queued)},
		{"loadstone_running", "Requests in the batch.", float64(st.Running)},
		{"loadstone_agents", "Agents with a memory in the pool.", float64(st.Agents)},
		{"loadstone_saved_agents", "Agents with a memory on disk.", float64(st.DiskMemories)},
		{"loadstone_saved_bytes", "What memories take on disk.", float64(st.DiskBytes)},
		{"loadstone_unsaved_bytes", "KV on its way to the disk.", float64(st.UnsavedBytes)},
	} {
		b = appendHead(b, g.name, "gauge", g.help)
		b = appendSample(b, g.name, g.value)
	}
	b = appendSeries(b, "loadstone_tokens_total", "counter", "Tokens of prompts, those of them that were cached and that were computed, tokens of answers.", "kind",
		labelled{"prompt", float64(st.PromptTokens)}, labelled{"cached", float64(st.CachedTokens)},
		labelled{"computed", float64(st.PromptTokens - st.CachedTokens)}, labelled{"output", float64(st.OutputTokens)})
	b = appendSeries(b, "loadstone_cache_hits_total", "counter", "Requests that ran, by the slowest tier their prompt's cached tokens came from; cold: there were none.", "tier",
		labelled{"hot", float64(st.FromHot)}, labelled{"warm", float64(st.FromDisk)}, labelled{"cold", float64(st.FromCold)})
	b = appendSeries(b, "loadstone_ended_total", "counter", "Requests that the engine took and that have ended, by how.", "how",
		labelled{"finished", float64(st.Finished)}, labelled{"cancelled", float64(st.Cancelled)}, labelled{"failed", float64(st.Failed)})
	for _, c := range []struct {
		name, help string
		value      float64
	}{
		{"loadstone_evictions_total", "Blocks that idle memories lost.", float64(st.Evictions)},
		{"loadstone_steps_total", "Steps of the model.", float64(st.Steps)},
		{"loadstone_restores_total", "Requests that began with tokens from the disk.", float64(st.Restores)},
		{"loadstone_restore_failures_total", "Memories on disk that were of no use to the request that found them.", float64(st.RestoreFailures)},
		{"loadstone_restore_bytes_total", "KV that restores brought back.", float64(st.RestoredBytes)},
		{"loadstone_restore_seconds_total", "Time that restores took.", st.RestoreTime.Seconds()},
		{"loadstone_saves_total", "Memories written to disk.", float64(st.Saves)},
		{"loadstone_save_failures_total", "Memories that could not be, or were evicted faster than the disk could take them.", float64(st.SaveFailures)},
		{"loadstone_save_bytes_total", "KV that saves wrote.", float64(st.SavedBytes)},
		{"loadstone_save_seconds_total", "Time that saves took.", st.SaveTime.Seconds()},
	} {
		b = appendHead(b, c.name, "counter", c.help)
		b = appendSample(b, c.name, c.value)
	}
	return appendBatches(b, st)
}

func appendSeries(b []byte, name, kind, help, label string, series ...labelled) []byte {
	b = appendHead(b, name, kind, help)
	for _, s := range series {
		b = appendSample(b, name+"{"+label+`="`+s.label+`"}`, s.value)
	}
	return b
}

// appendBatches writes the sizes of batches as a histogram.
func appendBatches(b []byte, st engine.Stats) []byte {
	const name = "loadstone_batch_sequences"
	b = appendHead(b, name, "histogram", "Sequences in a step of the model.")
	var total uint64
	for i, n := range st.Batches {
		total += n
		le := "+Inf"
		if i < len(st.Batches)-1 {
			le = strconv.Itoa(1 << i)
		}
		b = appendSample(b, name+`_bucket{le="`+le+`"}`, float64(total))
	}
	b = appendSample(b, name+"_sum", float64(st.BatchSequences))
	return appendSample(b, name+"_count", float64(total))
}
