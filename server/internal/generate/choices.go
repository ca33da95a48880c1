package generate

import "context"

// MaxChoices is the largest number of answers to one request.
const MaxChoices = 8

// Another starts a further answer to the same request, number i, which is drawn by itself. It
// leaves no memory: the agent goes on with the first answer. It costs no second prefill where the
// first answer has begun, because the blocks of the prompt are shared. The caller must call its
// Cancel.
func (g *Generation) Another(ctx context.Context, i int) (*Generation, error) {
	p := *g.Params
	p.Agent, p.Durable = "", false
	p.Sampling.Seed += uint64(i)
	return g.generator.start(ctx, &p, g.prompt, g.begun, g.arrived)
}

// SumUsage counts the prompt once and the tokens of all answers.
func SumUsage(all []Answer) Usage {
	u := all[0].Usage
	for _, a := range all[1:] {
		u.OutputTokens += a.Usage.OutputTokens
		u.ReasoningTokens += a.Usage.ReasoningTokens
		u.Drafts.Drafted += a.Usage.Drafts.Drafted
		u.Drafts.Accepted += a.Usage.Drafts.Accepted
	}
	return u
}
