package record

import (
	"math"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/stats"
)

// An answer of nothing is an error, in no distribution's favour and held to every objective; what
// its usage says is in no rate, and in the account of what the server counted.
func TestEmptyIsNoAnswer(t *testing.T) {
	good := Record{Outcome: OK, FirstContent: 30 * ms, Chunks: []time.Duration{30 * ms, 40 * ms}, End: 50 * ms,
		PromptTokens: 10, CachedTokens: -1, OutputTokens: 2, Finish: "length", Server: Untimed}
	empty := Record{Outcome: Empty, FirstContent: -1, End: 5 * ms, PromptTokens: 10, CachedTokens: 10,
		OutputTokens: 6, Finish: "length", Server: Untimed}
	run := Run{Records: []Record{good, empty, empty}, Elapsed: time.Second, PeakPool: -1,
		Goodput: load.Objective{E2E: time.Minute}}
	s := run.Summary()
	assert.Equal(t, s.Errors(), 2)
	assert.Equal(t, s.ErrorRatio, 2.0/3)
	assert.Equal(t, s.GoodRatio, 1.0/3)
	assert.Equal(t, s.TTFT.P90, stats.Never)
	assert.Equal(t, s.E2E.P90, stats.Never)
	assert.Equal(t, s.TokensPerSec, 2.0)
	assert.Equal(t, s.HitRatio, -1.0)
	a := ClientAccount(run.Records, nil)
	assert.Equal(t, a[AnsweredRequests], 3.0)
	assert.Equal(t, a[PromptTokens], 30.0)
	assert.Equal(t, a[OutputTokens], 14.0)

	found := Check([]Record{empty}, -1)
	assert.Equal(t, len(found), 1)
	assert.Equal(t, found[0].About, "an answer of 6 tokens came without any")
	empty.OutputTokens, empty.Claimed = -1, 400
	assert.Equal(t, Check([]Record{empty}, -1)[0].About, "an answer of 400 tokens came without any")
	empty.OutputTokens, empty.Claimed = 1, 0 // the end of the turn, which many servers count
	assert.Equal(t, len(Check([]Record{empty}, -1)), 0)
}

// An answer that a stop string has ended before any text is one, timed by its end, if a stop string
// can have as many tokens as the usage says. Any other answer without a text stays empty.
func TestStoppedBeforeAnyText(t *testing.T) {
	empty := Record{Outcome: Empty, Due: 1 * ms, Sent: 1 * ms, FirstByte: 4 * ms, FirstContent: -1,
		End: 5 * ms, PromptTokens: 10, CachedTokens: -1, OutputTokens: 2, Finish: "stop", Server: Untimed}
	for name, tc := range map[string]struct {
		tokens int
		finish string
		stops  []string
		want   Outcome
	}{
		"by a token":                {1, "stop", []string{"."}, OK},
		"by one of several strings": {2, "stop", []string{".", "\n\n"}, OK},
		"no stop string":            {1, "stop", nil, Empty},
		"more tokens than bytes":    {3, "stop", []string{".", "\n\n"}, Empty},
		"no token":                  {0, "stop", []string{"."}, Empty},
		"no usage":                  {-1, "stop", []string{"."}, Empty},
		"at its length":             {1, "length", []string{"."}, Empty},
	} {
		r := empty
		r.OutputTokens, r.Finish = tc.tokens, tc.finish
		assert.Equal(t, r.Stopped(tc.stops), tc.want == OK, name)
		assert.Equal(t, r.Outcome, tc.want, name)
		if tc.want == Empty {
			assert.Equal(t, r.FirstContent, empty.FirstContent, name)
			continue
		}
		assert.DeepEqual(t, r.Notes, []Note{NoteStopped})
		assert.Equal(t, len(Check([]Record{r}, -1)), 0, name)
		s := Summarize("x", []Record{r}, time.Second, -1)
		assert.Equal(t, s.Errors(), 0, name)
		assert.Equal(t, s.TTFT.P50, 4*ms)
		assert.Equal(t, s.E2E.P50, 4*ms)
	}
	failed := empty
	failed.Outcome, failed.OutputTokens = Failed, 1
	assert.Assert(t, !failed.Stopped([]string{"."}))
}

// An absent time is within no bound, and one of an answered request worsens its distribution.
func TestAbsentTimeIsNotGood(t *testing.T) {
	whole := Record{Outcome: OK, FirstContent: 30 * ms, End: 30 * ms, OutputTokens: 20, Server: Untimed} // in one piece
	assert.Equal(t, whole.Judge(load.Objective{TTFT: time.Second}), Met)
	assert.Equal(t, whole.Judge(load.Objective{TPOT: time.Second}), Missed)
	whole.FirstContent = -1
	assert.Equal(t, whole.Judge(load.Objective{TTFT: time.Second}), Missed)
	assert.Equal(t, whole.Judge(load.Objective{E2E: time.Second}), Met)
	assert.Equal(t, Summarize("x", []Record{whole}, time.Second, -1).TTFT.P50, stats.Never)
}

// Gaps are what a reader waits, whatever the pieces hold; time per token is exact, and its mean is
// of all tokens. (16 tokens at once and 8 single ones; two a piece; a second answer that is
// shorter.)
func TestPaceIsExact(t *testing.T) {
	pieces := func(n, tokens int) Record {
		r := Record{Outcome: OK, FirstContent: 0, PromptTokens: 12, OutputTokens: tokens, Server: Untimed}
		for i := range n {
			r.Chunks = append(r.Chunks, time.Duration(i)*60*ms)
		}
		r.End = r.Chunks[n-1]
		return r
	}
	big, pairs := pieces(9, 24), pieces(8, 16)
	s := Summarize("x", []Record{big}, time.Second, -1)
	assert.Equal(t, s.ITL.P50, 60*ms)
	assert.Equal(t, s.TPOT.P50, 480*ms/23)
	s = Summarize("x", []Record{big, pairs}, time.Second, -1)
	assert.Equal(t, s.TPOT.Mean, 900*ms/38)
	assert.Equal(t, s.TokensPerPiece, 40.0/17)
	assert.Equal(t, s.StallRatio, 0.0)
	hidden := pieces(8, -1) // its claim of 408 was void
	s = Summarize("x", []Record{hidden}, time.Second, -1)
	assert.Equal(t, s.ITL.P50, 60*ms)
	assert.Equal(t, s.TPOT.P50, 60*ms)
	assert.Equal(t, s.TokensPerSec, 8.0)
	assert.Equal(t, s.TokensPerPiece, -1.0)
}

// The part of the time that an answer stands still is that of its long gaps.
func TestStallRatio(t *testing.T) {
	r := Record{Outcome: OK, Chunks: []time.Duration{0, 100 * ms, 300 * ms, 900 * ms}, End: time.Second, OutputTokens: 4, Server: Untimed}
	s := Summarize("x", []Record{r}, time.Second, -1)
	assert.Assert(t, math.Abs(s.StallRatio-600.0/900) < 1e-9, "%v", s.StallRatio)
	assert.Equal(t, s.ITL.Max, 600*ms)
	r.Chunks = r.Chunks[:1]
	assert.Equal(t, Summarize("x", []Record{r}, time.Second, -1).StallRatio, -1.0)
}

// A count is believed as far as it can be true.
func TestBound(t *testing.T) {
	for _, tc := range []struct {
		tokens, maxTokens, pieces, bytes int
		want                             int
		note                             Note
	}{
		{8, 30, 8, 16, 8, ""}, {9, 30, 8, 16, 9, ""}, {16, 30, 8, 32, 16, ""}, {24, 24, 9, 48, 24, ""},
		{-1, 30, 8, 16, -1, ""}, {0, 30, 0, 0, 0, ""},
		{60, 30, 4, 12, -1, NoteOverMax}, {31, 30, 4, 100, -1, NoteOverMax},
		{408, 0, 8, 16, -1, NoteUnseen}, {25, 0, 8, 16, -1, NoteUnseen}, {24, 0, 8, 16, 24, ""},
		{41, 30, 41, 82, 41, NoteTooLong}, // the server does not hold the bound, and the client saw it
	} {
		r := Record{OutputTokens: tc.tokens, MaxTokens: tc.maxTokens, Chunks: make([]time.Duration, tc.pieces)}
		r.Bound(tc.bytes, 0)
		assert.Equal(t, r.OutputTokens, tc.want, "%+v", tc)
		if tc.want != tc.tokens {
			assert.Equal(t, r.Claimed, tc.tokens)
		}
		if tc.note == "" {
			assert.Equal(t, len(r.Notes), 0, "%v", r.Notes)
		} else {
			assert.Equal(t, r.Notes[0].Kind(), tc.note)
		}
	}
	r := Record{OutputTokens: 408, Chunks: make([]time.Duration, 8)}
	r.Bound(500, 400)
	assert.Equal(t, r.OutputTokens, -1)
	assert.Equal(t, r.Notes[0], NoteHidden+": 400 of 408 tokens")
	r = Record{OutputTokens: 408, Chunks: make([]time.Duration, 8), Thought: "hm"} // it was, in long pieces
	r.Bound(2000, 400)
	assert.Equal(t, r.OutputTokens, 408)
}

// More cached tokens than the prompt has are a violation, and no part of the hit ratio.
func TestImpossibleHits(t *testing.T) {
	r := Record{Outcome: OK, FirstContent: 1, Chunks: []time.Duration{1}, End: 2, PromptTokens: 100, CachedTokens: 50, OutputTokens: 1, Server: Untimed}
	lie := r
	lie.CachedTokens = 9000
	assert.Equal(t, Summarize("x", []Record{r, lie}, time.Second, -1).HitRatio, 0.5)
	assert.Equal(t, Summarize("x", []Record{lie}, time.Second, -1).HitRatio, -1.0)
}

// All that the model said is compared, and what makes one text the other is named.
func TestDifference(t *testing.T) {
	alone := Record{Answer: "one two three", Thought: "hm", Calls: "\nput {}"}
	for _, tc := range []struct {
		under Record
		want  string
		at    int
	}{
		{alone, "", 0},
		{Record{Answer: "one two two three", Thought: "hm", Calls: "\nput {}"},
			"the answer parts from the one given alone at byte 9 of 13: a piece of 4 bytes came twice", 9},
		{Record{Answer: "one three", Thought: "hm", Calls: "\nput {}"},
			"the answer parts from the one given alone at byte 5 of 13: a piece of 4 bytes is missing", 5},
		{Record{Answer: "one", Thought: "hm", Calls: "\nput {}"},
			"the answer parts from the one given alone at byte 3 of 13: a piece of 10 bytes is missing", 3},
		{Record{Answer: "one six three", Thought: "hm", Calls: "\nput {}"},
			"the answer parts from the one given alone at byte 4 of 13", 4},
		{Record{Answer: "one two three", Thought: "ho", Calls: "\nput {}"},
			"the reasoning parts from the one given alone at byte 1 of 2", -1},
		{Record{Answer: "one two three", Thought: "hm", Calls: "\nput {x}"},
			"the tool calls part from those given alone at byte 6 of 7", -1},
	} {
		d, ok := tc.under.Difference(&alone)
		assert.Equal(t, ok, tc.want != "")
		if ok {
			assert.Equal(t, d.String(), tc.want)
			assert.Equal(t, d.At(), tc.at)
		}
	}
	nothing := Record{Outcome: OK}
	assert.Equal(t, Comparable([]Record{nothing}, []Record{nothing}), 0)
	assert.Equal(t, len(CompareAnswers([]Record{nothing}, []Record{nothing})), 0)
}
