package report

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/harness/record"
)

// timed is an answered request that took the client so long and, by its own headers, the server.
func timed(client, server time.Duration) record.Record {
	return record.Record{Outcome: record.OK, End: client,
		Server: record.ServerTiming{Total: server}}
}

func TestCompareClocks(t *testing.T) {
	const ms = time.Millisecond
	two := []record.Record{timed(12*ms, 10*ms), timed(22*ms, 20*ms)}
	for _, c := range []struct {
		name    string
		records []record.Record
		log     []time.Duration
		why     string // "": they agree
		others  int
	}{
		{"agree", two, []time.Duration{20 * ms, 10 * ms}, "", 0},
		{"warm-up in the log", two, []time.Duration{300 * ms, 20 * ms, ms, 10 * ms, 11 * ms}, "",
			3},
		{"a line is missing", two, []time.Duration{10 * ms, 5 * ms},
			"1 of 2 answered requests without a line", 1},
		{"the log says longer than the client", two, []time.Duration{10 * ms, 25 * ms},
			"1 of 2 answered requests without a line", 1},
		{"one line cannot serve two", []record.Record{timed(12*ms, 10*ms), timed(12*ms, 10*ms)},
			[]time.Duration{11 * ms, 30 * ms}, "1 of 2", 1},
		{"the clock runs backwards", []record.Record{timed(9*ms, 10*ms)}, []time.Duration{10 * ms},
			"1 request took longer for the server", 1},
		{"silent server", []record.Record{timed(9*ms, -1)}, []time.Duration{9 * ms},
			"1 answer without the server's own time", 1},
		{"nothing answered", []record.Record{{Outcome: record.Failed}}, []time.Duration{9 * ms},
			"no record is of an answered request", 1},
	} {
		got := CompareClocks(c.records, c.log)
		if got.Agree != (c.why == "") || !strings.Contains(got.Why, c.why) ||
			got.Others != c.others {
			t.Errorf("%s: agree %v, %q, %d others; want %q, %d", c.name, got.Agree, got.Why,
				got.Others, c.why, c.others)
		}
	}
}

// match finds as many pairs as trying all of them does.
func TestMatchIsOptimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var spans []span
		var log []time.Duration
		for range rng.IntN(6) {
			from := time.Duration(rng.IntN(12))
			spans = append(spans, span{from, from + time.Duration(rng.IntN(6))})
		}
		for range rng.IntN(6) {
			log = append(log, time.Duration(rng.IntN(16)))
		}
		lines, _ := match(spans, log)
		if want := bestMatch(spans, log); len(lines) != want {
			t.Fatalf("match(%v, %v) found %d pairs, there are %d", spans, log, len(lines), want)
		}
	}
}

func bestMatch(spans []span, log []time.Duration) int {
	if len(spans) == 0 {
		return 0
	}
	best := bestMatch(spans[1:], log)
	for i, line := range log {
		if spans[0].from <= line && line <= spans[0].to {
			best = max(best, 1+bestMatch(spans[1:], slices.Delete(slices.Clone(log), i, i+1)))
		}
	}
	return best
}
