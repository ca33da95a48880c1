package harness

import (
	"context"
	"fmt"
	"time"

	"loadstone/harness/ceiling"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// server is the server under test, as far as it is known before it is measured.
type server struct {
	client *client.Client
	epoch  time.Time       // makes the names of agents new to the server
	first  []record.Record // the questions that warmed it up
	size   promptSize
	pool   load.Pool
	exact  *bool // whether it takes answers' exact lengths; nil: it was not asked
	// what an endless cache would have of all prompts so far
	ceiling *endless
}

// sizing is the seed of the questions by which a server's tokenizer is got to know. It is none of a
// load's: how many tokens a word has varies with the words, and two measurements would ask for
// prompts of other lengths, by a fifth, where their seeds differ.
const sizing = 1

// meet warms a server up, and finds out how many tokens its template and tokenizer make of a
// prompt, and the size of its pool.
func meet(ctx context.Context, c *client.Client) (*server, error) {
	s := &server{client: c, epoch: time.Now()}
	var tokens []int
	for _, n := range warmUpWords {
		p := warmUpOf(fmt.Sprintf("%s%x", warmUpName(n), s.epoch.UnixMilli()), n)
		answer, err := s.warmUp(ctx, p)
		if err == nil && answer.PromptTokens < 0 {
			p.NoStream = true // some servers count the tokens of answers in one piece alone
			answer, err = s.warmUp(ctx, p)
		}
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, answer.PromptTokens)
	}
	s.size = fitPromptSize(warmUpWords, [2]int(tokens))
	scrape, err := c.Scrape(ctx)
	if err != nil {
		return nil, err
	}
	s.pool.Blocks, s.pool.BlockTokens = scrape.PoolSize()
	s.pool.WindowSlots, s.pool.SlotsPerRequest = scrape.WindowSlots()
	s.pool.AdmitBelow = scrape.AdmitBelow()
	s.ceiling = &endless{cache: ceiling.New(scrape.ReuseTokens())}
	return s, nil
}

// A NoAnswerError says that a server did not answer the first question, so that it cannot be
// measured.
type NoAnswerError struct {
	Status int // of HTTP; 0: no response came
	Reason string
}

func (e *NoAnswerError) Error() string {
	return "the server does not answer the first question: " + e.Reason
}

// warmUp asks a question that warms the server up.
func (s *server) warmUp(ctx context.Context, p client.Prompt) (record.Record, error) {
	p.Warmup = true
	answer := s.client.Ask(ctx, s.client.Since(), p)
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	if answer.Outcome != record.OK {
		return answer, &NoAnswerError{answer.Status, answer.Error}
	}
	s.first = append(s.first, answer)
	return answer, nil
}

// addFirst gives a measurement's first run the questions that warmed the server up, once.
func (s *server) addFirst(run *record.Run) {
	run.Warmup = append(run.Warmup, s.first...)
	run.Violations = append(run.Violations, record.Check(s.first, -1)...)
	s.first = nil
}

// place is the load on this server: amounts in units of the pool or the context become tokens. The
// server is asked for its context once, and only for a load that has such amounts.
func (s *server) place(ctx context.Context, l load.Load) (load.Load, error) {
	if s.pool.Context == 0 && l.OfContext() {
		s.pool.Context, _ = s.client.Context(ctx) // where it cannot be had, On says what to do
	}
	pool := s.pool
	pool.Prompt = s.size.tokens(s.size.words(int(l.Prompt.A)))
	return l.On(pool)
}

// takesExact reports whether the server gives answers of exact lengths, as far as it was asked.
func (s *server) takesExact() bool { return s.exact != nil && *s.exact }
