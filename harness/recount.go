package harness

import (
	"context"
	"fmt"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/table"
)

// These limit the requests to a server's own tokenizer after a run.
const (
	recountFor    = 10 * time.Second
	recountEnough = 20 // claims in a row that hold
)

// Recount compares the token counts that a server claims for its answers with a tokenizer (see
// [record.Recount]): with tokens, or, if that is nil, with the server's own tokenizer, if it has
// one. Call it when nothing is measured.
func Recount(ctx context.Context, c *client.Client, tokens func(text string) (int, error),
	records []record.Record) error {
	if tokens != nil {
		return record.Recount(records, tokens, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, recountFor)
	defer cancel()
	// An error means that the server has no tokenizer or that the time is over.
	record.Recount(records, func(text string) (int, error) {
		return c.CountTokens(ctx, text)
	}, recountEnough)
	return nil
}

// recount is Recount for a run. In a long run the server's own tokenizer counts only the answers
// that are kept in memory; if one of their claims is false, that is a violation of the run.
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
