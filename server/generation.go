package server

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"strconv"
	"time"

	"loadstone/engine"
)

// A generation follows one answer while it is made: tokens come from the engine, text and tool calls go to the client.
type generation struct {
	client  context.Context // ends when the client goes away
	cancel  context.CancelFunc
	ask     *ask
	stream  *engine.Stream
	vocab   Text
	metrics *metrics
	split   splitter
	likely  int  // log-probabilities wanted beside each token's own, -1: none at all
	out     sink // nil: the answer is wanted whole
	prompt  int  // tokens of it

	came time.Time // when the request did
	last time.Time // when the last token did
	ttft time.Duration

	start   engine.Start  // known with the first token
	result  engine.Result // known after finish
	ids     []int32       // every token so far
	answer  []byte        // all the text so far
	calls   []toolCall    // all the tool calls so far; the last may be half
	probs   []tokenProbs  // of the answer's tokens, where they are wanted
	told    int           // how many of them have had their text given
	scratch []byte
}

// A sink takes an answer piece by piece, whole characters in each.
type sink interface {
	idle() // nothing came for a while
	text(b []byte, probs []tokenProbs)
	call(index int, id, name string)
	arguments(index int, b []byte) // of the call that began last
}

// A toolCall is a function that the model wants called.
type toolCall struct {
	id, name  string
	arguments []byte // a JSON object, complete unless the answer was cut off
}

// tokenProbs are the log-probabilities of a token and of the likeliest ones in its place.
type tokenProbs struct {
	text    string
	logprob float64
	likely  []tokenProbs
}

// tokens yields the answer's tokens. It ends with them, at a stop string, or when the client is gone; finish then says which.
func (g *generation) tokens() iter.Seq[engine.Token] {
	return func(yield func(engine.Token) bool) {
		tokens := g.stream.Tokens()
		var tick <-chan time.Time
		if g.out != nil {
			ticker := time.NewTicker(keepAlive)
			defer ticker.Stop()
			tick = ticker.C
		}
		for !g.split.text.stopped {
			select {
			case t, ok := <-tokens:
				if !ok {
					return
				}
				g.observe(t)
				if !yield(t) {
					return
				}
			case now := <-tick:
				if now.Sub(g.last) >= keepAlive {
					g.out.idle()
				}
			case <-g.client.Done():
				return
			}
		}
	}
}

func (g *generation) observe(t engine.Token) {
	now := time.Now()
	if t.Start != nil {
		g.start = *t.Start
		g.ttft = now.Sub(g.came)
		g.metrics.ttft.observe(g.ttft)
		g.metrics.queue.observe(t.Queue)
	} else {
		g.metrics.interToken.observe(now.Sub(g.last))
	}
	g.last = now
}

// take adds a token to the answer and gives the sink what became certain with it, perhaps nothing.
func (g *generation) take(t engine.Token) {
	g.ids = append(g.ids, t.ID)
	if g.likely >= 0 {
		g.probs = append(g.probs, g.named(t.Logprobs))
	}
	g.scratch = g.vocab.AppendToken(g.scratch[:0], t.ID)
	g.split.push(g.scratch, g)
}

// end gives the sink what was held back until no more tokens came.
func (g *generation) end() { g.split.end(g) }

// onText, onCall and onArguments are what the splitter finds.
func (g *generation) onText(b []byte) {
	if len(b) == 0 {
		return
	}
	g.answer = append(g.answer, b...)
	if g.out != nil {
		g.out.text(b, g.probs[g.told:])
	}
	g.told = len(g.probs)
}

func (g *generation) onCall(name string) {
	c := toolCall{id: newID("call_"), name: name}
	g.calls = append(g.calls, c)
	if g.out != nil {
		g.out.call(len(g.calls)-1, c.id, c.name)
	}
}

func (g *generation) onArguments(b []byte) {
	if len(b) == 0 {
		return
	}
	c := &g.calls[len(g.calls)-1]
	c.arguments = append(c.arguments, b...)
	if g.out != nil {
		g.out.arguments(len(g.calls)-1, b)
	}
}

// named puts text to the engine's log-probabilities.
func (g *generation) named(ps []engine.Logprob) tokenProbs {
	var all []tokenProbs
	for _, p := range ps {
		all = append(all, tokenProbs{text: string(g.vocab.AppendToken(nil, p.ID)), logprob: max(p.Logprob, -9999)}) // -Inf is no JSON
	}
	if len(all) == 0 {
		return tokenProbs{}
	}
	all[0].likely = all[1:min(len(all), 1+g.likely)]
	return all[0]
}

// waiting says whether the engine is ahead of the client, so that a flush can wait for the next token.
func (g *generation) waiting() bool { return len(g.stream.Tokens()) > 0 }

// An ending says how a complete answer ended.
type ending struct {
	reason string // stop, length or tool_calls
	stop   string // the stop string that did it, "" for none
	usage  usage
}

// finish returns how a complete answer ended, or why it is not complete. After a stop string it waits for the engine to
// let go of the request, at most one step, because the result is not known before.
func (g *generation) finish() (ending, error) {
	if g.split.text.stopped {
		g.cancel()
	}
	for open := true; open; {
		select {
		case _, open = <-g.stream.Tokens():
		case <-g.client.Done():
			return ending{}, g.client.Err()
		}
	}
	g.result = g.stream.Result()
	g.start = g.result.Start
	e := ending{reason: string(g.result.Finish), usage: g.usage()}
	switch {
	case g.split.text.stopped:
		e.reason, e.stop = string(engine.FinishStop), g.split.text.hit
	case g.result.Finish == engine.FinishStop && len(g.calls) > 0:
		e.reason = "tool_calls"
	case g.result.Finish == engine.FinishStop || g.result.Finish == engine.FinishLength:
	case g.client.Err() != nil:
		return ending{}, g.client.Err()
	default:
		return ending{}, g.result.Err
	}
	return e, nil
}

// exact returns the tokens that the text given stands for, nil when it is no whole number of them, as when a stop
// string began in the middle of one.
func (g *generation) exact() []int32 {
	if !g.split.text.stopped {
		return g.ids
	}
	b := g.scratch[:0]
	for i, id := range g.ids {
		if bytes.Equal(b, g.answer) {
			return g.ids[:i]
		}
		b = g.vocab.AppendToken(b, id)
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
		Details:          newPromptDetails(g.start),
	}
}

// served is what the status page tells of an answer that ended now.
func (g *generation) served(now time.Time, total time.Duration) served {
	v := served{at: now, queue: g.start.Queue, ttft: g.ttft, total: total, tier: g.start.Tier}
	if g.ttft == 0 { // an answer without a token
		v.ttft = total
	}
	if n := len(g.ids); n > 1 {
		v.token = (g.last.Sub(g.came) - g.ttft) / time.Duration(n-1)
	}
	return v
}

// given are the log-probabilities of the tokens whose text was given: none of a stop string or of a call.
func (g *generation) given() []tokenProbs {
	if g.split.text.stopped || len(g.calls) > 0 {
		return g.probs[:g.told]
	}
	return g.probs
}

// timing is the value of Server-Timing: what is known while the answer goes on, and all of it afterwards.
func (g *generation) timing(done bool) string {
	v := "queue;dur=" + milliseconds(g.start.Queue) + ", prefill;dur=" + milliseconds(g.start.Prefill)
	if g.start.Restore > 0 {
		v += ", restore;dur=" + milliseconds(g.start.Restore)
	}
	if done {
		v += ", decode;dur=" + milliseconds(g.result.Decode)
	}
	return v
}

// describe says what the cache was worth to the prompt, for clients of APIs whose usage has no place for it.
func (g *generation) describe(h http.Header) {
	h.Set("X-Cache-Tier", g.start.Tier)
	h.Set("X-Cached-Tokens", strconv.Itoa(g.start.CachedTokens))
	if g.start.Miss != "" {
		h.Set("X-Cache-Miss", g.start.Miss)
	}
	if g.start.RestoredBytes > 0 {
		h.Set("X-Restored-Bytes", strconv.FormatInt(g.start.RestoredBytes, 10))
	}
}
