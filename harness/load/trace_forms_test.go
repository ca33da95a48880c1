package load

import (
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// Traces are written by many programs: identities of blocks as 64-bit numbers or text, counts as
// floating-point numbers, times as dates, byte order marks and any line ends.
func TestTraceForms(t *testing.T) {
	const two = `{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}` + "\n"
	second := func(ids string) string {
		return `{"timestamp": 10, "input_length": 1000, "output_length": 5, "hash_ids": ` + ids + `}`
	}
	for _, tc := range []struct {
		name, text string
		blocks     []uint64 // of the last request
		at         time.Duration
	}{
		{"unsigned 64-bit", two + second("[1, 18446744073709551615]"), []uint64{1, 1<<64 - 1}, 10 * time.Millisecond},
		{"negative", two + second("[1, -1]"), []uint64{1, 1<<64 - 1}, 10 * time.Millisecond},
		{"floating-point", two + second("[1, 2.0]"), []uint64{1, 2}, 10 * time.Millisecond},
		{"number as text", two + second(`["1", "2"]`), []uint64{1, 2}, 10 * time.Millisecond},
		{"null", two + second("null"), nil, 10 * time.Millisecond},
		{"CRLF", strings.ReplaceAll(two+second("[1, 2]"), "\n", "\r\n"), []uint64{1, 2}, 10 * time.Millisecond},
		{"CR", strings.ReplaceAll(two+second("[1, 2]"), "\n", "\r"), []uint64{1, 2}, 10 * time.Millisecond},
		{"byte order mark", "\ufeff" + two + second("[1, 2]"), []uint64{1, 2}, 10 * time.Millisecond},
		{"byte order mark after blank lines", "\n\n\ufeff" + two + second("[1, 2]"), []uint64{1, 2}, 10 * time.Millisecond},
	} {
		trace, err := ReadTrace("t", strings.NewReader(tc.text))
		assert.NilError(t, err, tc.name)
		assert.Equal(t, len(trace), 2, tc.name)
		assert.DeepEqual(t, trace[1].Blocks, tc.blocks)
		assert.Equal(t, trace[1].At, tc.at, tc.name)
	}

	text := `{"timestamp": 0, "input_length": 300.0, "output_length": 5e0, "hash_ids": ["a1f3"]}
{"timestamp": 1, "input_length": "300", "output_length": 5, "hash_ids": ["a1f4"]}
{"timestamp": 2, "input_length": 300, "output_length": 5, "hash_ids": ["a1f3"]}
{"timestamp": 3, "input_length": 300, "output_length": 5, "hash_ids": [340282366920938463463374607431768211455]}`
	trace, err := ReadTrace("t", strings.NewReader(text))
	assert.NilError(t, err)
	assert.Equal(t, trace[0].Input, 300)
	assert.Equal(t, trace[1].Input, 300)
	assert.Equal(t, trace[0].Blocks[0], trace[2].Blocks[0])
	assert.Assert(t, trace[0].Blocks[0] != trace[1].Blocks[0])
	assert.Assert(t, trace[0].Blocks[0] != trace[3].Blocks[0])
}

// A first timestamp that is a date is the start, in whichever unit it is. Numbers that are too
// small for a date count from the load's start, in milliseconds.
func TestTraceTimes(t *testing.T) {
	for _, tc := range []struct {
		first, second string
		at            [2]time.Duration
		unit          time.Duration
	}{
		{"1795900000000", "1795900000900", [2]time.Duration{0, 900 * time.Millisecond}, 0},
		{"1795900000", "1795900001", [2]time.Duration{0, time.Second}, 0},
		{"1795900000.25", "1795900001.5", [2]time.Duration{0, 1250 * time.Millisecond}, 0},
		{"1795900000000000", "1795900000000900", [2]time.Duration{0, 900 * time.Microsecond}, 0},
		{"1795900000000000000", "1795900000001048576", [2]time.Duration{0, 1048576}, 0},
		{"27482", "27482", [2]time.Duration{27482 * time.Millisecond, 27482 * time.Millisecond}, 0},
		{"200.5", "210", [2]time.Duration{200500 * time.Microsecond, 210 * time.Millisecond}, 0},
		{"0.2", "0.9", [2]time.Duration{200 * time.Millisecond, 900 * time.Millisecond}, time.Second},
		{"0.2", "0.9", [2]time.Duration{200 * time.Microsecond, 900 * time.Microsecond}, time.Millisecond},
		{"1795900000", "1795900001", [2]time.Duration{0, time.Second}, time.Second},
	} {
		text := ""
		for _, at := range []string{tc.first, tc.second} {
			text += `{"timestamp": ` + at + `, "input_length": 10, "output_length": 1}` + "\n"
		}
		r := TraceReader{Unit: tc.unit}
		trace, err := r.Read("t", strings.NewReader(text))
		assert.NilError(t, err, tc.first)
		assert.Equal(t, [2]time.Duration{trace[0].At, trace[1].At}, tc.at, tc.first)
	}
	for _, tc := range []struct{ text, want string }{
		{`{"timestamp": 0.2, "input_length": 1, "output_length": 1}
{"timestamp": 0.9, "input_length": 1, "output_length": 1}`, "seem to be seconds"},
		{`{"timestamp": 0, "input_length": 1, "output_length": 1}
{"timestamp": 1795900000000, "input_length": 1, "output_length": 1}`, "t:2: timestamp 1795900000000: want"},
		{"\xff\xfe{\x00", "t:1: the text is UTF-16; want UTF-8"},
		{`{"timestamp": 0, "input_length": 300.5, "output_length": 1}`, "t:1: input_length 300.5: want 1 to"},
		{`{"timestamp": 0, "input_length": 300, "output_length": 1, "hash_ids": [0.5]}`, "t:1: hash_ids: 0.5: want whole numbers or strings"},
		{`{"timestamp": 0, "input_length": 300, "output_length": 0}`, "t: every request has output_length 0"},
	} {
		_, err := ReadTrace("t", strings.NewReader(tc.text))
		assert.ErrorContains(t, err, tc.want)
	}
}

// A request of which no answer was recorded cannot be asked for one. It is left out, and counted.
func TestTraceWithoutAnswers(t *testing.T) {
	var r TraceReader
	trace, err := r.Read("t", strings.NewReader(`{"timestamp": 0, "input_length": 10, "output_length": 0}
{"timestamp": 5, "input_length": 10, "output_length": 7}
{"timestamp": 9, "input_length": 10, "output_length": 0}`))
	assert.NilError(t, err)
	assert.Equal(t, r.Skipped, 2)
	assert.Equal(t, len(trace), 1)
	assert.Equal(t, trace[0].At, 5*time.Millisecond)
}
