package audit

import (
	"fmt"
	"slices"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// judgeHits holds what the server calls cached to the time that it saves: alone, a prompt that is
// sent again must get its first token sooner than it did when it was new; and after a restart, what
// is called cached must not be as slow as what is computed. Where no time is saved, the claim is
// unproven, no more: a small model may compute a prompt as quickly as another finds it.
func (x *auditor) judgeHits() {
	told := func(r record.Record) bool { return r.CachedTokens >= 0 }
	if !slices.ContainsFunc(x.again, told) {
		x.unknown(Hits, "the server's usage has no cached_tokens")
		return
	}
	var first []record.Record
	for _, turns := range x.alone {
		first = append(first, turns[0])
	}
	isFirst := func(r *record.Record) bool { return r.Turn == 0 && called(r) }
	computed, cached := firstTokens(first, nil), firstTokens(x.again, isFirst)
	if cached.N == 0 || computed.N == 0 {
		x.unknown(Hits, "the server calls no prompt cached that it was sent before")
		return
	}
	const saved = 0.9 // of the time without a cache: a cache that saves less shows nothing
	if float64(cached.P50) > saved*float64(computed.P50) {
		x.unknown(Hits, fmt.Sprintf("what is called cached saves no time: a prompt that is sent "+
			"again gets its first token after %v, a new one after %v", cached.P50, computed.P50))
		return
	}
	last := func(r *record.Record) bool { return r.Turn == x.Turns-1 && called(r) }
	hot, resumed := firstTokens(x.again, last), firstTokens(x.resumed, called)
	// The last prompts are longer than the first ones, so that computing them takes no less.
	if resumed.N > 0 && hot.N > 0 && resumed.P50 > (hot.P50+computed.P50)/2 {
		x.unknown(Hits, fmt.Sprintf("after a restart what is called cached saves no time: the "+
			"conversations go on after %v, before it after %v; a shorter prompt that is new takes %v",
			resumed.P50, hot.P50, computed.P50))
		return
	}
	x.found(Hits, nil, "a prompt that is sent again gets its first token after %v, a new one after %v",
		cached.P50.Round(time.Microsecond), computed.P50.Round(time.Microsecond))
}

// called reports whether the server calls most of a prompt cached.
func called(r *record.Record) bool {
	return 2*r.CachedTokens >= r.PromptTokens && r.PromptTokens > 0
}

// firstTokens is the time to first token of the answers that are wanted; nil wants all.
func firstTokens(records []record.Record, wanted func(*record.Record) bool) stats.Dist {
	var times []time.Duration
	for i := range records {
		r := &records[i]
		if first := r.TTFT(); r.Ended() && first >= 0 && (wanted == nil || wanted(r)) {
			times = append(times, first)
		}
	}
	return stats.Describe(times)
}
