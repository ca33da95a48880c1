package engine

import (
	"math/bits"
	"sync"
	"time"
)

// BatchBuckets is how many sizes of batches Stats tells apart.
const BatchBuckets = 8

// Stats is a snapshot of the engine between two steps. Counters start at zero with the engine and only grow.
type Stats struct {
	// The pool. Used + Cached + Free == Blocks.
	Blocks int
	Used   int // running requests have them or may yet claim them; a block that several share counts once
	Cached int // idle memory, evicted the moment somebody needs the room
	Free   int

	// The same of locals, which hold what a block's tokens have in layers with a sliding window, for as long as that sees
	// them. A local is used as often as running requests share it and may leave it before they end. All 0 for a model without
	// such layers.
	Locals      int
	LocalUsed   int
	LocalCached int
	LocalFree   int
	LocalsEach  int // most that one request takes at once

	Bytes Purposes // of both parts: all that was made of Config.KVBytes

	PeakUsed, LocalPeakUsed int   // highest so far
	BlockTokens             int   // tokens in a block, and in a local
	KVBytesPerToken         int   // in the global layers: of a block
	KVLocalBytesPerToken    int   // in the sliding ones: of a local
	WeightBytes             int64 // of the model's weights in memory; 0: it does not say

	Running  int // requests in the batch
	Queued   int // requests that wait
	Agents   int // agents with a memory in the pool
	Draining bool

	Steps        uint64 // calls of Model.Step, failed ones included
	PromptTokens uint64 // tokens of the prompts of requests whose prompt is done, computed or not
	CachedTokens uint64 // those of them that came from the cache
	OutputTokens uint64 // tokens delivered
	Admitted     uint64 // requests that left the queue to run
	Finished     uint64 // requests that ended with FinishStop or FinishLength
	Cancelled    uint64 // requests that ended with FinishCancelled, queued or running
	Failed       uint64 // requests that ended with FinishError
	Evictions    uint64 // blocks that idle memories lost

	FromHot, FromWarm, FromCold uint64               // requests that ran, by the tier of what they began with (see Start.Tier)
	Batches                     [BatchBuckets]uint64 // steps, by how many sequences they had: up to 1, 2, 4, 8 and so on; the last of any number
	BatchSequences              uint64               // sequences of all steps together

	// The warm tier.
	Warm            int           // memories on disk
	WarmBytes       int64         // what their files take
	UnsavedBytes    int64         // copied out of the pool and not on disk yet
	Saves           uint64        // memories written to disk
	SaveFailures    uint64        // memories that could not be, or were evicted faster than the disk could take them
	SavedBytes      uint64        // of KV, written by all saves
	SaveTime        time.Duration // that they took
	Restores        uint64        // requests that began with tokens from the warm tier
	RestoreFailures uint64        // requests that found what was there to be of no use
	RestoredBytes   uint64        // of KV, read by all restores
	RestoreTime     time.Duration // that they took

	RejectedPool, RejectedQueue, RejectedAgent, RejectedContext, RejectedDraining uint64 // refusals of Submit by kind
}

// Utilization is the part of the pool's blocks, or of its locals where that is more, that running requests have or may
// claim, 0 to 1.
func (s Stats) Utilization() float64 { return s.fuller(s.Used, s.LocalUsed) }

// PeakUtilization is the highest that Utilization has been.
func (s Stats) PeakUtilization() float64 { return s.fuller(s.PeakUsed, s.LocalPeakUsed) }

func (s Stats) fuller(blocks, locals int) float64 {
	share := 0.0
	if s.Blocks > 0 {
		share = float64(blocks) / float64(s.Blocks)
	}
	if s.Locals > 0 {
		share = max(share, float64(locals)/float64(s.Locals))
	}
	return share
}

// A snapshot is the Stats of a moment. Its lock is held for a copy; an atomic pointer would cost an allocation a step.
type snapshot struct {
	mu    sync.Mutex
	stats Stats
}

func (s *snapshot) load() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *snapshot) store(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = *st
}

// served is what the engine's goroutine counts beside the scheduler.
type served struct {
	hot, warm, cold uint64
	batches         [BatchBuckets]uint64
	sequences       uint64
	restoredBytes   uint64
	restore         time.Duration
}

// step counts a step of n sequences.
func (s *served) step(n int) {
	s.batches[min(bits.Len(uint(n-1)), BatchBuckets-1)]++
	s.sequences += uint64(n)
}

// count counts a request that has ended.
func (s *served) count(r *Result) {
	switch r.Tier {
	case "hot":
		s.hot++
	case "warm":
		s.warm++
	case "cold":
		s.cold++
	}
	s.restoredBytes += uint64(r.RestoredBytes)
	s.restore += r.Restore
}

func (s *served) publish(st *Stats) {
	st.FromHot, st.FromWarm, st.FromCold = s.hot, s.warm, s.cold
	st.Batches, st.BatchSequences = s.batches, s.sequences
	st.RestoredBytes, st.RestoreTime = s.restoredBytes, s.restore
}

// Stats fills in everything but what only the engine knows: Queued, Draining and the refusals.
func (s *sched) Stats() Stats {
	st := s.stats
	p := &s.store.pool
	st.Blocks = len(p.blocks)
	st.Used, st.Cached, st.Free = p.split()
	st.PeakUsed = p.peak
	l := &s.store.local
	st.Locals = len(l.all) - 1
	st.LocalUsed, st.LocalCached, st.LocalFree = l.split()
	st.LocalPeakUsed = l.peak
	if l.window > 0 {
		st.LocalsEach = l.atOnce(s.stepTokens)
	}
	st.BlockTokens = s.store.index.blockTokens
	st.KVBytesPerToken, st.KVLocalBytesPerToken = l.tokenBytes, l.localBytes
	st.Bytes.add(p.purposes(), int64(l.blockTokens)*int64(l.tokenBytes))
	st.Bytes.add(l.purposes(), int64(l.blockTokens)*int64(l.localBytes))
	st.Running = len(s.running)
	st.Agents = len(s.store.agents)
	st.Evictions = s.store.evictions
	return st
}
