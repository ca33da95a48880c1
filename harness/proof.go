package harness

import (
	"fmt"
	"strings"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// What a load says of its caches is held to what the server says of its answers: a label that is
// wrong is an error, and one that nothing shows is said to be unproven.

// A NotColdError says that a server has seen a load before: what is called cold must be.
type NotColdError struct {
	Cached, Prompt int // tokens of a first prompt
}

func (e *NotColdError) Error() string {
	return fmt.Sprintf("the cache was to be cold, but the server had %d of a first prompt's %d "+
		"tokens in it: it has seen this load before; another seed, or a reset, makes it new",
		e.Cached, e.Prompt)
}

// A NotRestoredError says that caches which were to come back from disk did not.
type NotRestoredError struct{ Cached bool } // the server had them in memory all the same

func (e *NotRestoredError) Error() string {
	if e.Cached {
		return "the caches were to be restored from disk, but the server restored none: it had them " +
			"in memory all the same, so the reset did not make it forget"
	}
	return "the caches were to be restored from disk, but the server found nothing of the agents' " +
		"conversations: it does not keep them on disk, or the reset took them away as well"
}

// isFirst reports whether a record shows what of an agent's cache was there when the load began:
// its first request of the load. asides are other agents'.
func isFirst(r *record.Record, turn int) bool {
	return r.Outcome == record.OK && r.Turn == turn && !strings.Contains(r.Agent, ":")
}

// wasCold finds out a server that has seen the load before. Where prompts share something, only the
// first one is new: of those that were due at one moment, whichever the server began with.
func (s *server) wasCold(l *load.Load, records []record.Record) error {
	shared := l.System > 0 || l.SystemPrompts != nil || l.Prompts != nil || l.Trace != nil ||
		l.Sessions != nil
	var known error
	for i := range records {
		first := &records[i]
		if shared && first.Due > records[0].Due {
			break
		}
		if !isFirst(first, 0) || first.PromptTokens < 0 || first.CachedTokens > first.PromptTokens {
			continue // the last is a violation of its own, and shows nothing of the cache
		}
		if !s.hadCached(first) && shared {
			return nil
		} else if s.hadCached(first) {
			known = &NotColdError{first.CachedTokens, first.PromptTokens}
		}
		if known != nil && !shared {
			break
		}
	}
	return known
}

// hadCached reports whether a request found more in the cache than the template that all prompts
// share.
func (s *server) hadCached(r *record.Record) bool {
	own := float64(r.PromptTokens) - s.size.constant // what is not the template's
	return float64(r.CachedTokens) > s.size.constant+max(own/4, 8)
}

// wasRestored finds out a server whose caches were to come back from disk and did not: by its own
// count of what it restored, or else by what its answers say of their caches.
func (s *server) wasRestored(run *record.Run, records []record.Record) error {
	cached, told := 0, 0
	ever := false // a cache that was found at all shows that the server has caches, and tells
	for i := range records {
		ever = ever || records[i].Outcome == record.OK && s.hadCached(&records[i])
		if r := &records[i]; isFirst(r, 1) && r.CachedTokens >= 0 {
			told++
			if s.hadCached(r) {
				cached++
			}
		}
	}
	restores, counted := run.Counters.Count(record.Restores)
	switch {
	case counted && restores == 0 && cached > 0:
		return &NotRestoredError{Cached: true}
	case told > 0 && cached == 0 && restores == 0 && (counted || ever):
		return &NotRestoredError{}
	}
	return nil
}

// Unproven says what nothing shows of the state of the caches with which a run is said to have
// begun, "" where the server's own words show it, or where it was not cold or restored.
func Unproven(run *record.Run) string {
	turn := 0
	if run.Cache == load.Restored {
		turn = 1
	}
	answers, told, cached := 0, false, 0
	for i := range run.Records {
		if r := &run.Records[i]; isFirst(r, turn) {
			answers++
			told = told || r.CachedTokens >= 0
			cached = max(cached, r.CachedTokens)
		}
	}
	restores, counted := run.Counters.Count(record.Restores)
	switch {
	case answers == 0:
		return ""
	case run.Cache == load.Cold && !told:
		return "that the caches were cold is unproven: the server's usage has no cached_tokens"
	case run.Cache == load.Restored && !told && !counted:
		return "that the caches were restored is unproven: the server's usage has no cached_tokens"
	case run.Cache == load.Restored && counted && int(restores) < answers:
		return fmt.Sprintf(
			"only %.0f requests began with tokens from disk, of %d agents",
			restores,
			answers,
		)
	case run.Cache == load.Restored && !counted && cached == 0:
		return "that the caches were restored is unproven: the server says that nothing was cached, ever"
	case run.Cache == load.Restored && !counted:
		return "that the caches came from disk is unproven: the server does not count what it restores"
	}
	return ""
}
