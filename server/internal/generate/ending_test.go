package generate

import (
	"math"
	"slices"
	"testing"
)

// TestKeepGoing: stop tokens are ruled out for as long as the answer must not end, unless nothing
// else is left.
func TestKeepGoing(t *testing.T) {
	ruledOut := float32(math.Inf(-1))
	only := func(ids ...int) mask {
		return mask{rule: func(_ []int32, logits []float32) {
			for i := range logits {
				if !slices.Contains(ids, i) {
					logits[i] = ruledOut
				}
			}
		}}
	}
	for _, test := range []struct {
		name      string
		before    mask
		forEver   bool
		minTokens int
		answer    int
		want      []int // what may come next, of 0 to 4, where 3 and 4 are stop tokens
	}{
		{"for ever", mask{}, true, 0, 100, []int{0, 1, 2}},
		{"too short", mask{}, false, 3, 2, []int{0, 1, 2}},
		{"long enough", mask{}, false, 3, 3, []int{0, 1, 2, 3, 4}},
		{"with a form that goes on", only(1, 4), true, 0, 0, []int{1}},
		{"with a form that is complete", only(3, 4), true, 0, 0, []int{3, 4}},
		{"with a form that is complete, too short", only(3), false, 9, 5, []int{3}},
		{"with a form, long enough", only(1, 3), false, 2, 5, []int{1, 3}},
	} {
		logits := make([]float32, 5)
		keepGoing(test.before, []int32{3, 4}, test.forEver, test.minTokens).rule(
			make([]int32, test.answer), logits)
		var got []int
		for i, l := range logits {
			if l > ruledOut {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
