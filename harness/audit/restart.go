package audit

import (
	"context"
	"fmt"
	"loadstone/harness/record"
	"slices"
)

// restart restarts the server and asks every conversation's first and last turn again.
//
// A server that knows the tokens of its answers by agent goes on from those. One that has lost them goes on from their
// text, which it encodes anew, often to other tokens: as it does when somebody new sends the same conversation, which is how
// such an answer is told from a wrong one.
func (x *auditor) restart(ctx context.Context) error {
	if x.Restart == nil {
		x.unknown("restart", "the server was not started by this program, and is left running")
		return nil
	}
	x.Step("the server is restarted, and the conversations go on")
	if err := x.Restart(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	var after, alone []record.Record
	warm, anew := 0, 0
	for i, prompts := range x.asked {
		last := len(prompts) - 1
		// The last one first: the first one's answer would be known again by then.
		for _, turn := range slices.Compact([]int{last, 0}) {
			r := x.ask(ctx, prompts[turn], turn)
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.Outcome != record.OK {
				x.found("restart", []record.Violation{endsAs(&r, "restart", "after a restart a request")}, "")
				return nil
			}
			if turn == last && r.CachedTokens > 0 {
				warm++
			}
			if turn > 0 && r.Answer != x.alone[i][turn].Answer && r.Answer == x.encoded[i].Answer {
				anew++
				continue
			}
			after, alone = append(after, r), append(alone, x.alone[i][turn])
		}
	}
	before := len(x.findings)
	x.judge(ctx, "restart", alone, after, "after a restart the conversations go on as if there had been none, %d of %d from memories that were kept", warm, len(x.asked))
	if f := &x.findings[before]; anew > 0 && f.Verdict == Passed {
		f.Verdict = Variant
		f.About = fmt.Sprintf("after a restart %d of %d conversations go on from their answers' text, encoded anew, not from the tokens that were generated", anew, len(x.asked))
	}
	return nil
}
