package tiny

import (
	"fmt"
	"slices"
	"testing"

	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
)

const blockTokens = 32

// open opens the model with a cache of 256 blocks.
func open(t testing.TB) *ref.Model {
	t.Helper()
	c, err := checkpoint.Open(FS)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ref.New(c, "f32")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.AllocKV(256, 256, blockTokens); err != nil {
		t.Fatal(err)
	}
	return m
}

// table lists all blocks, or all window slots, in order.
var table = func() []int32 {
	b := make([]int32, 256)
	for i := range b {
		b[i] = int32(i)
	}
	return b
}()

// feed runs tokens from position start on and returns the logits of the last one.
func feed(t testing.TB, m *ref.Model, tokens []int32, start int) []float32 {
	t.Helper()
	logits := make([]float32, m.Vocab())
	blocks := (start + len(tokens) + blockTokens - 1) / blockTokens
	err := m.Step(tokens, []int32{int32(len(tokens))}, []int32{int32(start)},
		table[:blocks], table[:blocks],
		[]int32{int32(len(tokens) - 1)}, logits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

// answer computes the greedy answer of n tokens to a prompt whose first keep tokens are in the
// cache already.
func answer(t testing.TB, m *ref.Model, prompt []int32, keep, n int) []int32 {
	t.Helper()
	logits := feed(t, m, prompt[keep:], keep)
	var ids []int32
	for {
		best := int32(0)
		for i, v := range logits {
			if v > logits[best] {
				best = int32(i)
			}
		}
		if ids = append(ids, best); len(ids) == n {
			return ids
		}
		logits = feed(t, m, ids[len(ids)-1:], len(prompt)+len(ids)-1)
	}
}

// random is n tokens of text.
func random(seed uint64, n int) []int32 {
	s := make([]int32, n)
	s[0] = 2 // <bos>
	for i := 1; i < n; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
		s[i] = 6 + int32(seed>>40)%1018
	}
	return s
}

// repeated is a prompt of n tokens that repeats the same few, as prompts of load tests do.
func repeated(seed uint64, n int) []int32 {
	s := slices.Repeat(random(seed, 12)[1:], n/11+1)[:n]
	s[0] = 2
	return s
}

// TestWholeContext changes one token of a prompt, early or late, and checks that the answer
// changes. The model is made for prompts of up to some thousand tokens: in prompts of 4000, 31 of
// 32 changes showed.
func TestWholeContext(t *testing.T) {
	m := open(t)
	for _, n := range []int{200, 1000} {
		for kind, make := range map[string]func(uint64, int) []int32{
			"random": random, "repeated": repeated,
		} {
			t.Run(fmt.Sprintf("%s/%d", kind, n), func(t *testing.T) {
				flips, changed, first := 0, 0, 0
				for seed := range uint64(2) {
					prompt := make(seed+7, n)
					want := answer(t, m, prompt, 0, 16)
					for i := 24; i >= 1; i-- {
						at := 1 + (i-1)*(n-2)/23
						flipped := slices.Clone(prompt)
						flipped[at] = 6 + (flipped[at]-6+1+int32(i)*31)%1018
						// The loop goes from late to early, so the cache still holds all tokens
						// before at.
						got := answer(t, m, flipped, at, 16)
						flips++
						if !slices.Equal(got, want) {
							changed++
						}
						if got[0] != want[0] {
							first++
						}
					}
				}
				t.Logf("%d of %d flips change the answer, %d its first token",
					changed, flips, first)
				if changed != flips {
					t.Errorf("%d of %d flips change the answer; all must", changed, flips)
				}
			})
		}
	}
}

// TestAnswers checks that long greedy answers neither run in circles nor end nor hold anything but
// words, and that every prompt has its own answer.
func TestAnswers(t *testing.T) {
	m := open(t)
	const n = 128
	seen := map[string]int{}
	for i := range 12 {
		prompt := random(uint64(i/2+100), 40*(i/2+1))
		if i%2 == 1 {
			prompt = repeated(uint64(i/2+100), 40*(i/2+1))
		}
		ids := answer(t, m, prompt, 0, n)
		if slices.Min(ids) < letters {
			t.Errorf("prompt %d: answer %v has a special token or a single byte", i, ids)
		}
		if d := distinct(ids); d < n/2 {
			t.Errorf("prompt %d: %d tokens in an answer of %d: %v", i, d, n, ids)
		}
		for at := 16; at <= n; at += 16 {
			if d := distinct(ids[at-16 : at]); d < 6 {
				t.Errorf("prompt %d: %d different tokens before token %d: %v",
					i, d, at, ids[at-16:at])
			}
		}
		start := fmt.Sprint(ids[:8])
		if j, ok := seen[start]; ok {
			t.Errorf("prompts %d and %d have the same answer %s", j, i, start)
		}
		seen[start] = i
	}
}

// letters is the first token of more than one byte. The special tokens and the 256 bytes come
// before it.
const letters = 6 + 256

// distinct counts the different ids.
func distinct(ids []int32) int {
	return len(slices.Compact(slices.Sorted(slices.Values(ids))))
}

// TestGolden pins an answer, which must be the same on every machine, or results cannot be
// compared.
func TestGolden(t *testing.T) {
	want := []int32{854, 995, 415, 327, 878, 795, 841, 889, 390, 325, 564, 327, 878, 910, 878, 1022}
	if got := answer(t, open(t), random(1, 100), 0, 16); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v; if make.py has changed the model, replace the wanted answer",
			got, want)
	}
}
