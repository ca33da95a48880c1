package engine

import (
	"math"
	"math/bits"
	"sync"
	"time"

	"loadstone/engine/internal/kv"
)

// BatchBuckets is how many sizes of batches Stats tells apart.
const BatchBuckets = 8

// UtilizationBuckets is how many ranges of Utilization Stats tells apart, equal parts of 0 to 1.
const UtilizationBuckets = 20

// Purposes says what the pool is for, in bytes. The numbers add up to the whole.
type Purposes = kv.Purposes

// Stats is the state of the engine between two steps. Counters start at zero with the engine and
// only grow.
type Stats struct {
	// The pool's blocks. Used + Cached + Free == Blocks.
	Blocks int
	Used   int // running requests have them or may still take them; a shared block counts once
	Cached int // only idle memories have them; they are evicted when the room is needed
	Free   int

	// The same of window slots, each of which holds a block's tokens in the sliding layers, for as
	// long as the window sees them. A slot counts as used once for each request that has it and may
	// release it before the request ends. All are 0 for a model without sliding layers.
	WindowSlots           int
	WindowSlotsUsed       int
	WindowSlotsCached     int
	WindowSlotsFree       int
	WindowSlotsPerRequest int // the most that one request takes at once

	Bytes Purposes // of blocks and slots together: everything that was made of Config.KVBytes

	PeakUsed, WindowSlotsPeakUsed int   // the highest so far
	BlockTokens                   int   // tokens in a block, and in a window slot
	KVBytesPerToken               int   // in the global layers: in a block
	KVWindowBytesPerToken         int   // in the sliding layers: in a window slot
	WeightBytes                   int64 // of the model's weights in memory; 0: unknown

	Running  int // requests in the batch
	Queued   int // requests that wait
	Agents   int // agents with a memory in the pool
	Draining bool

	Steps        uint64 // calls of Model.Step, failed ones included
	PromptTokens uint64 // of requests whose prompt is done, computed or not
	CachedTokens uint64 // those of PromptTokens that came from the cache
	OutputTokens uint64 // tokens delivered
	Drafted      uint64 // tokens computed or taken before their turn; see Config.NoDrafts
	Accepted     uint64 // those of them that were delivered
	Admitted     uint64 // requests that left the queue to run
	Finished     uint64 // requests that ended with FinishStop or FinishLength
	Cancelled    uint64 // requests that ended with FinishCancelled, queued or running
	Failed       uint64 // requests that ended with FinishError
	Evictions    uint64 // blocks that idle memories lost

	// Requests that ran, by the tier of what they began with (see Start.Tier).
	FromHot, FromDisk, FromCold uint64

	// Batches counts steps by how many sequences they had: up to 1, 2, 4, 8 and so on; the last one
	// counts all larger steps. BatchSequences counts the sequences of all steps.
	Batches        [BatchBuckets]uint64
	BatchSequences uint64

	// Utilizations counts steps by the Utilization with which they began: up to 1/20, 2/20 and so on.
	// It misses no peak between two looks. UtilizationSum is the sum over all steps.
	Utilizations   [UtilizationBuckets]uint64
	UtilizationSum float64

	// Memories on disk.
	DiskMemories    int
	DiskBytes       int64         // of their files
	UnsavedBytes    int64         // copied out of the pool and not on disk yet
	Saves           uint64        // memories written to disk
	SaveFailures    uint64        // failed attempts to save one: the sum of SaveFailuresBy
	SaveFailuresBy  SaveFailures  // by reason
	Unsaved         time.Duration // age of the oldest turn that is not on disk; 0: all are
	Disk            string        // DiskOK, DiskFull or DiskFailing; "": nothing is kept there
	SavedBytes      uint64        // of KV, written by all saves
	SaveTime        time.Duration // of all saves
	Restores        uint64        // requests that began with tokens from disk
	RestoreFailures uint64        // requests whose agent's file could not be used
	RestoredBytes   uint64        // of KV, read by all restores
	RestoreTime     time.Duration // of all restores

	// Refusals of Submit, by kind.
	RejectedShare, RejectedPool, RejectedQueue, RejectedAgent, RejectedContext, RejectedDraining uint64
}

// SaveFailures counts failed attempts to save a memory by reason. The first three are tried again.
type SaveFailures struct {
	DiskFull uint64 // the disk had no room, and nothing more could be deleted to make some
	Quota    uint64 // the memory did not fit into Config.DiskBytes beside the pinned ones
	IO       uint64 // another error of the disk
	DiskSlow uint64 // the memory was evicted, and as much as may wait for the disk waited already
	Read     uint64 // the model could not read its KV

	// Superseded counts memories that are not saved because another engine that shares the directory
	// has gone on with the agent, or was at work with it. They are not tried again.
	Superseded uint64
}

// Sum returns the number of all failures.
func (f SaveFailures) Sum() uint64 {
	return f.DiskFull + f.Quota + f.IO + f.DiskSlow + f.Read + f.Superseded
}

// What Stats says of the disk. It is DiskFull or DiskFailing as long as a memory waits that could
// not be saved.
const (
	DiskOK      = "ok"
	DiskFull    = "full"
	DiskFailing = "failing"
)

// Utilization is the share of the pool's blocks, or of its window slots where that is larger, that
// running requests have or may still take, 0 to 1.
func (s Stats) Utilization() float64 { return s.share(s.Used, s.WindowSlotsUsed) }

// PeakUtilization is the highest that Utilization has been.
func (s Stats) PeakUtilization() float64 { return s.share(s.PeakUsed, s.WindowSlotsPeakUsed) }

// NearlyFull reports whether running requests have more than AdmitBelow of the blocks, or of the
// window slots. Then Submit refuses new ones, but those of a principal that has less than its part.
func (s Stats) NearlyFull() bool {
	return nearlyFull(s.Used, s.Blocks) || nearlyFull(s.WindowSlotsUsed, s.WindowSlots)
}

func nearlyFull(used, total int) bool { return float64(used) > AdmitBelow*float64(total) }

func (s Stats) share(blocks, windowSlots int) float64 {
	share := 0.0
	if s.Blocks > 0 {
		share = float64(blocks) / float64(s.Blocks)
	}
	if s.WindowSlots > 0 {
		share = max(share, float64(windowSlots)/float64(s.WindowSlots))
	}
	return share
}

// published holds the latest Stats. Its lock is held for a copy; an atomic pointer would cost an
// allocation a step.
type published struct {
	mu    sync.Mutex
	stats Stats
}

func (p *published) load() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *published) store(st *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats = *st
}

// served is what the engine's goroutine counts in addition to the scheduler.
type served struct {
	hot, disk, cold uint64
	batches         [BatchBuckets]uint64
	sequences       uint64
	utilizations    [UtilizationBuckets]uint64
	utilizationSum  float64
	restoredBytes   uint64
	restore         time.Duration
}

// step counts a step of n sequences that begins with a utilization of the pool.
func (s *served) step(n int, utilization float64) {
	s.batches[min(bits.Len(uint(n-1)), BatchBuckets-1)]++
	s.sequences += uint64(n)
	bucket := int(math.Ceil(utilization*UtilizationBuckets)) - 1
	s.utilizations[min(max(bucket, 0), UtilizationBuckets-1)]++
	s.utilizationSum += utilization
}

// count counts a request that has ended.
func (s *served) count(r *Result) {
	switch r.Tier {
	case TierHot:
		s.hot++
	case TierDisk:
		s.disk++
	case TierCold:
		s.cold++
	}
	s.restoredBytes += uint64(r.RestoredBytes)
	s.restore += r.Restore
}

func (s *served) publish(st *Stats) {
	st.FromHot, st.FromDisk, st.FromCold = s.hot, s.disk, s.cold
	st.Batches, st.BatchSequences = s.batches, s.sequences
	st.Utilizations, st.UtilizationSum = s.utilizations, s.utilizationSum
	st.RestoredBytes, st.RestoreTime = s.restoredBytes, s.restore
}

// Stats fills in what the scheduler and the pool know.
func (s *sched) Stats() Stats {
	c, p := &s.counters, s.store.Stats()
	st := Stats{
		Blocks:   p.Blocks.Total,
		Used:     p.Blocks.Used,
		Cached:   p.Blocks.Cached,
		Free:     p.Blocks.Free,
		PeakUsed: p.Blocks.Peak,

		WindowSlots:         p.Slots.Total,
		WindowSlotsUsed:     p.Slots.Used,
		WindowSlotsCached:   p.Slots.Cached,
		WindowSlotsFree:     p.Slots.Free,
		WindowSlotsPeakUsed: p.Slots.Peak,

		Bytes:                 p.Bytes,
		BlockTokens:           s.store.BlockTokens,
		KVBytesPerToken:       s.store.GlobalBytes,
		KVWindowBytesPerToken: s.store.SlidingBytes,

		Running: len(s.running),
		Agents:  p.Agents,

		Steps:        c.steps,
		PromptTokens: c.promptTokens,
		CachedTokens: c.cachedTokens,
		OutputTokens: c.outputTokens,
		Drafted:      c.drafted,
		Accepted:     c.accepted,
		Admitted:     c.admitted,
		Finished:     c.finished,
		Cancelled:    c.cancelled,
		Failed:       c.failed,
		Evictions:    p.Evictions,
	}
	if s.store.Window > 0 {
		st.WindowSlotsPerRequest = s.store.MaxSlots(s.stepTokens)
	}
	return st
}
