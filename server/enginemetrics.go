package server

import (
	"strconv"

	"loadstone/engine"
)

// A labelled value is one series of a metric that has several.
type labelled struct {
	label string
	value float64
}

// appendStats appends what the engine counts.
func appendStats(b []byte, st engine.Stats) []byte {
	b = appendPool(b, st)
	b = appendGauges(b, st)
	b = appendSeries(b, "loadstone_tokens_total", "counter",
		"Tokens of prompts, those of them that were cached and that were computed, "+
			"and tokens of answers.", "kind",
		labelled{"prompt", float64(st.PromptTokens)}, labelled{"cached", float64(st.CachedTokens)},
		labelled{"computed", float64(st.PromptTokens - st.CachedTokens)},
		labelled{"output", float64(st.OutputTokens)})
	b = appendSeries(b, "loadstone_draft_tokens_total", "counter",
		"Tokens of drafts that were computed along with those of answers, by whether they were right. "+
			"Those that were are in loadstone_tokens_total too.", "kind",
		labelled{"accepted", float64(st.Accepted)},
		labelled{"rejected", float64(st.Drafted - st.Accepted)})
	b = appendSeries(b, "loadstone_cache_hits_total", "counter",
		"Requests that ran, by the slowest tier that the cached tokens of their prompt came from. "+
			"cold: no tokens were cached.",
		"tier",
		labelled{"hot", float64(st.FromHot)}, labelled{"disk", float64(st.FromDisk)},
		labelled{"cold", float64(st.FromCold)})
	b = appendSeries(b, "loadstone_ended_total", "counter",
		"Requests that the engine accepted and that have ended, by how they ended.", "how",
		labelled{"finished", float64(st.Finished)}, labelled{"cancelled", float64(st.Cancelled)},
		labelled{"failed", float64(st.Failed)})
	b = appendCounters(b, st)
	f := st.SaveFailuresBy
	b = appendSeries(b, "loadstone_save_failures_total", "counter",
		"Attempts to save a memory that failed: the disk or the quota was full, the disk failed, "+
			"the memory was evicted before a slow disk had taken it, the model could not read it, or "+
			"another server that shares the memories had gone on with the agent.",
		"reason",
		labelled{"disk_full", float64(f.DiskFull)}, labelled{"quota", float64(f.Quota)},
		labelled{"io", float64(f.IO)}, labelled{"disk_slow", float64(f.DiskSlow)},
		labelled{"read", float64(f.Read)}, labelled{"superseded", float64(f.Superseded)})
	b = appendCounts(b, "loadstone_batch_sequences", "Sequences in a step of the model.",
		st.Batches[:], func(i int) float64 { return float64(int(1) << i) },
		float64(st.BatchSequences))
	return appendCounts(b, "loadstone_pool_step_utilization_ratio",
		"The loadstone_pool_utilization_ratio with which a step of the model begins.",
		st.Utilizations[:], func(i int) float64 { return float64(i+1) / engine.UtilizationBuckets },
		st.UtilizationSum)
}

func appendPool(b []byte, st engine.Stats) []byte {
	b = appendSeries(b, "loadstone_pool_blocks", "gauge",
		"KV blocks: used by running requests, cached and evictable, free.", "state",
		labelled{"used", float64(st.Used)}, labelled{"cached", float64(st.Cached)},
		labelled{"free", float64(st.Free)})
	if st.WindowSlots > 0 {
		b = appendSeries(b, "loadstone_pool_window_slots", "gauge",
			"Window slots, which hold the KV of sliding-window layers: "+
				"used by running requests, cached and evictable, free.",
			"state",
			labelled{"used", float64(st.WindowSlotsUsed)},
			labelled{"cached", float64(st.WindowSlotsCached)},
			labelled{"free", float64(st.WindowSlotsFree)})
		b = appendHead(b, "loadstone_pool_request_window_slots", "gauge",
			"Largest number of window slots that one request takes at once, however long it is.")
		b = appendSample(b, "loadstone_pool_request_window_slots", float64(st.WindowSlotsPerRequest))
	}
	return appendSeries(b, "loadstone_pool_bytes", "gauge",
		"All bytes of the KV pool, by purpose: one running request, promised to running requests, "+
			"several requests or memories at once, one idle memory, none.", "purpose",
		labelled{"running", float64(st.Bytes.Running)},
		labelled{"promised", float64(st.Bytes.Promised)},
		labelled{"shared", float64(st.Bytes.Shared)}, labelled{"cached", float64(st.Bytes.Cached)},
		labelled{"free", float64(st.Bytes.Free)})
}

func appendGauges(b []byte, st engine.Stats) []byte {
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"loadstone_weight_bytes", "The model's weights in memory. 0: not known.",
			float64(st.WeightBytes)},
		{"loadstone_pool_block_tokens", "Tokens that a KV block has room for.",
			float64(st.BlockTokens)},
		{"loadstone_pool_utilization_ratio",
			"Used share of the blocks, or of the window slots where that is more, 0 to 1.",
			st.Utilization()},
		{"loadstone_pool_peak_utilization_ratio",
			"The highest value of loadstone_pool_utilization_ratio so far.",
			st.PeakUtilization()},
		{"loadstone_pool_admit_below_ratio",
			"The utilization above which new work is refused, 0 to 1.", engine.AdmitBelow},
		{"loadstone_queue_depth", "Requests that wait.", float64(st.Queued)},
		{"loadstone_running", "Requests in the batch.", float64(st.Running)},
		{"loadstone_agents", "Agents with a memory in the pool.", float64(st.Agents)},
		{"loadstone_saved_agents", "Agents with a memory on disk.", float64(st.DiskMemories)},
		{"loadstone_saved_bytes", "Bytes that memories take on disk.", float64(st.DiskBytes)},
		{"loadstone_unsaved_seconds",
			"Age of the oldest turn of an agent that is acknowledged and not on disk. 0: all are.",
			st.Unsaved.Seconds()},
		{"loadstone_disk_full",
			"1 while a memory waits because the disk or the quota is full, else 0.",
			oneIf(st.Disk == engine.DiskFull)},
		{"loadstone_unsaved_bytes", "Bytes of KV on their way to the disk.",
			float64(st.UnsavedBytes)},
	} {
		b = appendHead(b, g.name, "gauge", g.help)
		b = appendSample(b, g.name, g.value)
	}
	return b
}

func appendCounters(b []byte, st engine.Stats) []byte {
	for _, c := range []struct {
		name, help string
		value      float64
	}{
		{"loadstone_evictions_total", "Blocks that idle memories lost.", float64(st.Evictions)},
		{"loadstone_steps_total", "Steps of the model.", float64(st.Steps)},
		{"loadstone_restores_total", "Requests that began with tokens from the disk.",
			float64(st.Restores)},
		{"loadstone_restore_failures_total",
			"Memories on disk that were of no use to the request that found them.",
			float64(st.RestoreFailures)},
		{"loadstone_restore_bytes_total", "Bytes of KV that were restored from the disk.",
			float64(st.RestoredBytes)},
		{"loadstone_restore_seconds_total", "Time that restores took.", st.RestoreTime.Seconds()},
		{"loadstone_saves_total", "Memories that were written to the disk.", float64(st.Saves)},
		{"loadstone_save_bytes_total", "Bytes of KV that were written to the disk.",
			float64(st.SavedBytes)},
		{"loadstone_save_seconds_total", "Time that saves took.", st.SaveTime.Seconds()},
	} {
		b = appendHead(b, c.name, "counter", c.help)
		b = appendSample(b, c.name, c.value)
	}
	return b
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// appendSeries appends a metric with one label.
func appendSeries(b []byte, name, kind, help, label string, series ...labelled) []byte {
	b = appendHead(b, name, kind, help)
	for _, s := range series {
		b = appendSample(b, name+"{"+label+`="`+s.label+`"}`, s.value)
	}
	return b
}

// appendCounts appends a histogram. bound is the upper bound of each bucket but the last, and sum
// that of all that was observed.
func appendCounts(b []byte, name, help string, buckets []uint64, bound func(int) float64,
	sum float64) []byte {
	b = appendHead(b, name, "histogram", help)
	var total uint64
	for i, n := range buckets {
		total += n
		le := "+Inf"
		if i < len(buckets)-1 {
			le = strconv.FormatFloat(bound(i), 'g', -1, 64)
		}
		b = appendSample(b, name+`_bucket{le="`+le+`"}`, float64(total))
	}
	b = appendSample(b, name+"_sum", sum)
	return appendSample(b, name+"_count", float64(total))
}
