package load

import (
	"slices"
	"testing"

	"gotest.tools/v3/assert"
)

// A session that is drawn is a graph that can be carried out: every call comes after those that it
// waits for, a conversation goes on within one agent, a compacted one begins with the summary, and
// the next turn quotes what sub-agents found. The same seeds make the same graph.
func TestWork(t *testing.T) {
	l := Load{Turns: Fixed(30), Prompt: Fixed(100), FollowUp: Amount{Kind: "uniform", A: 20, B: 120},
		Answer: Fixed(10), System: 1, SystemTokens: 200, Think: Fixed(1), Jobs: 5, Concurrency: 1,
		Compact:   Compaction{Fixed(1000), Fixed(50)},
		SubAgents: SubAgents{Amount{Kind: "uniform", A: 1, B: 3}, Fixed(3), 0.2}}.Filled()
	assert.NilError(t, l.Check())
	compacted, delegated, calls := 0, 0, 0
	for agent := range 5 {
		s := l.Session(agent)
		assert.Assert(t, !s.Linear)
		all := slices.Collect(s.Calls)
		calls += len(all)
		length := map[int]int{} // of each call's conversation, its answer among it
		for i, c := range all {
			assert.Equal(t, c.ID, i)
			assert.Equal(t, c.Aside, 0)
			assert.Assert(t, c.From < i && (c.From < 0 || all[c.From].Sub == c.Sub))
			for _, id := range append(c.After, c.Add[0].Quote...) {
				assert.Assert(t, id < i)
			}
			length[i] = c.Add[0].tokens() + c.Answer + 200
			if c.From >= 0 {
				length[i] += length[c.From] - 200
			}
			isSummary := c.Answer == 50
			if c.Sub == 0 && !isSummary {
				assert.Assert(t, length[i] <= 1000, "call %d is %d tokens", i, length[i])
			}
			switch {
			case isSummary:
				compacted++
				next := all[i+1]
				assert.Equal(t, next.From, -1)
				assert.Equal(t, next.Add[0].Quote[0], i)
			case c.Sub > 0 && c.From < 0:
				delegated++
				assert.Equal(t, all[c.After[0]].Sub, 0, "a sub-agent begins after its agent's turn")
			case c.Sub == 0 && len(c.Add[0].Quote) > 0 && c.From >= 0:
				for _, id := range c.Add[0].Quote {
					assert.Assert(t, all[id].Sub > 0 && slices.Contains(c.After, id))
				}
			}
		}
		again := slices.Collect(l.Session(agent).Calls)
		assert.DeepEqual(t, again, all)
	}
	assert.Assert(t, compacted > 5 && delegated > 20, "%d compacted, %d sub-agents", compacted, delegated)
	assert.Equal(t, l.Expected(), calls)
}

// Amounts of the context are parts of what the server takes, or of less where the load says so.
func TestOfContext(t *testing.T) {
	part := func(share float64) Amount { return Amount{A: share, Context: true} }
	l := Load{Concurrency: 1, Jobs: 1, Prompt: part(0.1), System: 1, SystemPart: part(0.25),
		Compact: Compaction{part(0.5), part(0.01)}, Turns: Fixed(2)}
	for _, tc := range []struct{ own, server, want int }{{0, 8000, 8000}, {4000, 8000, 4000}, {8000, 4000, 4000}, {4000, 0, 4000}} {
		l.Replay.Context = tc.own
		at, err := l.On(Pool{Context: tc.server})
		assert.NilError(t, err)
		assert.Equal(t, int(at.Prompt.A), tc.want/10)
		assert.Equal(t, at.SystemTokens, tc.want/4)
		assert.Equal(t, int(at.Compact.At.A), tc.want/2)
		assert.Equal(t, at.Prompt.Context, false)
	}
	l.Replay.Context = 0
	_, err := l.On(Pool{})
	assert.ErrorContains(t, err, "prompt is 10% of context, and the server does not say how long a request may be")
}
