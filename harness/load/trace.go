package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A TraceRequest is one request of a recorded load, as Mooncake publishes them (Qin et al.,
// Mooncake, FAST '25): when it came, how many tokens went in and out, and which blocks of 512
// tokens its prompt is made of. Requests whose lists begin alike have prompts that begin alike.
type TraceRequest struct {
	At     time.Duration
	Input  int
	Output int
	Blocks []int // empty: the prompt is like no other
}

// traceBlock is the tokens of one block of a trace's prompt.
const traceBlock = 512

// maxTrace bounds what one request of a trace may ask for: no model reads ten million tokens.
const maxTrace = 10_000_000

// ReadTrace reads a trace, a JSON object a line:
//
//	{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59]}
//
// timestamp is in milliseconds and never decreases; hash_ids has one number for every 512 tokens
// begun, or is left out. Other fields are skipped. name is of the file, for errors, which have its
// line.
func ReadTrace(name string, r io.Reader) ([]TraceRequest, error) {
	var all []TraceRequest
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		req, err := traceRequest(text)
		if err == nil && len(all) > 0 && req.At < all[len(all)-1].At {
			err = fmt.Errorf("timestamp %d is before the last one, %d; sort the trace", req.At.Milliseconds(), all[len(all)-1].At.Milliseconds())
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		all = append(all, req)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no request in it; want a line like {\"timestamp\": 0, \"input_length\": 600, \"output_length\": 50, \"hash_ids\": [0, 1]}", name)
	}
	return all, nil
}

func traceRequest(text []byte) (TraceRequest, error) {
	var line struct {
		Timestamp *float64 `json:"timestamp"`
		Input     *int     `json:"input_length"`
		Output    *int     `json:"output_length"`
		Blocks    []int    `json:"hash_ids"`
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return TraceRequest{}, fmt.Errorf("no JSON object of a trace: %w", err)
	}
	switch {
	case line.Timestamp == nil || line.Input == nil || line.Output == nil:
		return TraceRequest{}, fmt.Errorf("want timestamp, input_length and output_length; hash_ids may be left out")
	case *line.Timestamp < 0 || *line.Timestamp > 1e12:
		return TraceRequest{}, fmt.Errorf("timestamp %g: want milliseconds from 0 on", *line.Timestamp)
	case *line.Input < 1 || *line.Input > maxTrace:
		return TraceRequest{}, fmt.Errorf("input_length %d: want 1 to %d tokens", *line.Input, maxTrace)
	case *line.Output < 1 || *line.Output > maxTrace:
		return TraceRequest{}, fmt.Errorf("output_length %d: want 1 to %d tokens", *line.Output, maxTrace)
	}
	if want := (*line.Input + traceBlock - 1) / traceBlock; len(line.Blocks) > 0 && len(line.Blocks) != want {
		return TraceRequest{}, fmt.Errorf("%d hash_ids for %d tokens: want %d, one for every %d tokens begun", len(line.Blocks), *line.Input, want, traceBlock)
	}
	at := time.Duration(*line.Timestamp * float64(time.Millisecond))
	return TraceRequest{at, *line.Input, *line.Output, line.Blocks}, nil
}

// scaled is a number of the trace's tokens at the scale of the load.
func (l *Load) scaled(tokens int) int {
	if l.Lengths == 0 {
		return tokens
	}
	return max(1, int(float64(tokens)*l.Lengths))
}

// tracedCall is one request of the trace. Equal blocks are equal words, whoever has them, so that
// what prompts share in the trace they share here.
func (l *Load) tracedCall(i int) Call {
	r := l.Trace[i]
	m := Message{Role: "user"}
	if len(r.Blocks) == 0 {
		m.Words = []Words{{Seed: Derive(l.Seeds.Text, "trace", i), Tokens: l.scaled(r.Input)}}
	}
	for j, id := range r.Blocks {
		w := Words{Seed: Derive(l.Seeds.Text, "block", id), Tokens: l.scaled(traceBlock)}
		if j == len(r.Blocks)-1 {
			w.Tokens = l.scaled(r.Input - j*traceBlock)
		}
		m.Words = append(m.Words, w)
	}
	c := Call{From: -1, Add: []Message{m}, Answer: l.scaled(r.Output)}
	l.interfere(&c, draw(l.Seeds.Cancel, "fate", i, 0, 0))
	return c
}
