package audit

import (
	"context"
	"fmt"
	"slices"

	"loadstone/harness/record"
)

// restart restarts the server and sends every conversation's first and last turn again.
//
// A server that has kept the tokens of its answers by agent goes on from those. One that has lost
// them goes on from the answers' text, which it encodes anew, often to other tokens. It does the
// same when an agent that is new sends that conversation, and by this such an answer is told from a
// wrong one.
func (x *auditor) restart(ctx context.Context) error {
	if x.Restart == nil {
		x.unknown(Restart, "the server was not started by this program, and is left running")
		return nil
	}
	x.begin(StepRestart, "the server is restarted, and the conversations go on")
	if err := x.Restart(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	var after, alone []record.Record
	restored, encodedAnew := 0, 0
	for i, prompts := range x.asked {
		last := len(prompts) - 1
		// The last turn comes first: after it the server knows the first one's answer again.
		for _, turn := range slices.Compact([]int{last, 0}) {
			r := x.send(ctx, prompts[turn], turn)
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.Outcome != record.OK && !(r.Ended() && !x.alone[i][turn].Said()) {
				v := violation(&r, record.CheckRestart, "after a restart a request")
				x.found(Restart, []record.Violation{v}, "")
				return nil
			}
			if turn == last {
				x.resumed = append(x.resumed, r)
			}
			if turn == last && r.CachedTokens > 0 {
				restored++
			}
			_, asAlone := r.Difference(&x.alone[i][turn])
			_, asEncoded := r.Difference(&x.encoded[i])
			if turn > 0 && asAlone && !asEncoded {
				encodedAnew++
				continue
			}
			after, alone = append(after, r), append(alone, x.alone[i][turn])
		}
	}
	next := len(x.findings)
	x.judge(ctx, Restart, alone, after, func(int) string {
		return fmt.Sprintf("after a restart the conversations go on as if there had been none, "+
			"%d of %d from memories that were kept", restored, len(x.asked))
	})
	if f := &x.findings[next]; encodedAnew > 0 && f.Verdict == Passed {
		f.Verdict = Variant
		f.About = fmt.Sprintf("after a restart %d of %d conversations go on from their answers' "+
			"text, encoded anew, not from the tokens that were generated",
			encodedAnew, len(x.asked))
	}
	return nil
}
