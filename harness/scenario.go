package harness

import (
	"context"
	"fmt"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// A Scenario is one of the loads that every baseline is made of.
type Scenario struct {
	Name   string     // the key it has in every file
	About  string     // one sentence for the reader
	Blind  string     // the same of a server that does not tell the size of its KV pool; "" where that makes no difference
	Agents int        // how many send at once
	Cache  load.Cache // what the agents' caches hold when the clock starts

	rep func(context.Context, *session) ([]record.Record, error)
}

// Scenarios are the five, in the order in which they run.
//
// In the warm ones an agent keeps its conversation for a whole run: the first turn fills its cache and is not measured,
// every repetition is its next turn, with all that was asked and answered before in the prompt. That is what agents do,
// and what makes a hit rate mean something.
var Scenarios = []Scenario{
	{Name: "single-cold", Agents: 1, Cache: load.Cold, rep: cold,
		About: "one agent that the server has never seen asks one question"},
	{Name: "single-cached", Agents: 1, Cache: load.Hot, rep: warm,
		About: "one agent goes on with its conversation"},
	{Name: "concurrent-5", Agents: 5, Cache: load.Hot, rep: warm,
		About: "5 agents go on with their conversations at the same moment"},
	{Name: "concurrent-10", Agents: 10, Cache: load.Hot, rep: warm,
		About: "10 agents go on with their conversations at the same moment"},
	{Name: "pool-pressure", Agents: 16, Cache: load.Cold, rep: pressure,
		About: "16 new agents at once reserve nine tenths of the KV pool",
		Blind: "16 new agents at once; the server does not tell how large its KV pool is"},
}

// FindScenario returns the scenario of that name.
func FindScenario(name string) (Scenario, error) {
	for _, s := range Scenarios {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("unknown scenario %q", name)
}

// session is what the repetitions of one run of a scenario share.
type session struct {
	*runner
	scenario Scenario
	run, rep int

	agents     []*Conversation // of the warm scenarios
	unmeasured []record.Record // of their first turns
}

func (s *session) newAgents(n int) []*Conversation {
	agents := make([]*Conversation, n)
	for i := range agents {
		agents[i] = s.newAgent(fmt.Sprintf("%s-%d-%d-%d", s.scenario.Name, s.run, s.rep, i))
	}
	return agents
}

// cold asks as agents that are new.
func cold(ctx context.Context, s *session) ([]record.Record, error) {
	return s.load.RunAgents(ctx, s.newAgents(s.scenario.Agents), 1, s.size.words(s.plan.PromptTokens), s.plan.MaxTokens)
}

// warm asks the next turn of every agent. A follow-up is short beside the history, an eighth of the first prompt.
func warm(ctx context.Context, s *session) ([]record.Record, error) {
	if s.agents == nil {
		s.agents = s.newAgents(s.scenario.Agents)
		quiet := StressTestHarness{Client: s.load.Client}
		records, err := quiet.RunAgents(ctx, s.agents, 1, s.size.words(s.plan.PromptTokens), s.plan.MaxTokens)
		s.unmeasured = append(s.unmeasured, records...)
		if err != nil {
			return nil, err
		}
		for i, r := range records {
			if r.Outcome == record.OK {
				continue
			}
			// All at once may be what the server cannot do, and what is to be measured: one after the other they may begin.
			alone, err := quiet.RunAgents(ctx, s.agents[i:i+1], 1, s.size.words(s.plan.PromptTokens), s.plan.MaxTokens)
			s.unmeasured = append(s.unmeasured, alone...)
			if err != nil {
				return nil, err
			}
			if r = alone[0]; r.Outcome != record.OK {
				return nil, fmt.Errorf("%s: agent %s could not begin: %s", s.scenario.Name, r.Agent, r.Error)
			}
		}
	}
	return s.load.RunAgents(ctx, s.agents, 1, s.size.more(s.plan.PromptTokens/8), s.plan.MaxTokens)
}

// pressure sends requests that together may need just under the 90 % of the pool at which the server begins to refuse.
// What a request may need is its prompt and max_tokens, so the pressure is on the moment all are admitted; a stop string
// that turns up soon ends the answers before they have really grown that long. A server that does not tell the size of its
// pool gets the same number of ordinary requests, and its peak utilisation stays unknown.
//
// A very large pool gets more agents than the scenario's, so that no request asks for more than models have context for.
// Where a model has sliding layers, their part of the pool may be the one that is full first.
func pressure(ctx context.Context, s *session) ([]record.Record, error) {
	words := s.size.words(s.plan.PromptTokens)
	want := int(pressed * float64(s.poolBlocks))
	n := max(s.scenario.Agents, (want*s.blockTokens+mostReserved-1)/mostReserved)
	if n*s.localsEach > int(pressed*float64(s.locals)) {
		want = min(want, int(pressed*float64(s.locals)))
	}
	prompts := make([]client.Prompt, n)
	for i, agent := range s.newAgents(n) {
		// Half a block less than the share leaves the prompt room to be longer or shorter than expected without needing
		// another number of blocks.
		maxTokens := share(want, n, i)*s.blockTokens - s.blockTokens/2 - s.size.tokens(words)
		prompts[i] = agent.Ask(words, max(maxTokens, s.plan.MaxTokens))
		prompts[i].Stop = []string{".", "\n", "k", "z"}
	}
	before := serverState(ctx, s.load.Client)
	records, err := s.load.RunConcurrent(ctx, prompts)
	if err == nil {
		err = s.drained(ctx, before)
	}
	return records, err
}

// pressed is the part of the pool that pressure reserves.
const pressed = 0.89

// share is part i of a total that is split among n as evenly as whole numbers can be.
func share(total, n, i int) int { return (i+1)*total/n - i*total/n }

// mostReserved is the tokens that one request of pressure may need at most.
const mostReserved = 24 << 10
