package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A wekaTrace is a session of Weka's kv-cache-tester, in the form that AgentX replays. Times are in
// seconds from its beginning.
type wekaTrace struct {
	ID       string        `json:"id"`
	Block    int           `json:"block_size"`
	Scope    string        `json:"hash_id_scope"`
	Requests []wekaRequest `json:"requests"`
}

// A wekaRequest is a call, of type n or s (streamed), or a sub-agent with calls of its own.
type wekaRequest struct {
	T      float64           `json:"t"`
	Type   string            `json:"type"`
	In     int               `json:"in"`
	Out    int               `json:"out"`
	Blocks []json.RawMessage `json:"hash_ids"`
	Inputs []string          `json:"input_types"`
	Stop   string            `json:"stop"`
	Took   *float64          `json:"api_time"`
	Think  *float64          `json:"think_time"`
	TTFT   *float64          `json:"ttft"`

	Status   string        `json:"status"`   // of a sub-agent
	Requests []wekaRequest `json:"requests"` // of a sub-agent
}

// readWeka reads Weka's traces: JSON objects, one per session. A sub-agent begins when the call
// before it has ended. The next call waits for it, unless it was launched asynchronously.
//
// Tried on 60 of the published traces (callanjfox/kv-cache-tester, Apache-2.0): 3793 calls, 107 of
// sub-agents, 431 409 341 tokens of prompts and 1 515 099 of answers, as a script counts them.
func readWeka(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	var source Source
	traces := newValueReader(name, r)
	for {
		var t wekaTrace
		err := traces.next(&t)
		if err == io.EOF {
			break
		}
		if err != nil {
			return source, err
		}
		if t.Block <= 0 || t.Scope != "" && t.Scope != "local" && t.Scope != "global" {
			return source, traces.errorf("trace %s: block_size %d and hash_id_scope %q; want a size above "+
				"0, and local or global: another version of the form", t.ID, t.Block, t.Scope)
		}
		w := wekaReader{blockSession: blockSession{block: t.Block, scope: Derive(0, "weka")}}
		if t.Scope != "global" {
			w.scope = Derive(0, "weka "+t.ID)
		}
		if err := w.requests(t.Requests, -1, 0, 0); err != nil {
			return source, traces.errorf("trace %s: %w", t.ID, err)
		}
		source.Skipped += w.skipped
		if len(w.calls) > 0 {
			session := w.blockSession
			source.Sessions = append(source.Sessions, Session{Name: t.ID, SecretLast: true,
				Count: len(session.calls), Calls: session.all()})
		}
	}
	if len(source.Sessions) == 0 {
		return source, fmt.Errorf("%s: no call in it has an answer", name)
	}
	return source, nil
}

// A wekaReader makes the calls of one trace.
type wekaReader struct {
	blockSession
	ends    []float64 // end of each call, in seconds
	subs    int
	skipped int
}

// requests adds the calls of an agent. The first waits for the call after, unless that is -1.
// offset is added to their times.
func (w *wekaReader) requests(all []wekaRequest, after, sub int, offset float64) error {
	var waits []int // calls of sub-agents that the next call waits for
	var blocks []uint64
	base, turn, ended := -1, 0, false
	last := -1.0
	for i := range all {
		q := &all[i]
		t := q.T + offset
		if t < last {
			return fmt.Errorf("request %d is at %g s, before the one before it, at %g s; sort them by t", i,
				t, last)
		}
		last = t
		switch q.Type {
		case "subagent":
			done, err := w.subagent(q, after, t)
			if err != nil {
				return err
			}
			waits = append(waits, done...)
			continue
		case "n", "s":
		default:
			return fmt.Errorf("request %d has the type %q; want n, s or subagent", i, q.Type)
		}
		if q.Out == 0 {
			w.skipped++
			continue
		}
		now, err := traceBlocks(q.Blocks)
		if err != nil || q.In < 1 || q.Out < 0 || q.In > maxTrace || q.Out > maxTrace {
			return fmt.Errorf("request %d: in %d, out %d: want 1 to %d tokens; %v", i, q.In, q.Out,
				maxTrace, err)
		}
		if ended {
			turn++
		}
		c := w.call(q, t, after, waits)
		c.Sub, c.Turn, c.Person = sub, turn, ended
		w.add(c, q.In, base, blocks, now)
		w.ends = append(w.ends, t+value(q.Took))
		base, blocks, after, waits, ended = c.ID, now, c.ID, nil, q.Stop == "end_turn"
	}
	return nil
}

// call returns the call of a request, without its prompt.
func (w *wekaReader) call(q *wekaRequest, t float64, after int, waits []int) Call {
	c := Call{ID: len(w.calls), From: -1, After: waits, Answer: q.Out}
	if after >= 0 {
		c.After = append([]int{after}, waits...)
	}
	c.Recorded = &Recorded{Finish: q.Stop, Prompt: q.In, Cached: -1, Output: q.Out, Reasoning: -1,
		First: seconds(value(q.TTFT)), Took: seconds(value(q.Took))}
	end := 0.0
	for _, id := range c.After {
		end = max(end, w.ends[id])
	}
	if len(c.After) > 0 {
		c.Pause = seconds(max(0, t-end))
		if q.Think != nil && len(waits) == 0 {
			c.Pause = seconds(max(0, *q.Think))
		}
	}
	return c
}

// subagent adds the calls of a sub-agent and returns its last call, if the parent waits for it.
func (w *wekaReader) subagent(q *wekaRequest, after int, t float64) ([]int, error) {
	offset := 0.0
	if len(q.Requests) > 0 && q.Requests[0].T < q.T {
		offset = t // its times count from its own beginning
	}
	w.subs++
	first := len(w.calls)
	if err := w.requests(q.Requests, after, w.subs, offset); err != nil {
		return nil, fmt.Errorf("sub-agent %d: %w", w.subs, err)
	}
	if len(w.calls) == first || q.Status == "async_launched" {
		return nil, nil
	}
	return []int{len(w.calls) - 1}, nil
}

// value returns a number, or 0 if it is missing.
func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// traceBlocks parses the hashes of blocks.
func traceBlocks(ids []json.RawMessage) ([]uint64, error) {
	blocks := make([]uint64, 0, len(ids))
	for _, id := range ids {
		b, err := traceID(id)
		if err != nil {
			return nil, fmt.Errorf("hash_ids: %w", err)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}
