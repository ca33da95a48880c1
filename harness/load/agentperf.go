package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// agentPerfVersion is the version of agentperf-local's rows that this reader knows.
const agentPerfVersion = 1

// An agentPerfRow is a line of agentperf-local's replays: a call with its whole prompt.
type agentPerfRow struct {
	Version      int               `json:"version"`
	Conversation string            `json:"conversation_id"`
	Index        int               `json:"conversation_idx"`
	Messages     []json.RawMessage `json:"messages"`
	Tools        []json.RawMessage `json:"tools"`
	Target       *int              `json:"target_output_tokens"`
	Max          *int              `json:"max_output_tokens"`
	Prompt       *int              `json:"recorded_prompt_tokens"`
	Completion   *int              `json:"recorded_completion_tokens"`
	Took         float64           `json:"recorded_model_duration_ms"`
	ToolCalls    []struct {
		Duration float64 `json:"duration_ms"`
	} `json:"recorded_tool_calls_after"`
}

// readAgentPerf reads agentperf-local's replays (Artificial Analysis, Apache-2.0): JSON Lines, one
// call per line with all its messages. The time of the tools is a pause before the next call of the
// conversation.
func readAgentPerf(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	rows := newValueReader(name, r)
	var order []*agentPerfSession
	sessions := map[string]*agentPerfSession{}
	for {
		var row agentPerfRow
		err := rows.next(&row)
		if err == io.EOF {
			break
		}
		if err != nil {
			return Source{}, err
		}
		if row.Version != agentPerfVersion {
			return Source{}, rows.errorf("version %d of agentperf-local's replays; this program reads "+
				"version %d", row.Version, agentPerfVersion)
		}
		s := sessions[row.Conversation]
		if s == nil {
			s = &agentPerfSession{}
			sessions[row.Conversation], order = s, append(order, s)
		}
		if err := s.add(&row); err != nil {
			return Source{}, rows.errorf("conversation %s: %w", row.Conversation, err)
		}
	}
	var source Source
	for _, s := range order {
		calls := s.calls
		source.Sessions = append(source.Sessions, Session{Name: s.name, API: "chat", Verbatim: true,
			Calls: slices.Values(calls), Linear: true})
	}
	return source, nil
}

// An agentPerfSession is a conversation as far as its rows were read.
type agentPerfSession struct {
	name    string
	calls   []Call
	history []json.RawMessage // messages of the last call
	tools   time.Duration     // time of the tools after it
}

func (s *agentPerfSession) add(row *agentPerfRow) error {
	if row.Index != len(s.calls) {
		return fmt.Errorf("call %d follows call %d; sort the lines by conversation_idx, and leave "+
			"none out", row.Index, len(s.calls)-1)
	}
	if len(row.Messages) == 0 {
		return fmt.Errorf("call %d has no messages", row.Index)
	}
	c := Call{ID: row.Index, From: -1, Pause: s.tools, Tools: row.Tools, Answer: row.answer()}
	c.Recorded = &Recorded{Prompt: known(row.Prompt), Cached: -1, Output: row.output(),
		Reasoning: -1, Took: fromMillis(row.Took)}
	kept := commonPrefix(s.history, row.Messages)
	var add []Message
	for _, raw := range row.Messages[kept:] {
		m, err := ParseMessage("chat", raw)
		if err != nil {
			return err
		}
		add = append(add, m)
	}
	c.goOn(row.Index-1, len(s.history), kept, add)
	if last := len(s.calls) - 1; last >= 0 {
		if c.From < 0 {
			c.After = []int{last}
		}
		if slices.EqualFunc(c.Tools, s.calls[last].Tools, equalJSON) {
			c.Tools = s.calls[last].Tools // keep one copy in memory
		}
		if len(add) > 0 && add[0].Reply {
			was := s.calls[last].Recorded
			was.Text, was.ToolCalls = add[0].Text, add[0].ToolCalls
		}
	}
	s.name, s.history, s.calls = row.Conversation, row.Messages, append(s.calls, c)
	s.tools = 0
	for _, t := range row.ToolCalls {
		s.tools += fromMillis(t.Duration)
	}
	return nil
}

// answer returns the maximum tokens of the answer that agentperf-local asks for.
func (row *agentPerfRow) answer() int {
	if row.Max != nil {
		return *row.Max
	}
	return max(1, row.output())
}

// output returns the length of the answer in tokens, or -1 if it is not known.
func (row *agentPerfRow) output() int {
	switch {
	case row.Target != nil:
		return *row.Target
	case row.Completion != nil:
		return *row.Completion
	}
	return -1
}

// known returns a count, or -1 if it is missing.
func known(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func equalJSON(a, b json.RawMessage) bool { return string(a) == string(b) }
