package harness

import (
	"context"
	"fmt"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// These bound how much a server's own tokenizer is asked after a run.
const (
	recountFor    = 10 * time.Second
	recountEnough = 20 // claims in a row that hold
)

// Recount holds the token counts that a server claims of its answers to a tokenizer (see
// [record.Recount]): to tokens, or, where that is nil, to the server's own, where it answers for it.
// It is for a time in which nothing is measured.
func Recount(ctx context.Context, c *client.Client, tokens func(text string) (int, error),
	records []record.Record) error {
	if tokens != nil {
		return record.Recount(records, tokens, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, recountFor)
	defer cancel()
	// An error is that the server does not say, or no more.
	record.Recount(records, func(text string) (int, error) {
		return c.CountTokens(ctx, text)
	}, recountEnough)
	return nil
}

// recount is Recount for a run. Of a long one the server's own tokenizer has only the answers that
// are kept in memory; where those claim what is not so, the run is wrong.
func (m *measurement) recount(ctx context.Context, run *record.Run, records []record.Record) error {
	err := Recount(ctx, m.client, m.plan.Tokens, records)
	if m.plan.Tokens != nil || run.Rest == nil {
		return err
	}
	for i := range records {
		if note := records[i].FalseClaim(); note.Kind() == record.NoteRecount {
			run.Violations = append(run.Violations, record.Violation{Check: record.CheckTokens,
				About: fmt.Sprintf("%s; %s were not counted again", note,
					table.Plural(run.Rest.Requests, "later answer"))})
			break
		}
	}
	return err
}
