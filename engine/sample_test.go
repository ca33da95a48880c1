package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// kept is the tokens a draw may pick and their probabilities, by the definition: sort everything, cut, cut.
func kept(s Sampling, logits []float32) (ids []int32, probs []float64) {
	type pair struct {
		id int32
		w  float64
	}
	var all []pair
	for i, l := range logits {
		all = append(all, pair{int32(i), math.Exp(float64(l) / s.Temperature)})
	}
	slices.SortStableFunc(all, func(a, b pair) int {
		if a.w > b.w {
			return -1
		} else if a.w < b.w {
			return 1
		}
		return 0
	})
	if s.TopK > 0 && s.TopK < len(all) {
		all = all[:s.TopK]
	}
	var sum, reach float64
	for _, p := range all {
		sum += p.w
	}
	if s.TopP > 0 && s.TopP < 1 {
		for i, p := range all {
			if reach += p.w; reach >= s.TopP*sum {
				all = all[:i+1]
				sum = reach
				break
			}
		}
	}
	if s.MinP > 0 {
		all = slices.DeleteFunc(all, func(p pair) bool { return p.w < s.MinP*all[0].w })
		sum = 0
		for _, p := range all {
			sum += p.w
		}
	}
	for _, p := range all {
		ids, probs = append(ids, p.id), append(probs, p.w/sum)
	}
	return ids, probs
}

// The choices are those of the definition, whatever short cuts lead to them.
func TestChoices(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		logits := make([]float32, 1+r.IntN(60))
		for i := range logits {
			logits[i] = float32(r.IntN(40)) / 8 // ties are common
		}
		s := Sampling{Temperature: 0.1 + 2*r.Float64()}
		if r.IntN(3) == 0 {
			s.MinP = 0.9 * r.Float64()
		}
		if r.IntN(2) == 0 {
			s.TopK = 1 + r.IntN(40)
		}
		if r.IntN(2) == 0 {
			s.TopP = r.Float64()
		}
		wantIDs, wantProbs := kept(s, logits)
		got := s.choices(logits, logits[argmax(logits)], nil)
		slices.SortFunc(got, likelier)
		var sum float64
		for _, c := range got {
			sum += c.weight
		}
		if len(got) != len(wantIDs) {
			t.Fatalf("%+v of %v: %d choices, want %v", s, logits, len(got), wantIDs)
		}
		for i, c := range got {
			if c.id != wantIDs[i] || math.Abs(c.weight/sum-wantProbs[i]) > 1e-9 {
				t.Fatalf("%+v of %v: choice %d is token %d with %g, want %d with %g", s, logits, i, c.id, c.weight/sum, wantIDs[i], wantProbs[i])
			}
		}
	}
}

// Draws follow the probabilities. The seeds are fixed, so the test is not a lottery.
func TestDraw(t *testing.T) {
	logits := []float32{1, 3, 2, 0, float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1))}
	s := Sampling{Temperature: 1, TopP: 0.95}
	_, probs := kept(s, logits[:4])
	counts := make(map[int32]int)
	var scratch []choice
	const draws = 20000
	for seed := range uint64(draws) {
		s.Seed = seed
		one := newSampler(s)
		id, ok := one.draw(logits, &scratch)
		if !ok {
			t.Fatal("nothing drawn")
		}
		counts[id]++
	}
	for i, id := range []int32{1, 2, 0} {
		if got := float64(counts[id]) / draws; math.Abs(got-probs[i]) > 0.01 {
			t.Errorf("token %d was drawn with frequency %.3f, its probability is %.3f", id, got, probs[i])
		}
	}
	if len(counts) != len(probs) {
		t.Errorf("drawn: %v, want only %d tokens", counts, len(probs))
	}
}

func TestArgmax(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 3, 2}, 1},
		{[]float32{nan, -5, inf, -4}, 3},
		{[]float32{-inf, -math.MaxFloat32}, 1},
		{[]float32{nan, inf, -inf}, -1},
		{nil, -1},
	} {
		if got := argmax(c.logits); got != c.want {
			t.Errorf("argmax of %v is %d, want %d", c.logits, got, c.want)
		}
	}
}

// Bias and penalties move the greedy choice as their definitions say, and a mask has the last word.
func TestAdjust(t *testing.T) {
	row := []float32{0, 1, 2, 3}
	draws := func(how Sampling, mask func([]int32, []float32)) (ids []int32) {
		s := newSampler(how)
		s.mask = mask
		var scratch []choice
		for range 6 {
			id, ok := s.draw(slices.Clone(row), &scratch)
			if !ok {
				id = noToken
			}
			ids = append(ids, id)
		}
		return ids
	}
	for _, test := range []struct {
		name string
		how  Sampling
		mask func([]int32, []float32)
		want []int32
	}{
		{"bias", Sampling{Bias: map[int32]float64{0: 3.5, 3: -1}}, nil, []int32{0, 0, 0, 0, 0, 0}},
		{"presence, once", Sampling{Presence: 1.5}, nil, []int32{3, 2, 3, 3, 3, 3}},
		{"frequency, each time", Sampling{Frequency: 1.25}, nil, []int32{3, 2, 3, 1, 2, 3}},
		{"mask by position", Sampling{Bias: map[int32]float64{3: 100}}, func(answer []int32, logits []float32) {
			for id := range logits {
				if id != len(answer)%4 {
					logits[id] = float32(math.Inf(-1))
				}
			}
		}, []int32{0, 1, 2, 3, 0, 1}},
		{"a mask that leaves nothing", Sampling{Temperature: 1}, func(_ []int32, logits []float32) {
			for id := range logits {
				logits[id] = float32(math.Inf(-1))
			}
		}, []int32{noToken, noToken, noToken, noToken, noToken, noToken}},
	} {
		if got := draws(test.how, test.mask); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Log-probabilities are those of the model, whatever is done to its logits afterwards.
func TestLogprobs(t *testing.T) {
	row := []float32{1, 3, float32(math.Inf(-1)), 2}
	lse := math.Log(math.E + math.Exp(3) + math.Exp(2))
	s := newSampler(Sampling{Bias: map[int32]float64{0: 100}})
	s.top = 2
	var scratch []choice
	if id, ok := s.draw(slices.Clone(row), &scratch); id != 0 || !ok {
		t.Fatalf("drew %d", id)
	}
	want := []Logprob{{0, 1 - lse}, {1, 3 - lse}, {3, 2 - lse}}
	if !slices.EqualFunc(s.logprobs, want, func(a, b Logprob) bool { return a.ID == b.ID && math.Abs(a.Logprob-b.Logprob) < 1e-6 }) {
		t.Errorf("got %v, want %v", s.logprobs, want)
	}
}
