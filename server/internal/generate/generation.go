package generate

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"time"

	"loadstone/engine"
)

// KeepAliveInterval is how long the client of a stream may hear nothing. Proxies and clients give
// up after 30 s or more.
const KeepAliveInterval = 15 * time.Second

// A Generation follows one answer while it is made. Its caller ranges over Pieces, takes the Rest
// and then calls Finish, in this order and from one goroutine.
type Generation struct {
	Params       *Params
	Cancel       context.CancelFunc // ends the request in the engine
	PromptTokens int

	generator *Generator
	prompt    []int32
	client    context.Context // ends when the client goes away
	stream    *engine.Stream
	begun     beginning
	reasoner  reasoner
	splitter  splitter

	arrived   time.Time     // when the request arrived
	lastToken time.Time     // when the last token arrived
	ttft      time.Duration // from arrived to the first token; 0 before it

	start    engine.Start // known with the first token
	ids      []int32      // every token so far
	proper   int          // index of the first token behind the reasoning; or unknown, torn
	thought  int          // tokens of the reasoning
	assembly assembly     // of the text and the calls so far
	scratch  []byte

	decode time.Duration // from the first token to the end, known after Finish
	drafts Drafts        // known after Finish
}

// Values of Generation.proper that are no index.
const (
	unknown = -1 // there is no text yet
	torn    = -2 // the text begins within a token
)

// Pieces yields for each token the pieces that became certain with it, perhaps none. It ends with
// the last token, at a stop string, or when the client is gone; Finish then says which. The pieces
// are valid until the next ones. keepAlive, where it is not nil, is called each KeepAliveInterval.
func (g *Generation) Pieces(keepAlive func()) iter.Seq[[]Piece] {
	return func(yield func([]Piece) bool) {
		tokens := g.stream.Tokens()
		var tick <-chan time.Time
		if keepAlive != nil {
			ticker := time.NewTicker(KeepAliveInterval)
			defer ticker.Stop()
			tick = ticker.C
		}
		for !g.splitter.text.stopped {
			select {
			case t, ok := <-tokens:
				if !ok {
					return
				}
				g.observe(t)
				if !yield(g.add(t)) {
					return
				}
			case <-tick:
				keepAlive()
			case <-g.client.Done():
				return
			}
		}
	}
}

func (g *Generation) observe(t engine.Token) {
	now := time.Now()
	since := now.Sub(g.lastToken)
	if t.Start != nil {
		g.start = *t.Start
		g.ttft = now.Sub(g.arrived)
		since = g.ttft
	}
	g.lastToken = now
	g.generator.onToken(t, since)
}

// add adds a token to the answer and returns the pieces that became certain with it.
func (g *Generation) add(t engine.Token) []Piece {
	g.ids = append(g.ids, t.ID)
	if g.Params.TopLogprobs >= 0 {
		g.assembly.probs = append(g.assembly.probs, g.tokenProbs(t.Logprobs))
	}
	g.scratch = g.generator.appendToken(g.scratch[:0], t.ID)
	g.splitter.text.mute = len(g.ids) <= g.Params.MinTokens
	rest := g.reasoner.push(g.scratch, &g.assembly)
	if g.proper == unknown {
		g.begin(len(rest), len(g.scratch))
	}
	g.splitter.push(rest, &g.assembly)
	return g.assembly.take()
}

// begin notes that the answer proper begins with the last rest bytes of the last token, which has
// size bytes.
func (g *Generation) begin(rest, size int) {
	switch {
	case !g.reasoner.found && g.reasoner.state == answering:
		g.proper = 0
		return
	case rest == 0:
		if g.reasoner.found {
			g.thought = len(g.ids)
		}
		return
	case rest == size:
		g.proper = len(g.ids) - 1
	default:
		g.proper, g.thought = torn, len(g.ids)
	}
	g.assembly.skipProbs(1)
}

// Rest returns the pieces that were held back until no more tokens came.
func (g *Generation) Rest() []Piece {
	g.splitter.push(g.reasoner.finish(&g.assembly), &g.assembly)
	g.splitter.end(&g.assembly)
	return g.assembly.take()
}

// Behind reports whether the engine is ahead of the caller, who can then wait with a flush for the
// next token.
func (g *Generation) Behind() bool { return len(g.stream.Tokens()) > 0 }

// tokenProbs puts text to the engine's log-probabilities of a token, of which the first is its own.
func (g *Generation) tokenProbs(logprobs []engine.Logprob) TokenProbs {
	var all []TokenProbs
	for _, p := range logprobs {
		all = append(all, TokenProbs{
			Text:    string(g.generator.text.AppendToken(nil, p.ID)),
			Logprob: max(p.Logprob, -9999), // JSON has no -Inf
		})
	}
	if len(all) == 0 {
		return TokenProbs{}
	}
	all[0].Top = all[1:min(len(all), 1+g.Params.TopLogprobs)]
	return all[0]
}

// Finish returns the complete answer, or the reason why it is not complete. After a stop string it
// waits for the engine to let go of the request, at most one step, because the result is not known
// before. It remembers the answer's tokens for the agent's next request.
func (g *Generation) Finish() (Answer, error) {
	stopped := g.splitter.text.stopped
	if stopped {
		g.Cancel()
	}
	for open := true; open; {
		select {
		case _, open = <-g.stream.Tokens():
		case <-g.client.Done():
			return Answer{}, g.client.Err()
		}
	}
	result := g.stream.Result()
	g.start, g.decode = result.Start, result.Decode
	// The engine may have been further than a stop string, and each step draws a token that no
	// draft has.
	g.drafts = Drafts{result.Drafted, min(result.Accepted, max(len(g.ids)-1, 0))}
	a := Answer{
		Reasoning: g.assembly.reasoning,
		Text:      g.assembly.text,
		Calls:     g.assembly.calls,
		Probs:     g.probs(),
		Reason:    string(result.Finish),
		Usage:     g.Usage(),
	}
	switch {
	case stopped:
		a.Reason, a.Stop = ReasonStop, g.splitter.text.hit
	case result.Finish == engine.FinishStop && len(a.Calls) > 0:
		a.Reason = ReasonToolCalls
	case result.Finish == engine.FinishStop || result.Finish == engine.FinishLength:
	case g.client.Err() != nil:
		return Answer{}, g.client.Err()
	default:
		return Answer{}, result.Err
	}
	g.remember(a)
	return a, nil
}

// Saved waits, after Finish, until the turn of a durable request is on disk. It fails with
// context.DeadlineExceeded when that takes longer than wait, with context.Canceled when the client
// is gone, or says why the turn cannot be saved.
func (g *Generation) Saved(wait time.Duration) error {
	ctx, cancel := context.WithTimeout(g.client, wait)
	defer cancel()
	return g.stream.Saved(ctx)
}

// remember remembers the answer's tokens for when the agent sends the answer back.
func (g *Generation) remember(a Answer) {
	tokens := g.exactTokens()
	keep := func(calls []ToolCall) {
		text := answerText(string(a.Text), calls, true)
		g.generator.answers.keep(g.Params.asker(), text, tokens)
	}
	keep(a.Calls)
	if n := len(a.Calls); n > 0 && !json.Valid(a.Calls[n-1].Arguments) {
		// A client of an API that has arguments as objects sends a call that was cut off back
		// without arguments.
		calls := slices.Clone(a.Calls)
		calls[n-1].Arguments = nil
		keep(calls)
	}
}

// exactTokens returns the tokens of the answer. They are not known where its text is not a whole
// number of tokens, as when a stop string began in the middle of one.
func (g *Generation) exactTokens() answerTokens {
	ids := g.ids
	if g.splitter.text.stopped {
		if ids = g.untilStop(); ids == nil {
			return answerTokens{}
		}
	}
	var a answerTokens
	if g.begun.exact {
		a.whole = slices.Concat(g.begun.opener, ids)
	}
	switch {
	case !g.reasoner.begun: // there is nothing to leave out
		a.text = a.whole
	case g.proper >= 0:
		a.text = ids[g.proper:]
	}
	return a
}

// untilStop returns the tokens before the stop string, nil where that begins within one.
func (g *Generation) untilStop() []int32 {
	b, from := g.scratch[:0], max(g.proper, 0)
	for i, id := range g.ids[from:] {
		if bytes.Equal(b, g.assembly.text) {
			return g.ids[:from+i]
		}
		b = g.generator.appendToken(b, id)
	}
	return nil
}

// probs returns the log-probabilities of the tokens in the answer's text.
func (g *Generation) probs() []TokenProbs {
	a := &g.assembly
	if g.splitter.text.stopped || g.splitter.cut || len(a.calls) > 0 || g.reasoner.found {
		return a.probs[a.probsFrom:max(a.probsGiven, a.probsFrom)]
	}
	return a.probs
}

// Usage counts the tokens so far, up to a stop string: the engine may have been a little further.
func (g *Generation) Usage() Usage {
	cacheable := g.PromptTokens
	if g.Params.Agent == "" {
		cacheable -= cacheable % g.generator.blockTokens
	}
	return Usage{
		PromptTokens:    g.PromptTokens,
		OutputTokens:    len(g.ids),
		ReasoningTokens: g.thought,
		Drafts:          g.drafts,
		Start:           g.start,
		CacheableTokens: max(cacheable, g.start.CachedTokens),
	}
}

// Decode returns the time from the first token to the end; 0 before Finish.
func (g *Generation) Decode() time.Duration { return g.decode }

// TTFT returns the time from the request's arrival to the first token; 0 while there is none.
func (g *Generation) TTFT() time.Duration { return g.ttft }

// MeanITL returns the mean time between two tokens, 0 where there are no two.
func (g *Generation) MeanITL() time.Duration {
	n := len(g.ids)
	if n < 2 {
		return 0
	}
	return (g.lastToken.Sub(g.arrived) - g.ttft) / time.Duration(n-1)
}
