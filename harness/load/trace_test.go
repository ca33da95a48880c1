package load

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestBadTraces(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "t:"},
		{"{\"timestamp\": 0, \"input_length\": 10, \"output_length\": 1}\n\nnonsense", "t:3: no JSON object"},
		{`{"timestamp": 0, "input_length": 10}`, "t:1: want timestamp, input_length and output_length"},
		{`{"timestamp": -1, "input_length": 10, "output_length": 1}`, "t:1: timestamp -1"},
		{`{"timestamp": 0, "input_length": 0, "output_length": 1}`, "t:1: input_length 0"},
		{`{"timestamp": 0, "input_length": 10, "output_length": -4}`, "t:1: output_length -4"},
		{`{"timestamp": 0, "input_length": 1025, "output_length": 1, "hash_ids": [1, 2]}`, "t:1: 2 hash_ids for 1025 tokens: want 3"},
		{"{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1}\n{\"timestamp\": 4, \"input_length\": 1, \"output_length\": 1}", "t:2: timestamp 4 is before the last one, 5"},
	} {
		_, err := ReadTrace("t", strings.NewReader(tc.text))
		assert.ErrorContains(t, err, tc.want)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"timestamp": 0, "input_length": 600, "output_length": 50, "hash_ids": [0, 1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		trace, err := ReadTrace("t", bytes.NewReader(text))
		if err != nil {
			return
		}
		l := Load{Trace: trace}
		if !slices.IsSorted(slices.Collect(l.Arrivals())) {
			t.Fatal("not in order")
		}
	})
}
