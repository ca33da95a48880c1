package audit

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// judge compares answers with those given alone, and separates differences that rounding explains
// from corrupt answers. Where two answers begin to differ, the server is asked, alone, for the
// log-probabilities of the two likeliest tokens. A server that does not report them is asked the
// same question again by an agent that is new to it: an answer that it gives then, alone, is not
// corrupt either. about is the finding where all answers are the same.
// Where none of them has a word, nothing was compared, and nothing is known.
func (x *auditor) judge(ctx context.Context, name Check, alone, answers []record.Record,
	about func(compared int) string) {
	differ, compared := record.CompareAnswers(alone, answers), record.Comparable(alone, answers)
	if compared == 0 {
		x.unknown(name, "no two answers have anything to compare")
		return
	}
	if len(differ) == 0 && name != Repeatable && record.Alike(alone) {
		x.unknown(name, fmt.Sprintf("all %d conversations get one and the same answer, so that a "+
			"stored one, or another agent's, would not show", len(x.asked)))
		return
	}
	var corrupt []record.Violation
	variants := 0
	for _, v := range differ {
		i := slices.IndexFunc(x.asked, func(p []client.Prompt) bool {
			return p[0].Agent == v.Agent
		})
		lead := x.c.Tie(ctx, x.asked[i][v.Turn], x.alone[i][v.Turn].Answer, v.At)
		switch {
		case lead < client.NearTie, math.IsInf(lead, 1) && x.givenAlone(ctx, i, v.Turn, answers):
			variants++
			continue
		case math.IsInf(lead, 1):
			v.About += "; the server does not say so alone, and gives no log-probabilities " +
				"that would tell rounding from corruption"
		default:
			v.About += fmt.Sprintf("; there its choice was clear, by %.2f nats", lead)
		}
		corrupt = append(corrupt, v)
	}
	if variants > 0 && len(corrupt) == 0 {
		x.findings = append(x.findings, Finding{Name: name, Verdict: Variant, Violations: differ,
			About: fmt.Sprintf("%d answers differ from those given alone where two tokens were "+
				"nearly as likely, or as the server differs alone: they depend on batch or cache, "+
				"and are not corrupt", variants)})
		return
	}
	x.found(name, corrupt, "%s", about(compared))
}

// givenAlone reports whether the server gives one of the answers to a turn also when it is asked
// alone, by an agent that is new. Another conversation is asked in between, since some servers
// remember the last one, from any agent.
func (x *auditor) givenAlone(ctx context.Context, i, turn int, answers []record.Record) bool {
	other := x.asked[(i+1)%len(x.asked)][0]
	p := x.asked[i][turn]
	other.Agent, p.Agent = other.Agent+"-other", p.Agent+"-anew"
	x.send(ctx, other, 0)
	r := x.send(ctx, p, turn)
	return r.Ended() && slices.ContainsFunc(answers, func(a record.Record) bool {
		_, differs := a.Difference(&r)
		return a.Agent == x.asked[i][turn].Agent && a.Turn == turn && a.Ended() && !differs
	})
}
