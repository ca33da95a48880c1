package engine

import (
	"fmt"
	"testing"

	"loadstone/engine/internal/kv"
)

// BenchmarkStep measures what a step costs besides the model: 32 requests decode, one of them
// ends in each step and the next joins, among up to 10000 agents that the engine remembers. ns/op
// is one step.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct{ agents, history, window int }{
		{100, 100, 0},
		{10000, 100, 0},
		{100, 4096, 0},
		{10000, 100, 64},
		{100, 4096, 512},
	} {
		agents, history := c.agents, c.history
		name := fmt.Sprintf("batch=32/agents=%d/history=%d/window=%d", agents, history, c.window)
		b.Run(name, func(b *testing.B) {
			const maxTokens = 32
			shape := kv.Shape{BlockTokens: 32, Window: c.window}
			n := agents*(history/32+5) + 1000
			s := newSched(kv.Layout{Shape: shape, Blocks: n, WindowSlots: n}, 32, 1<<14)
			prompt := func(agent int) []int32 {
				p := make([]int32, history, history+maxTokens)
				for i := range p {
					p[i] = int32(i)
					if i >= 64 { // behind a system prompt of two blocks that all share
						p[i] = int32(agent*history + i)
					}
				}
				return p
			}
			names := make([]string, agents)
			id := uint64(0)
			add := func() {
				agent := int(id) % agents
				id++
				s.Add(&sequence{id: id, who: named(names[agent]), prompt: history, max: maxTokens,
					tokens: prompt(agent)})
			}
			next := make([]int32, 32)
			step := func() {
				plan := s.Plan(s.stepTokens, s.maxBatch, drafting{})
				for i := range plan.rows {
					next[i] = int32(i)
				}
				for _, ev := range s.Commit(next[:len(plan.rows)]) {
					if ev.finish != "" {
						add()
					}
				}
			}
			for i := range agents {
				names[i] = fmt.Sprintf("agent-%d", i)
			}
			for range 32 {
				add()
			}
			for s.Stats().Agents < agents {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
