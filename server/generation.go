package server

import (
	"bytes"
	"context"
	"iter"
	"time"

	"loadstone/engine"
)

// A generation follows one answer while it is made: tokens come from the engine, text goes to the client.
type generation struct {
	client  context.Context // ends when the client goes away
	cancel  context.CancelFunc
	stream  *engine.Stream
	text    Text
	metrics *metrics
	decoder decoder

	came time.Time // when the request did
	last time.Time // when the last token did

	queue, prefill time.Duration // known with the first token
	result         engine.Result // known after finish
	ids            []int32       // every token so far
	answer         []byte        // all the text so far
	scratch        []byte
}

// chunks yields, for each token, the text that became certain with it, perhaps none. It ends at a stop string, at the
// end of the tokens or when the client is gone; finish then says which.
func (g *generation) chunks() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		tokens := g.stream.Tokens()
		for !g.decoder.stopped {
			select {
			case t, ok := <-tokens:
				if !ok {
					if rest := g.decoder.end(); len(rest) > 0 {
						g.answer = append(g.answer, rest...)
						yield(rest)
					}
					return
				}
				g.observe(t)
				g.scratch = g.text.AppendToken(g.scratch[:0], t.ID)
				text := g.decoder.push(g.scratch)
				g.ids = append(g.ids, t.ID)
				g.answer = append(g.answer, text...)
				if !yield(text) {
					return
				}
			case <-g.client.Done():
				return
			}
		}
	}
}

func (g *generation) observe(t engine.Token) {
	now := time.Now()
	if len(g.ids) == 0 {
		g.queue, g.prefill = t.Queue, t.Prefill
		g.metrics.ttft.observe(now.Sub(g.came))
		g.metrics.queue.observe(t.Queue)
	} else {
		g.metrics.interToken.observe(now.Sub(g.last))
	}
	g.last = now
}

// waiting says whether the engine is ahead of the client, so that a flush can wait for the next token.
func (g *generation) waiting() bool { return len(g.stream.Tokens()) > 0 }

// finish returns the finish_reason of a complete answer, or why it is not complete. After a stop string it waits for
// the engine to let go of the request, at most one step, because the result is not known before.
func (g *generation) finish() (string, error) {
	if g.decoder.stopped {
		g.cancel()
	}
	for open := true; open; {
		select {
		case _, open = <-g.stream.Tokens():
		case <-g.client.Done():
			return "", g.client.Err()
		}
	}
	g.result = g.stream.Result()
	g.queue, g.prefill = g.result.Queue, g.result.Prefill
	switch {
	case g.decoder.stopped:
		return string(engine.FinishStop), nil
	case g.result.Finish == engine.FinishStop || g.result.Finish == engine.FinishLength:
		return string(g.result.Finish), nil
	case g.client.Err() != nil:
		return "", g.client.Err()
	default:
		return "", g.result.Err
	}
}

// exact returns the tokens that the text given stands for, nil when it is no whole number of them, as when a stop
// string began in the middle of one.
func (g *generation) exact() []int32 {
	if !g.decoder.stopped {
		return g.ids
	}
	b := g.scratch[:0]
	for i, id := range g.ids {
		if bytes.Equal(b, g.answer) {
			return g.ids[:i]
		}
		b = g.text.AppendToken(b, id)
	}
	return nil
}

// usage counts the tokens up to a stop string; the engine may have been a little further.
func (g *generation) usage() usage {
	prompt, output := g.result.PromptTokens, len(g.ids)
	return usage{
		PromptTokens:     prompt,
		CompletionTokens: output,
		TotalTokens:      prompt + output,
		Details:          promptDetails{CachedTokens: g.result.CachedTokens, Miss: g.result.Miss},
	}
}

// timing is the value of Server-Timing: the first two parts while the answer goes on, all three afterwards.
func (g *generation) timing(done bool) string {
	v := "queue;dur=" + milliseconds(g.queue) + ", prefill;dur=" + milliseconds(g.prefill)
	if done {
		v += ", decode;dur=" + milliseconds(g.result.Decode)
	}
	return v
}
