package report

import (
	"time"

	"loadstone/harness/record"
)

// A span is a stretch of a measurement's clock.
type span struct{ from, to time.Duration }

// spans are, for each group of records that a key tells apart, the span from when the first of them
// was due to the last of their ends.
func spans[K comparable](records []record.Record, key func(*record.Record) K,
	end func(*record.Record) time.Duration) map[K]span {
	all := map[K]span{}
	for i := range records {
		r := &records[i]
		k := key(r)
		s, ok := all[k]
		if !ok {
			s = span{r.Due, end(r)}
		}
		all[k] = span{min(s.from, r.Due), max(s.to, end(r))}
	}
	return all
}

func end(r *record.Record) time.Duration { return r.End }

// total is the length of all spans together.
func total[K comparable](all map[K]span) time.Duration {
	var sum time.Duration
	for _, s := range all {
		sum += s.to - s.from
	}
	return sum
}
