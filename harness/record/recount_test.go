package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// A claim of more tokens than the text has by the tokenizer is void, with both counts; one that the
// client saw in pieces is not counted again.
func TestRecount(t *testing.T) {
	words := func(text string) (int, error) { return len(strings.Fields(text)), nil }
	answer := func(tokens, pieces int) Record {
		return Record{Outcome: OK, OutputTokens: tokens, Chunks: make([]time.Duration, pieces),
			Answer: strings.Repeat("word ", 40)}
	}
	for _, tc := range []struct {
		tokens, pieces int
		calls          string
		want           int
	}{
		{40, 4, "", 40}, {41, 4, "", 41}, {53, 4, "", 53}, // 40, an eighth of that and 8 more
		{54, 4, "", -1}, {400, 4, "", -1},
		{400, 400, "", 400}, {400, 399, "", 400}, {400, 398, "", -1},
		{80, 4, "\nput {}", 80}, {120, 4, "\nput {} \nput {}", 120}, {130, 4, "\nput {} \nput {}", -1},
		{-1, 4, "", -1},
	} {
		r := answer(tc.tokens, tc.pieces)
		r.Calls = tc.calls
		records := []Record{r}
		assert.NilError(t, Recount(records, words, 0))
		assert.Equal(t, records[0].OutputTokens, tc.want, "%+v", tc)
		assert.Equal(t, records[0].FalseClaim() != "", tc.want != tc.tokens, "%+v", tc)
		if tc.want != tc.tokens {
			assert.Equal(t, records[0].Claimed, tc.tokens)
			assert.Assert(t, strings.HasPrefix(string(records[0].Notes[0]),
				fmt.Sprintf("%s: %d tokens, of which its text has", NoteRecount, tc.tokens)))
		}
	}

	// Only as many are counted as it takes; those that claim the most a byte come first.
	asked := 0
	counted := func(text string) (int, error) { asked++; return words(text) }
	var records []Record
	for i := range 1000 {
		records = append(records, answer(40, 4))
		if i == 700 {
			records[i].OutputTokens = 150
		}
	}
	assert.NilError(t, Recount(records, counted, 20))
	assert.Equal(t, asked, 21)
	assert.Equal(t, records[700].OutputTokens, -1)
	assert.Equal(t, records[0].OutputTokens, 40)

	// A tokenizer that fails says nothing of a server, unless another claim was false.
	gone := errors.New("gone")
	fails := func(after int) func(string) (int, error) {
		return func(text string) (int, error) {
			if after--; after < 0 {
				return 0, gone
			}
			return words(text)
		}
	}
	for after, want := range map[int]int{0: 150, 1: -1} {
		records := []Record{answer(150, 4), answer(150, 4)}
		assert.ErrorIs(t, Recount(records, fails(after), 20), gone)
		assert.Equal(t, records[1].OutputTokens, want)
	}
}

// Reasoning that is counted and not sent is no false claim: the server may keep it to itself.
func TestHiddenReasoningIsNoFalseClaim(t *testing.T) {
	r := Record{OutputTokens: 408, Chunks: make([]time.Duration, 8)}
	r.Bound(500, 400)
	assert.Equal(t, r.Claimed, 408)
	assert.Equal(t, r.FalseClaim(), Note(""))
}
