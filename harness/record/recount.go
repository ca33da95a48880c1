package record

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Recount voids, as Bound does, the output counts that claim more tokens than the text of the answer
// has by a tokenizer, which count asks. What the client saw itself, no more tokens than pieces and
// the end of a turn, is not counted again.
//
// The answers that claim the most tokens a byte come first. When enough of them in a row have had
// what they claimed, the others are taken to have it as well; where enough is 0, all are counted.
// When count fails after a claim was voided, what is left counts as unknown, too; it returns the
// error of count.
//
// A model may write a text in more tokens than a tokenizer does, and marks around reasoning and tool
// calls have no text. So a claim may be an eighth and a few tokens higher. (Of 30 greedy answers of
// SmolLM2 with 64 tokens 29 had as many by the tokenizer, and one had a token less.)
func Recount(records []Record, count func(text string) (int, error), enough int) error {
	var claims []*Record
	for i := range records {
		if r := &records[i]; r.Outcome == OK && r.OutputTokens > len(r.Chunks)+1 {
			claims = append(claims, r)
		}
	}
	slices.SortStableFunc(claims, func(a, b *Record) int { return cmp.Compare(b.density(), a.density()) })
	held, voided := 0, 0
	for i, r := range claims {
		n, err := count(r.text())
		if err != nil {
			for _, r := range claims[i:] {
				if voided > 0 {
					r.void(NoteRecount, fmt.Sprintf("%d tokens, which others had not", r.OutputTokens))
				}
			}
			return err
		}
		if r.OutputTokens <= n+n/8+unseenTokens+callTokens*strings.Count(r.Calls, "\n") {
			if held++; held == enough {
				return nil
			}
			continue
		}
		held, voided = 0, voided+1
		r.void(NoteRecount, fmt.Sprintf("%d tokens, of which its text has %d", r.OutputTokens, n))
	}
	return nil
}

// callTokens are how many tokens the marks around a tool call may have, and the JSON that its name
// and arguments stand in.
const callTokens = 32

// text is all that the model said.
func (r *Record) text() string {
	return strings.Join([]string{r.Thought, r.Answer, r.Calls}, "")
}

// density is the tokens that the usage claims for a byte that came.
func (r *Record) density() float64 {
	return float64(r.OutputTokens) / float64(1+len(r.text()))
}
