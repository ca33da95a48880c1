package harness

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// subject is a server as a plan has got to know it before it is measured.
type subject struct {
	load        *StressTestHarness
	seed        uint64          // of its agents
	epoch       time.Time       // makes the names of agents new to the server
	first       []record.Record // the questions that woke it up
	size        promptSize
	poolBlocks  int // of the server's KV pool; 0 unknown
	blockTokens int
	locals      int // the pool's blocks for sliding layers; 0: there are none
	localsEach  int // most of them that one request takes
}

// sizing is the seed of the questions by which a server's tokenizer is got to know. It is none of the load's: how many tokens
// a word has varies with the words, and two measurements would ask for prompts of other lengths, by a fifth, where their
// seeds differ.
const sizing = 1

// meet warms a server up, and finds out how many tokens its template and tokenizer make of a prompt, and the size of its pool.
func meet(ctx context.Context, c *client.Client, seed uint64) (*subject, error) {
	s := &subject{load: &StressTestHarness{Client: c}, seed: seed, epoch: time.Now()}
	var tokens []int
	for _, n := range warmUpWords {
		warm := s.agent(sizing, fmt.Sprintf("warm-up-%d", n))
		p := warm.Ask(n, 4)
		answer, err := s.wake(ctx, p)
		if err == nil && answer.PromptTokens < 0 {
			p.NoStream = true // some servers count the tokens of answers in one piece alone
			answer, err = s.wake(ctx, p)
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
	s.poolBlocks, s.blockTokens = scrape.PoolSize()
	s.locals, s.localsEach = scrape.WindowSlots()
	return s, nil
}

// greeted gives a measurement's first run the questions that woke the server up.
func (s *subject) greeted(run *record.Run) {
	run.Warmup, run.Violations = append(run.Warmup, s.first...), append(run.Violations, record.Check(s.first, -1)...)
}

// wake asks a question that wakes the server up.
func (s *subject) wake(ctx context.Context, p client.Prompt) (record.Record, error) {
	answer := s.load.Client.Ask(ctx, s.load.Client.Since(), p)
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	if answer.Outcome != record.OK {
		return answer, fmt.Errorf("the server does not answer: %s", answer.Error)
	}
	answer.Warmup = true
	s.first = append(s.first, answer)
	return answer, nil
}

// newAgent makes an agent whose conversation depends on the plan's seed and its name in the plan alone, but whose identity
// is new to a server that has seen the same plan before.
func (s *subject) newAgent(name string) *Conversation { return s.agent(s.seed, name) }

func (s *subject) agent(seed uint64, name string) *Conversation {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", seed, name)
	return NewConversation(fmt.Sprintf("%s-%x", name, s.epoch.UnixMilli()), h.Sum64())
}
