package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// A TraceRequest is one request of a recorded load, as Mooncake publishes them (Qin et al.,
// Mooncake, FAST '25): when it came, how many tokens went in and out, and which blocks of 512
// tokens its prompt is made of. Requests whose lists begin alike have prompts that begin alike.
type TraceRequest struct {
	At     time.Duration
	Input  int
	Output int
	Blocks []uint64 // empty: the prompt is like no other
}

// traceBlock is the tokens of one block of a trace's prompt.
const traceBlock = 512

// maxTrace bounds what one request of a trace may ask for: no model reads ten million tokens.
const maxTrace = 10_000_000

// ReadTrace reads a trace as a TraceReader does that is told nothing of its unit.
func ReadTrace(name string, r io.Reader) ([]TraceRequest, error) {
	return new(TraceReader).Read(name, r)
}

// A TraceReader reads a trace, a JSON object a line:
//
//	{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59]}
//
// timestamp never decreases. It counts from the load's start; where the first one is a date between
// 2001 and 2099, all count from the first. hash_ids has one value for every 512 tokens begun, or is
// left out; a value is a whole number of any size or a string. Other fields are skipped.
type TraceReader struct {
	// Unit is that of the timestamps. 0 is milliseconds, as Mooncake has them, unless the first is
	// a date: those in seconds, milliseconds, microseconds and nanoseconds since 1970 differ by
	// factors of 1000, so that a date shows its unit.
	Unit time.Duration

	// Skipped is how many requests were left out, since their output_length is 0: they were
	// recorded of requests that failed or were taken back, and there is no answer to ask for.
	Skipped int
}

// A UnitError says that the timestamps of a trace seem to be in seconds, and that nobody said so.
type UnitError struct {
	Name   string
	PerSec float64 // requests a second, were they milliseconds
}

func (e *UnitError) Error() string {
	return fmt.Sprintf("%s: its timestamps have fractions, and in milliseconds they would be %.0f "+
		"requests a second, so they seem to be seconds; the trace's unit must be said", e.Name, e.PerSec)
}

// denseTrace is how many requests a second, on average, a trace with fractional timestamps may have
// before it is taken to be in seconds. Traces in seconds with half a request a second or more are
// above it. Whole numbers are never suspected: many requests may come in one millisecond.
const denseTrace = 500

// Read reads a trace. name is of the file, for errors, which have its line.
func (t *TraceReader) Read(name string, r io.Reader) ([]TraceRequest, error) {
	var all []TraceRequest
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	lines.Split(anyLines)
	clock := traceClock{given: t.Unit, last: math.Inf(-1)}
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if n == 1 &&
			(bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff"))) {
			return nil, fmt.Errorf("%s:1: the text is UTF-16; want UTF-8", name)
		}
		// A byte order mark may begin the text, also where a scenario file puts lines before it.
		if text = bytes.TrimPrefix(text, []byte("\ufeff")); len(text) == 0 {
			continue
		}
		at, req, err := traceRequest(text)
		if err == nil {
			req.At, err = clock.time(at)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if req.Output == 0 {
			t.Skipped++
			continue
		}
		all = append(all, req)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	switch {
	case len(all) == 0 && t.Skipped > 0:
		return nil, fmt.Errorf("%s: every request has output_length 0: there is nothing to ask for", name)
	case len(all) == 0:
		return nil, fmt.Errorf("%s: no request in it; want a line like {\"timestamp\": 0, "+
			"\"input_length\": 600, \"output_length\": 50, \"hash_ids\": [0, 1]}", name)
	case len(all) > 1 && clock.guessed():
		span := all[len(all)-1].At - all[0].At
		if perSec := float64(len(all)-1) / span.Seconds(); perSec > denseTrace {
			return nil, &UnitError{name, perSec}
		}
	}
	return all, nil
}

// A traceClock makes times from the beginning of a trace out of its timestamps.
type traceClock struct {
	given       time.Duration // the unit of the timestamps; 0: it is to be found out
	unit        time.Duration // 0 before the first timestamp
	start, last float64       // timestamps
	fractions   bool          // there are some that are no whole numbers
}

// time is the time of a timestamp, which must not be before the last one.
func (c *traceClock) time(at float64) (time.Duration, error) {
	if c.unit == 0 {
		if c.unit, c.start = epochOf(at, c.given); c.unit == 0 {
			c.unit = time.Millisecond
		}
	}
	since := (at - c.start) * float64(c.unit) / float64(time.Millisecond)
	switch {
	case at < c.last:
		return 0, fmt.Errorf("timestamp %s is before the last one, %s; sort the trace", number(at),
			number(c.last))
	case since < 0 || since > 1e12:
		return 0, fmt.Errorf("timestamp %s: want milliseconds from 0 on, or since 1970", number(at))
	}
	c.last, c.fractions = at, c.fractions || at != math.Trunc(at)
	return time.Duration(math.Round((at - c.start) * float64(c.unit))), nil
}

// guessed reports whether nothing but the form of the timestamps tells their unit, and they could
// be seconds.
func (c *traceClock) guessed() bool { return c.given == 0 && c.start == 0 && c.fractions }

// epochOf tells of a trace's first timestamp whether it is a date: then the trace begins at it, and
// its unit is known, unless it was given. Otherwise the trace begins at 0.
func epochOf(first float64, given time.Duration) (unit time.Duration, start float64) {
	const from, to = 978_307_200, 4_102_444_800 // the years 2001 to 2099, in seconds since 1970
	units := []time.Duration{time.Second, time.Millisecond, time.Microsecond, time.Nanosecond}
	for _, u := range units {
		if s := first * u.Seconds(); (given == 0 || given == u) && s >= from && s < to {
			return u, first
		}
	}
	return given, 0
}

// anyLines splits a text at LF, CRLF and CR, which all end lines somewhere.
func anyLines(data []byte, atEOF bool) (int, []byte, error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF && len(data) > 0:
		return len(data), data, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data) && data[i+1] == '\n':
		return i + 2, data[:i], nil
	case i+1 == len(data) && !atEOF:
		return 0, nil, nil // LF may follow
	}
	return i + 1, data[:i], nil
}

// number prints a number of a trace without an exponent.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// traceRequest reads a line. The time is in the trace's own unit.
func traceRequest(text []byte) (at float64, req TraceRequest, err error) {
	var line struct {
		Timestamp json.RawMessage   `json:"timestamp"`
		Input     json.RawMessage   `json:"input_length"`
		Output    json.RawMessage   `json:"output_length"`
		Blocks    []json.RawMessage `json:"hash_ids"`
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return 0, req, fmt.Errorf("no JSON object of a trace: %w", err)
	}
	given := func(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }
	if !given(line.Timestamp) || !given(line.Input) || !given(line.Output) {
		return 0, req, errors.New(
			"want timestamp, input_length and output_length; hash_ids may be left out",
		)
	}
	if at, err = traceNumber(line.Timestamp); err != nil || at < 0 {
		return 0, req, fmt.Errorf(
			"timestamp %s: want milliseconds from 0 on, or since 1970",
			line.Timestamp,
		)
	}
	if req.Input, err = traceLength(line.Input, 1); err != nil {
		return 0, req, fmt.Errorf("input_length %w", err)
	}
	if req.Output, err = traceLength(line.Output, 0); err != nil {
		return 0, req, fmt.Errorf("output_length %w", err)
	}
	if want := (req.Input + traceBlock - 1) / traceBlock; len(line.Blocks) > 0 &&
		len(line.Blocks) != want {
		return 0, req, fmt.Errorf(
			"%d hash_ids for %d tokens: want %d, one for every %d tokens begun",
			len(line.Blocks),
			req.Input,
			want,
			traceBlock,
		)
	}
	for _, id := range line.Blocks {
		block, err := traceID(id)
		if err != nil {
			return 0, req, fmt.Errorf("hash_ids: %w", err)
		}
		req.Blocks = append(req.Blocks, block)
	}
	return at, req, nil
}

// traceNumber reads a number, which some writers put into quotes.
func traceNumber(v json.RawMessage) (float64, error) {
	n, err := strconv.ParseFloat(strings.Trim(string(v), `"`), 64)
	if err == nil && (math.IsNaN(n) || math.IsInf(n, 0)) {
		err = strconv.ErrRange
	}
	return n, err
}

// traceLength reads a number of tokens. 300.0 is 300: tables that have a gap somewhere are written
// so.
func traceLength(v json.RawMessage, minTokens int) (int, error) {
	n, err := traceNumber(v)
	if err != nil || n != math.Trunc(n) || n < float64(minTokens) || n > maxTrace {
		return 0, fmt.Errorf("%s: want %d to %d tokens", v, minTokens, maxTrace)
	}
	return int(n), nil
}

// traceID reads the identity of a block: a whole number, which stands for itself, or anything else,
// such as a hash as text or a number beyond 64 bits, for which a hash of it stands.
func traceID(v json.RawMessage) (uint64, error) {
	text := string(v)
	isString := strings.HasPrefix(text, `"`)
	if isString {
		if err := json.Unmarshal(v, &text); err != nil {
			return 0, err
		}
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return uint64(n), nil
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n == math.Trunc(n) &&
		math.Abs(n) < 1<<53 {
		return uint64(int64(n)), nil
	} else if !isString && (err != nil || n != math.Trunc(n)) {
		return 0, fmt.Errorf("%s: want whole numbers or strings", v)
	}
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64(), nil
}

// scaled is a number of the trace's tokens at the scale of the load.
func (l *Load) scaled(tokens int) int {
	if l.Lengths == 0 {
		return tokens
	}
	return max(1, int(float64(tokens)*l.Lengths))
}

// tracedCall is one request of the trace. Equal blocks are equal words, in any request, so that
// what prompts share in the trace they share here.
func (l *Load) tracedCall(i int) Call {
	r := l.Trace[i]
	m := Message{Role: "user"}
	if len(r.Blocks) == 0 {
		m.Words = []Words{{Seed: Derive(l.Seeds.Text, "trace", i), Tokens: l.scaled(r.Input)}}
	}
	for j, id := range r.Blocks {
		w := Words{Seed: Derive(l.Seeds.Text, "block", int(id)), Tokens: l.scaled(traceBlock)}
		if j == len(r.Blocks)-1 {
			w.Tokens = l.scaled(r.Input - j*traceBlock)
		}
		m.Words = append(m.Words, w)
	}
	c := Call{From: -1, Add: []Message{m}, Answer: l.scaled(r.Output)}
	l.interfere(&c, draw(l.Seeds.Cancel, "fate", i, 0, 0))
	return c
}
